"""Recorded attacks are found as what they are, and everyday traffic stays quiet; other recordings of the kinds will come."""

from pathlib import Path

import pytest

from detectors.sigma import RuleSet
from pipeline.shipped import shipped_rules
from tests.detection_quality import ATTACKS_AMONG, attacks, everyday

#: A part of a recording's name, and the title of what must be found in it.
FOUND = {
    "dns txt queries": "DNS tunnel",
    "SpoolSample": "Server told to log in to another machine",
    "LM_psexec": "Program copied and started on another host",
    "zerologon": "Domain controller asked for an old form of log-in",
    "PostZeroLogon": "Password of an account set over the network",
    "cve-2020-1350": "SIG record asked of DNS",
    "skeleton": "Kerberos ticket of a computer's service with RC4",
    "CVE-2020-0796": "SMBGhost: a compressed SMB 3 message of an impossible size",
    "30a385ed": "Certificate of a remote-control malware",
    "dnsextrator": "DNS tunnel",
    "sods": "DNS tunnel",
    "zeek/port-scans": "Port scan",
    "masterkey": "User's master key sent to a domain controller to be opened",
    "DCSync": "Contents of the directory asked for by replication",
    "mmc20": "Program on another machine started through DCOM",
    "test12-icmp": "Search for hosts by ICMP",
    "test8": "Search for hosts by ARP",
    "zeek/malicious15": "TLS client of a malware",
}
#: The same, of attacks among the recordings of everyday protocols.
FOUND_AMONG = {
    "bad-dns-traffic": "DNS tunnel",
    "emotet": "Certificate of a remote-control malware",
    "tor": "Connection into the Tor network",
    "dns-exf": "DNS name carries data",
}


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RuleSet.load(shipped_rules())


def test_recorded_attacks_are_found_as_what_they_are(shared_data: Path, rules: RuleSet) -> None:
    said = list(attacks(shared_data, rules))
    for part, title in FOUND.items():
        (recording,) = [each for each in said if part in each.name]
        assert title in {name for _, name in recording.loud}, recording


def test_everyday_traffic_raises_at_most_one_alert_above_low_in_fifty_recordings(
    shared_data: Path, rules: RuleSet
) -> None:
    said = {each.name: each for each in everyday(shared_data, rules)}
    for name, title in FOUND_AMONG.items():
        assert title in {found for _, found in said[f"{name}.pcap"].loud}
    benign = [each for each in said.values() if each.name not in ATTACKS_AMONG]
    assert len(benign) > 200
    assert sum(len(each.loud) for each in benign) * 50 <= len(benign), [each for each in benign if each.loud]

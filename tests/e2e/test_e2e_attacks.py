"""Attacks with nmap, iodine, forged ARP and a script, against a real sshd and a running site: each is found."""

import json
from pathlib import Path

import pytest
from scapy.all import TCP, rdpcap

from tests.conftest import eventually, need
from tests.e2e.attacks import OURS, THEIRS, all_attacks, under_attack
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow


def test_attacks_over_a_cable_are_found_as_what_they_are_with_their_packets(tmp_path: Path) -> None:
    need(Path("/dev/net/tun").exists(), "a kernel with TUN devices, for iodine")
    with under_attack(tmp_path) as (site, wire):
        found = list(all_attacks(site, wire, tmp_path))
        assert {each.attack: each.wanted & set(each.found) for each in found} == {
            each.attack: each.wanted for each in found
        }
        assert len(found) == 9
        alert = next(each for each in site.alerts() if each["rule.id"] == "behaviour.port_scan")
        _has_packets(site, alert["event.id"], tmp_path / "scan.pcap")
        devices = {each["address"]: each for each in _lines(site.run("devices", "list", "--json").stdout)}
        assert {OURS, THEIRS} <= devices.keys()
        assert devices[THEIRS]["mac"]


def _has_packets(site: Site, alert: str, file: Path) -> None:
    eventually(lambda: site.run("evidence", alert, check=False).returncode == 0, 30, 1)
    assert f"TCP {THEIRS}" in site.run("evidence", alert).stdout
    assert "###[ TCP ]###" in site.run("evidence", alert, "--packet", "1").stdout
    site.run("evidence", alert, "--output", str(file))
    ports = {packet[TCP].dport for packet in rdpcap(str(file)) if packet.haslayer(TCP)}
    assert len(ports & set(range(1, 201))) > 100
    for role, status in (("viewer", 403), ("analyst", 200)):
        token = site.run("token", "create", f"p-{role}", "--api", role).stdout.strip()
        answer = site.api(f"/alerts/{alert}/packets", token)
        assert answer.status_code == status
    assert answer.content == file.read_bytes()


def _lines(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines()]

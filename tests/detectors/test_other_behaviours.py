"""Long connections, DNS and ICMP tunnels, exfiltration, ARP, DHCP, lateral movement."""

import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.event import Event, from_micros
from pipeline.settings import Behaviours
from tests.detectors.traffic import SECOND, START, dns, echoes, event, flow, questions, rules, run

OURS, OUTSIDE = "10.1.2.3", "198.51.100.7"
HOUR = 3600
MEGABYTE = 1_000_000


def _long(hours: float, at: float = 0, **fields: Any) -> Event:
    began = from_micros(round((START + at) * SECOND))
    values = {"event_start": began, "event_duration": round(hours * HOUR * 1e9)}
    return flow(at + hours * HOUR, OURS, fields.pop("to", OUTSIDE), 443, **values, **fields)


@pytest.mark.parametrize(
    ("hours", "level"), [(0.99, ""), (1, "informational"), (4, "low"), (8.5, "medium"), (12, "high"), (100, "high")]
)
def test_long_connections_are_graded(hours: float, level: str) -> None:
    assert [alert["rule.level"] for alert in run([_long(hours)])] == ([level] if level else [])
    assert run([_long(hours, to="10.0.0.9")]) == []


def test_a_short_connection_that_is_told_of_late_is_not_long() -> None:
    ahead = flow(5 * HOUR, OURS, OUTSIDE, 443)
    assert run([ahead, _long(0.1)], lateness=60) == []
    assert [alert["rule.level"] for alert in run([ahead, _long(1.1)], lateness=60)] == ["informational"]


def test_each_grade_of_a_connection_on_the_way_is_told_once() -> None:
    way = [_long(n / 2, flow_id="C1", event_type=["connection", "info"]) for n in range(1, 27)]
    found = run(way)
    assert [alert["rule.level"] for alert in found] == ["informational", "low", "medium", "high"]
    assert found[0]["rule.description"].startswith(f"{OURS} to {OUTSIDE} (443/tcp) has lasted for 1 hours")


def _encoded(chance: random.Random, length: int) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(length))


def test_a_burst_of_long_names_is_a_tunnel() -> None:
    chance = random.Random(1)
    found = run(dns(n / 2, OURS, f"{_encoded(chance, 40)}.t.example.com.vn") for n in range(100))
    assert (rules(found), found[0]["rule.level"]) == (["dns_tunnel"], "high")
    assert "10 names below example.com.vn within 60 s, 42 characters in the mean" in found[0]["rule.description"]


def test_short_names_with_wide_answers_are_a_tunnel() -> None:
    assert rules(run(dns(n, OURS, f"a{n}.example.net", "TXT") for n in range(12))) == ["dns_tunnel"]
    assert rules(run(dns(n, OURS, f"a{n}.example.net", "A") for n in range(12))) == []


def test_names_that_only_data_have_are_counted_for_an_hour() -> None:
    names = [
        dns(n * 100, OURS, f"{n:02}{'mzxw6ytboi4tsnrwgq2tcmbzgi3tmojqgm3tsnjrha':.43}.t.example.com") for n in range(20)
    ]
    (alert,) = run(names)
    assert (alert["rule.id"], alert["rule.level"], alert["alert.count"]) == ("behaviour.dns_tunnel", "medium", 20)
    assert run(names[:19]) == []
    assert run(dns(n * 400, OURS, f"{n:043}.t.example.com") for n in range(40)) == []
    assert run(dns(n * 100, OURS, f"{n:040}.example.com") for n in range(40)) == []


def test_a_slow_tunnel_is_graded_over_the_day() -> None:
    chance = random.Random(2)
    found = run(dns(n * 60, OURS, f"{_encoded(chance, 24)}.example.org") for n in range(1200))
    assert [alert["rule.level"] for alert in found] == ["informational", "low", "medium", "high"]
    counts = [int(alert["alert.count"]) for alert in found]
    assert counts == pytest.approx([100, 500, 800, 1000], rel=0.01)


def test_browsing_mail_servers_and_directories_are_silent() -> None:
    chance = random.Random(3)
    words = ["www", "mail", "static", "cdn", "img", "api", "fonts", "accounts", "play"]
    browsing = [
        dns(n / 4, OURS, f"{chance.choice(words)}{chance.randrange(4)}.site{chance.randrange(900)}.vn", chance.choice(("A", "AAAA")))
        for n in range(20_000)
    ]  # fmt: skip
    lists = [dns(n / 9, "10.0.0.25", f"{n % 250}.7.{n % 90}.198.zen.spamhaus.org") for n in range(9000)]
    keys = [dns(n / 9, "10.0.0.25", f"s{n}._domainkey.site{n}.com", "TXT") for n in range(900)]
    reverse = [dns(n / 9, "10.0.0.25", f"{n % 250}.{n % 9}.0.10.in-addr.arpa", "PTR") for n in range(9000)]
    directory = [dns(n / 9, OURS, f"_ldap._tcp.site{n}._sites.dc._msdcs.bo.gov.vn", "SRV") for n in range(900)]
    cloud = [dns(n / 9, OURS, f"{_encoded(chance, 40)}.cloudfront.net") for n in range(900)]
    updates = [dns(n * 60, OURS, f"{n % 12}.tlu.dl.delivery.mp.microsoft.com") for n in range(1400)]
    assert rules(run([*browsing, *lists, *keys, *reverse, *directory, *cloud, *updates])) == []


@pytest.mark.parametrize("capture", ["dns-tunnels/dnsextrator", "dns-tunnels/sods", "ndpi/bad-dns-traffic"])
def test_tunnels_that_others_have_recorded(shared_data: Path, capture: str) -> None:
    assert rules(run(questions(shared_data / "pcap" / f"{capture}.pcap"))) == ["dns_tunnel"]


def test_captures_of_other_traffic_have_no_tunnel(shared_data: Path) -> None:
    captures = sorted((shared_data / "pcap" / "ndpi").glob("*.pcap"))
    assert len(captures) > 100
    for capture in captures:
        if capture.name not in ("bad-dns-traffic.pcap",):
            assert run(questions(capture)) == run(echoes(capture)) == [], capture.name


def _missing(at: float, name: str, source: str = OURS) -> Event:
    return dns(at, source, name, dns_response__code="NXDOMAIN")


@pytest.mark.parametrize(
    "letters", ["abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789", "0123456789abcdef"]
)
def test_made_up_domains_that_do_not_exist(letters: str) -> None:
    chance = random.Random(6)
    names = ["".join(chance.choices(letters, k=chance.randint(10, 18))) + ".com" for _ in range(40)]
    (alert,) = run(_missing(n * 20, name) for n, name in enumerate(names))
    assert (alert["rule.id"], alert["alert.count"]) == ("behaviour.dga", 10)
    assert run(_missing(n * 90, name) for n, name in enumerate(names)) == []
    assert run(dns(n * 20, OURS, name) for n, name in enumerate(names)) == []


def test_misspelt_names_a_search_list_and_a_browser_that_probes_are_silent() -> None:
    chance = random.Random(7)
    typed = ["gogle.com", "facebok.com", "vnexpres.net", "tuoitre24.vn", "baochinhphu.com", "dichvucong.com", "youtub.com",
             "microsofft.com", "thanhnien.com.vn", "zingnews24.vn", "openvpnclient.net", "cloudfare.com"]  # fmt: skip
    assert run(_missing(n * 9, name) for n, name in enumerate(typed)) == []
    probes = [_missing(n, f"{_encoded(chance, 10)}.bo.gov.vn") for n in range(99)]
    local = [_missing(n, f"{_encoded(chance, 10)}.local") for n in range(99)]
    assert rules(run([*local, *probes])) == []


def _hours(count: int, megabytes: float, source: str = OURS) -> list[Event]:
    return [
        flow(n * HOUR + 60, source, "203.0.113.9", 443, source_bytes=round(megabytes * MEGABYTE)) for n in range(count)
    ]


def _sent(events: list[Event], **exfiltration: Any) -> list[Event]:
    """The alerts; what comes each hour by the clock is a beacon as well, which is left out."""
    chosen = {"beacon": {"enabled": False}, "exfiltration": exfiltration}
    return run(events, Behaviours.model_validate(chosen))


def test_much_more_than_usual_to_one_address_is_told() -> None:
    leak = [flow(48 * HOUR + n, OURS, OUTSIDE, 443, source_bytes=60 * MEGABYTE) for n in range(20)]
    (alert,) = _sent([*_hours(48, 5), *leak])
    assert (alert["rule.id"], alert["rule.level"]) == ("behaviour.exfiltration", "high")
    assert f"{OURS} sent 540 MB to {OUTSIDE} in this hour" in alert["rule.description"]
    assert "usual for it are 5 MB an hour" in alert["rule.description"]


def test_one_large_connection_is_enough_and_an_unknown_host_is_told_of_lower() -> None:
    (alert,) = _sent([*_hours(30, 5), flow(30 * HOUR, OURS, OUTSIDE, 22, source_bytes=150 * MEGABYTE)])
    assert alert["rule.level"] == "high"
    (alert,) = _sent([flow(0, OURS, OUTSIDE, 22, source_bytes=150 * MEGABYTE)])
    assert alert["rule.level"] == "medium"


def test_a_host_that_always_sends_much_a_backup_within_and_downloads_are_silent() -> None:
    chance = random.Random(4)
    busy = [flow(n * HOUR + 9, OURS, OUTSIDE, 443, source_bytes=chance.randint(300, 900) * MEGABYTE) for n in range(72)]
    assert [alert["rule.level"] for alert in _sent(busy)] == ["medium"] * 24  # while it is not known yet
    backup = [flow(n * 24 * HOUR, OURS, "10.9.9.9", 445, source_bytes=9000 * MEGABYTE) for n in range(5)]
    down = [flow(n * HOUR, OURS, OUTSIDE, 443, destination_bytes=9000 * MEGABYTE) for n in range(50)]
    assert _sent([*backup, *down]) == []
    nightly = [flow(n * 24 * HOUR, OURS, OUTSIDE, 443, source_bytes=9000 * MEGABYTE) for n in range(5)]
    assert rules(_sent([*_hours(120, 5), *nightly])) == ["exfiltration"] * 5
    assert _sent([*_hours(120, 5), *nightly], except_destinations=[OUTSIDE]) == []


def test_a_connection_on_the_way_is_not_counted_twice() -> None:
    way = [
        flow(
            48 * HOUR + n,
            OURS,
            OUTSIDE,
            443,
            source_bytes=n * MEGABYTE,
            flow_id="C1",
            event_type=["connection", "info"],
        )
        for n in range(1, 90)
    ]
    assert _sent([*_hours(48, 5), *way]) == []


def _echo(at: float, size: int, kind: int = 8, **fields: Any) -> Event:
    values = {"source_ip": OURS, "destination_ip": OUTSIDE, "icmp_type": kind, "icmp_code": 0, "icmp_bytes": size}
    return event(at, "network.icmp", **{**values, **fields})


def test_icmp_tunnels() -> None:
    chance = random.Random(5)
    (alert,) = run(_echo(n / 3, chance.randint(65, 1400)) for n in range(60))
    assert (alert["rule.id"], alert["source.ip"]) == ("behaviour.icmp_tunnel", OURS)
    assert "exchanged 20 large or changing echoes within a minute" in alert["rule.description"]
    assert run(_echo(n / 9, 56) for n in range(900)) == []
    assert rules(run(_echo(n, 56, icmp_changes=True) for n in range(20))) == ["icmp_tunnel"]
    assert run(_echo(n, 1400, icmp_changes=n % 3 == 0) for n in range(99)) == []
    assert run(_echo(n / 9, 1400) for n in range(900)) == []
    assert run(_echo(n * 4, chance.randint(65, 1400)) for n in range(90)) == []
    assert run(_echo(n / 9, 500, 3) for n in range(90)) == []


def _arp(at: float, mac: str, address: str, target: str, operation: str = "request") -> Event:
    values = {"source_mac": mac, "source_ip": address, "destination_ip": target, "arp_operation": operation}
    return event(at, "network.arp", **values)


def test_two_macs_that_claim_one_address() -> None:
    router, liar = "AA-AA-AA-00-00-01", "BB-BB-BB-00-00-01"
    claims = [_arp(n, (router, liar)[n % 2], "10.0.0.1", "10.0.0.7", "reply") for n in range(20)]
    (alert,) = run(claims)
    assert (alert["rule.id"], alert["rule.level"]) == ("behaviour.arp_spoofing", "high")
    assert f"10.0.0.1 went from {router} to {liar} and back" in alert["rule.description"]
    assert run(claims[:2]) == []
    given_on = [_arp(n * HOUR, (router, liar)[n % 2], "10.0.0.1", "10.0.0.7", "reply") for n in range(9)]
    assert run(given_on) == []


def test_who_looks_for_hosts_by_arp() -> None:
    mac = "CC-CC-CC-00-00-01"
    (alert,) = run(_arp(n, mac, "10.0.0.9", f"10.0.0.{100 + n}") for n in range(9))
    assert (alert["rule.id"], alert["alert.count"]) == ("behaviour.arp_sweep", 5)
    low, medium = run(_arp(n / 5, mac, "10.0.0.9", f"10.0.0.{100 + n}") for n in range(99))
    assert (low["rule.level"], medium["rule.level"], medium["alert.count"]) == ("low", "medium", 50)
    answered = []
    for n in range(50):
        answered += [_arp(n, mac, "10.0.0.9", f"10.0.0.{100 + n}"),
                     _arp(n + 0.01, f"DD-00-00-00-00-{n:02X}", f"10.0.0.{100 + n}", "10.0.0.9", "reply")]  # fmt: skip
    assert run(answered) == []
    assert run(_arp(n, mac, "10.0.0.9", "10.0.0.1") for n in range(99)) == []


def _ticket(at: float, service: str, cipher: str = "rc4-hmac", **fields: Any) -> Event:
    values = {"source_ip": OURS, "kerberos_request": "TGS", "kerberos_service": service, "kerberos_cipher": cipher}
    return event(
        at, "zeek.kerberos", **{**values, "kerberos_client": "an/EXAMPLE", "event_outcome": "success", **fields}
    )


def test_weak_tickets_of_many_services() -> None:
    asked = [_ticket(n, f"MSSQLSvc/db{n}.example.vn:1433") for n in range(9)]
    (alert,) = run(asked)
    assert (alert["rule.id"], alert["rule.level"], alert["alert.count"]) == ("behaviour.kerberoasting", "high", 5)
    assert "(an/EXAMPLE) got tickets of 5 services within 0.1 minutes" in alert["rule.description"]
    assert run(asked[:4] * 9) == []
    assert run(_ticket(n * 200, f"MSSQLSvc/db{n}") for n in range(99)) == []
    assert run(_ticket(n, f"MSSQLSvc/db{n}", "aes256-cts-hmac-sha1-96") for n in range(99)) == []
    assert run(_ticket(n, f"MSSQLSvc/db{n}", event_outcome="failure") for n in range(99)) == []
    assert run(_ticket(n, f"krbtgt/R{n}.EXAMPLE") for n in range(99)) == []


def _offer(at: float, server: str, **fields: Any) -> Event:
    values = {"dhcp_message": ["DISCOVER", "OFFER"], "dhcp_server__ip": server, "dhcp_mac": "AA-BB-CC-00-11-22"}
    return event(at, "zeek.dhcp", **{**values, **fields})


def test_a_second_dhcp_server_and_one_that_is_not_on_the_list() -> None:
    (alert,) = run([_offer(0, "10.0.0.1"), _offer(1, "10.0.0.1"), _offer(2, "10.0.0.66"), _offer(3, "10.0.0.66")])
    assert (alert["rule.id"], alert["source.ip"]) == ("behaviour.rogue_dhcp", "10.0.0.66")
    listed = Behaviours.model_validate({"rogue_dhcp": {"servers": ["10.0.0.66", "10.0.1.0/24"]}})
    assert [each["source.ip"] for each in run([_offer(0, "10.0.0.1"), _offer(1, "10.0.0.66")], listed)] == ["10.0.0.1"]
    assert run([_offer(0, "10.0.0.1", network_vlan_id="1"), _offer(1, "10.0.1.1", network_vlan_id="2")]) == []


def _smb(at: float, share: str, command: str = "SMB::FILE_WRITE", to: str = "10.0.0.5") -> Event:
    values = {"source_ip": OURS, "destination_ip": to, "smb_share": share, "smb_command": command}
    return event(at, "zeek.smb_files", **values, file_path="x.exe")


def _call(at: float, endpoint: str, operation: str, to: str = "10.0.0.5") -> Event:
    values = {"source_ip": OURS, "destination_ip": to, "dce__rpc_endpoint": endpoint, "dce__rpc_operation": operation}
    return event(at, "zeek.dce_rpc", **values)


def test_a_file_on_an_admin_share_and_a_service_that_starts_it() -> None:
    (alert,) = run([_smb(0, r"\\10.0.0.5\ADMIN$"), _call(60, "svcctl", "CreateServiceW")])
    assert (alert["rule.id"], alert["file.path"]) == ("behaviour.remote_execution", "x.exe")
    assert r"wrote x.exe to ADMIN$ of 10.0.0.5 and called svcctl::CreateServiceW" in alert["rule.description"]
    assert rules(run([_call(0, "ITaskSchedulerService", "SchRpcRegisterTask"), _smb(1, "C$")])) == ["remote_execution"]
    assert run([_smb(0, "ADMIN$"), _call(601, "svcctl", "CreateServiceW")]) == []
    assert run([_smb(0, "ADMIN$"), _call(1, "svcctl", "CreateServiceW", "10.0.0.6")]) == []
    assert run([_smb(0, "ADMIN$", "SMB::FILE_OPEN"), _call(1, "svcctl", "CreateServiceW")]) == []
    assert run([_smb(0, "Public"), _call(1, "svcctl", "CreateServiceW"), _call(2, "samr", "SamrConnect")]) == []


def test_many_admin_shares() -> None:
    (alert,) = run(_smb(n, "C$", "SMB::FILE_OPEN", f"10.0.0.{n}") for n in range(1, 9))
    assert (alert["rule.id"], alert["alert.count"]) == ("behaviour.admin_shares", 5)
    assert run(_smb(n, "IPC$", "x", f"10.0.0.{n}") for n in range(1, 99)) == []

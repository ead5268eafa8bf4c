"""Scans: the test of Jung et al., the counts of Zeek, and what must stay silent."""

import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.event import Event
from pipeline.settings import Behaviours
from tests.detectors.traffic import flow, flows, rules, run, zeek

OUTSIDE, OURS = "198.51.100.7", "10.1.2.3"


def test_a_port_scan_is_told_once_with_its_numbers() -> None:
    found = run(flow(n / 10, OURS, OUTSIDE, 1000 + n, "REJ") for n in range(40))
    (alert,) = found
    assert (alert["rule.id"], alert["rule.level"]) == ("behaviour.port_scan", "medium")
    assert alert["rule.description"].startswith(f"{OURS} tried 15 ports of {OUTSIDE} within 1.4 s")
    assert alert["rule.description_vi"].startswith(f"{OURS} đã thử 15 cổng của {OUTSIDE} trong 1,4 giây")
    assert "attack.t1046" in alert["tags"]
    assert (alert["source.ip"], alert["destination.ip"], alert["alert.count"]) == (OURS, OUTSIDE, 15)
    assert len(alert["alert.evidence"]) == 10
    assert alert["alert.evidence"][-1]["destination.port"] == 1014
    assert {match["field"]: match["value"] for match in alert["alert.matches"]}["count"] == "15"


@pytest.mark.parametrize(
    ("failures", "successes", "alerts"), [(3, 0, 0), (4, 0, 1), (4, 1, 0), (5, 1, 1), (6, 3, 0), (0, 50, 0)]
)
def test_four_failures_more_than_successes_make_a_scanner(failures: int, successes: int, alerts: int) -> None:
    """ln 99 / ln 4 = 3.3, so the fourth net failure decides (theta 0.8 and 0.2: each outcome counts the same)."""
    outcomes = ["SF"] * successes + ["S0"] * failures
    if successes == 3:  # three in a row are "harmless", and the walk begins anew: mix them
        outcomes = ["SF", "S0"] * 3 + ["S0"] * (failures - 3)
    found = run(flow(n, OUTSIDE, f"10.0.0.{n + 1}", 22, state) for n, state in enumerate(outcomes))
    assert rules(found) == ["host_sweep"] * alerts


def test_the_first_connection_to_each_host_counts_alone() -> None:
    assert run(flow(n, OUTSIDE, f"10.0.0.{n % 3}", 22, "S0") for n in range(20)) == []
    events = [flow(n, OUTSIDE, f"10.0.0.{n}", 22) for n in range(9)]
    assert run([*events, *(flow(10 + n, OUTSIDE, f"10.0.0.{n}", 22, "S0") for n in range(9))]) == []


def test_many_hosts_outside_on_one_port() -> None:
    (alert,) = run(flow(n, OURS, f"203.0.113.{n}", 445, "S0") for n in range(1, 40))
    assert (alert["rule.id"], alert["destination.port"]) == ("behaviour.host_sweep", 445)
    assert alert["rule.description"].startswith(f"{OURS} tried 25 hosts within 24 s")


def test_a_slow_scan_is_of_25_pairs_from_outside_and_of_250_from_ours() -> None:
    def pairs(source: str, count: int, seconds: float) -> list[Event]:
        """Each host on three ports, too few and too slow for the other counts; every fourth host lets it in."""
        made = []
        for n in range(count):
            host = f"203.0.{n // 3 // 250}.{n // 3 % 250 + 1}"
            made.append(flow(n * seconds, source, host, 7000 + n, "S0"))
        return made

    assert rules(run(pairs("198.51.100.1", 24, 30))) == []
    assert rules(run(pairs("198.51.100.1", 25, 30))) == ["slow_scan"]
    assert rules(run(pairs(OURS, 249, 3))) == []
    assert rules(run(pairs(OURS, 250, 3))) == ["slow_scan"]


def test_back_scatter_is_silent() -> None:
    """Answers to forged connections: half connections, and what a sensor without their beginning takes for one."""
    chance = random.Random(1)
    states = ("SHR", "RSTRH", "OTH", "S0")
    assert run(
        flow(n / 50, OUTSIDE, f"10.0.{chance.randrange(9)}.{chance.randrange(250)}", chance.randrange(1024, 65536),
             chance.choice(states), source_port=80)
        for n in range(5000)
    ) == []  # fmt: skip


def test_a_busy_proxy_a_mail_server_and_broadcasts_are_silent() -> None:
    chance = random.Random(2)
    proxy = [
        flow(n / 20, "10.0.0.8", f"203.0.{chance.randrange(200)}.{chance.randrange(250)}", chance.choice((80, 443)),
             "S0" if chance.random() < 0.02 else "SF")
        for n in range(20_000)
    ]  # fmt: skip
    mail = [
        flow(n * 5, "10.0.0.9", f"198.51.{n % 80}.{n % 200}", 25, "S0" if chance.random() < 0.2 else "SF")
        for n in range(2000)
    ]
    lan = [flow(n, f"10.0.1.{n % 99}", "10.255.255.255", 17500, "S0", network_transport="udp") for n in range(999)]
    multicast = [flow(n, "10.0.1.4", f"239.1.1.{n}", 5000 + n, "S0") for n in range(99)]
    assert rules(run([*proxy, *mail, *lan, *multicast])) == []


@pytest.mark.parametrize("state", ["OTH", "RSTO", "SF"])
def test_ports_that_are_looked_at_without_a_word(state: str) -> None:
    """FIN, Xmas, null and ACK scans are answered with a reset; open ports are opened and closed."""
    small = {"source_bytes": 120, "destination_bytes": 60, "source_packets": 3, "destination_packets": 1}
    looks = [flow(n, OURS, "10.0.0.4", 8000 + n, state, **small) for n in range(15)]
    assert rules(run(looks)) == ["port_scan"]
    assert run(looks[:14]) == []
    assert run(flow(n, OURS, "10.0.0.4", 8000 + n, state) for n in range(99)) == []
    answers = [flow(n, OURS, "10.0.0.4", 8000 + n, state, **small, source_port=443) for n in range(99)]
    assert run(answers) == []
    keepalive = [flow(n, OURS, f"203.0.113.{n}", 443, "OTH", **small) for n in range(99)]
    assert run(keepalive) == []


def test_who_takes_a_day_for_thirty_ports() -> None:
    slow = [flow(n * 2400, OURS, "10.0.0.4", 20 + n, "REJ") for n in range(30)]
    (alert,) = run(slow)
    assert (alert["rule.id"], alert["alert.count"]) == ("behaviour.port_scan", 30)
    assert run(slow[:29]) == []
    assert run([flow(n * 2400, OURS, "203.0.113.4", 20 + n, "REJ") for n in range(30)]) == []


def test_monitoring_that_asks_hosts_which_are_down_is_excepted() -> None:
    events = [flow(n * 60 + host / 10, "10.0.0.5", f"10.2.0.{host}", 161, "S0") for n in range(9) for host in range(9)]
    assert rules(run(events)) == ["host_sweep"]
    assert run(events, Behaviours.model_validate({"scan": {"except_sources": ["10.0.0.5/32"]}})) == []
    assert run(events, Behaviours.model_validate({"scan": {"except_destinations": ["10.2.0.0/16"]}})) == []
    assert run(events, Behaviours.model_validate({"scan": {"enabled": False}})) == []


def test_what_goes_on_is_told_again_after_an_hour() -> None:
    found = run(flow(n * 10, OURS, OUTSIDE, n, "REJ") for n in range(800))
    assert rules(found) == ["port_scan"] * 3
    assert len({alert["event.id"] for alert in found}) == 3


def test_zeek_saw_a_port_scan(shared_data: Path) -> None:
    (alert,) = run(zeek(shared_data / "zeek" / "port-scans" / "vertical" / "conn.log"))
    assert (alert["rule.id"], alert["source.ip"]) == ("behaviour.port_scan", "192.168.1.9")
    assert alert["destination.ip"] == "45.33.32.156"


def test_mixed_traffic_has_one_sweep_and_nothing_else(shared_data: Path) -> None:
    """192.0.2.10 asks ten hosts of 10.0.0.0/24 on port 1337, none answers; the rest is a campus at work."""
    files = [shared_data / "zeek" / "mixed" / f"{log}.log" for log in ("conn", "dns", "ssl")]
    (alert,) = run(event for file in files for event in zeek(file))
    assert (alert["rule.id"], alert["source.ip"]) == ("behaviour.host_sweep", "192.0.2.10")


def _datagrams(at: float, port: int, answers: int = 0, **fields: Any) -> Event:
    values = {"network_transport": "udp", "flow_state": "", "source_packets": 1, "destination_packets": answers}
    return flow(at, OURS, "10.9.9.9", port, **{**values, **fields})


def test_a_scan_of_udp_is_of_ports_that_do_not_answer() -> None:
    (alert,) = run(_datagrams(n / 10, 100 + n) for n in range(40))
    assert (alert["rule.id"], alert["rule.level"]) == ("behaviour.udp_scan", "medium")
    assert alert["rule.description"].startswith(f"{OURS} sent datagrams to 15 ports of 10.9.9.9 within 1.4 s")
    assert alert["rule.description_vi"].startswith(f"{OURS} đã gửi gói UDP tới 15 cổng của 10.9.9.9 trong 1,4 giây")
    assert rules(run(_datagrams(n / 10, 100 + n) for n in range(14))) == []
    assert rules(run(_datagrams(n * 30, 100 + n) for n in range(40))) == []
    found = run(_datagrams(n / 10, 100 + n, source_ip=OUTSIDE, answers=int(n % 20 == 3)) for n in range(40))
    assert [(each["rule.id"], each["rule.level"]) for each in found] == [("behaviour.udp_scan", "low")]


@pytest.mark.parametrize(
    "fields",
    [
        {"destination_packets": 1},
        {"destination_packets": None},
        {"source_packets": 5},
        {"source_port": 53, "destination_port": 50_000},
        {"destination_port": 33_434},
        {"destination_ip": "239.1.1.1"},
        {"event_type": ["connection", "info"]},
    ],
    ids=["answered", "half a flow", "a stream", "answers of a server", "traceroute", "multicast", "goes on"],
)
def test_datagrams_that_are_no_scan(fields: dict[str, Any]) -> None:
    port = fields.pop("destination_port", 100)
    assert run(_datagrams(n / 10, port + n, **fields) for n in range(40)) == []


def test_calls_of_which_each_has_one_silent_port_are_no_scan() -> None:
    """A telephone sends voice to one port of the exchange, which answers, and its report to the next one."""
    assert run(_datagrams(n, 10_000 + n, answers=1 - n % 2) for n in range(2, 200)) == []


def test_a_client_of_many_hosts_is_no_scan_of_udp() -> None:
    chance = random.Random(4)
    peers = [
        _datagrams(
            n / 20, chance.randrange(1024, 65536), int(chance.random() < 0.2), destination_ip=f"203.0.{n % 99}.{n % 7}"
        )
        for n in range(5_000)
    ]
    names = [_datagrams(n / 9, 53, int(n % 9 > 0), source_port=1024 + n) for n in range(3_000)]
    times = [_datagrams(n, 123, destination_ip=f"198.51.100.{n}") for n in range(100)]
    assert run([*peers, *names, *times]) == []


def _ping(at: float, host: int, answers: int | None, kind: int = 8, **fields: Any) -> Event:
    values = {"network_transport": "icmp", "flow_state": "", "icmp_type": kind, "icmp_code": 0}
    values |= {"source_port": None, "destination_packets": answers}
    return flow(at, OURS, f"10.9.9.{host}", -1, **{**values, **fields})


@pytest.mark.parametrize(
    ("hosts", "silent", "alerts"), [(24, 12, 0), (25, 0, 1), (14, 14, 0), (15, 7, 0), (15, 8, 1), (60, 60, 1)]
)
@pytest.mark.parametrize("kind", [8, 13, 17])
def test_a_sweep_by_icmp_is_of_many_hosts_or_of_silent_ones(hosts: int, silent: int, alerts: int, kind: int) -> None:
    found = run(_ping(n, n, int(n < hosts - silent), kind) for n in range(hosts))
    assert rules(found) == ["icmp_sweep"] * alerts
    for alert in found:
        assert (alert["rule.level"], alert["source.ip"]) == ("medium", OURS)
        assert alert["rule.description"].startswith(f"{OURS} asked {min(hosts, 15 if silent else 25)} hosts by ICMP")


def test_what_is_no_sweep_by_icmp() -> None:
    assert run(_ping(n, 7, 0) for n in range(900)) == []  # one host that is down
    assert run(_ping(n, n % 24, int(n % 3 > 0)) for n in range(900)) == []  # monitoring of hosts, a third of them down
    assert run(_ping(n * 30, n % 250, 0) for n in range(900)) == []  # too slow
    assert run(_ping(n / 10, n % 250, 0, kind=3) for n in range(900)) == []  # errors that a router tells of
    assert run(_ping(n / 10, n % 24, None) for n in range(900)) == []  # nobody knows whether it answered
    excepted = Behaviours.model_validate({"scan": {"except_sources": [f"{OURS}/32"]}})
    assert run((_ping(n / 10, n, 1) for n in range(250)), excepted) == []  # monitoring


def test_a_recorded_sweep_by_icmp_of_new_hosts_within_seconds(shared_data: Path) -> None:
    """18 hosts within 2 seconds, of which 11 answered; monitoring that does so is known after its first round."""
    (alert,) = run(flows(shared_data / "pcap" / "slips" / "test12-icmp-portscan.pcap"))
    rounds = [_ping(60 * minute + n / 20, n, int(n % 2)) for minute in range(200) for n in range(18)]
    assert rules(run(rounds)) == ["icmp_sweep"]
    assert (alert["rule.id"], alert["source.ip"]) == ("behaviour.icmp_sweep", "192.168.1.109")

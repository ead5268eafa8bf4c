"""What was never there before: services and TLS clients that are new are told of, once; the first days nothing is."""

from typing import Any

from pipeline.event import Event
from tests.detectors.traffic import event, flow, rules, run

DAY = 86_400


def hello(at: float, source: str, ja4: str, **fields: Any) -> Event:
    """A TLS connection to outside."""
    values = {"source_ip": source, "destination_ip": "203.0.113.9", "destination_port": 443, "tls_client_ja4": ja4}
    return event(at, "network.tls", source, **{**values, **fields})


def usual(days: int) -> list[Event]:
    """Sixty hosts that ask a web server of ours and one outside each day."""
    made = []
    for day in range(days):
        for host in range(60):
            at = day * DAY + host * 100
            made += [
                flow(at, f"10.0.0.{host + 10}", "10.0.0.5", 443),
                hello(at + 1, f"10.0.0.{host + 10}", "t13d_usual"),
            ]
    return made


def test_a_service_that_is_new_on_a_known_host_is_told_once() -> None:
    at = 9 * DAY
    events = [*usual(10), flow(at, "10.0.0.7", "10.0.0.5", 3389), flow(at + 9, "10.0.0.8", "10.0.0.5", 3389),
              flow(at + 20, "10.0.0.7", "10.0.0.5", 8443)]  # fmt: skip
    remote, web = run(events)
    assert (remote["rule.id"], remote["rule.level"], remote["source.ip"]) == (
        "behaviour.new_service",
        "low",
        "10.0.0.7",
    )
    assert "answers on 3389/tcp for the first time" in remote["rule.description"]
    assert (web["rule.level"], web["destination.port"]) == ("informational", 8443)


def test_what_is_no_new_service_is_silent() -> None:
    at = 9 * DAY
    quiet = [
        flow(at, "10.0.0.7", "10.0.0.5", 3389, "REJ"), flow(at + 1, "10.0.0.7", "10.0.0.5", 50_000),
        flow(at + 2, "10.0.0.7", "203.0.113.9", 3389), flow(at + 3, "10.0.0.7", "10.0.0.200", 22),  # a new host
    ]  # fmt: skip
    assert run([*usual(10), *quiet]) == []
    assert run([*usual(5), flow(4 * DAY, "10.0.0.7", "10.0.0.5", 3389)]) == []  # still learning


def test_a_client_that_is_young_and_rare_is_told_once() -> None:
    at = 9 * DAY
    strange = [hello(at + n, "10.0.0.33", "t10i_strange", tls_client_server__name="a.example") for n in range(9)]
    common = [hello(at + 100 + n, f"10.0.0.{n + 10}", "t13d_new_browser") for n in range(30)]
    old = [hello(day * DAY, "10.0.0.44", "t12i_old") for day in range(10)]
    (alert,) = run([*usual(10), *strange, *common, *old])
    assert (alert["rule.id"], alert["source.ip"]) == ("behaviour.rare_client", "10.0.0.33")
    assert "1.7 % of 60 hosts" in alert["rule.description"]
    assert alert["destination.domain"] == "a.example"


def test_a_small_office_has_no_rare_clients() -> None:
    few = [event for event in usual(10) if event["source.ip"] < "10.0.0.3"]
    assert rules(run([*few, *(hello(9 * DAY + n, "10.0.0.12", "t10i_strange") for n in range(9))])) == []

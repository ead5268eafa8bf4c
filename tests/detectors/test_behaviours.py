"""All behaviours together: any order, any restart, rubbish, bounds."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.behaviours import ALL, All, is_wanted, kind_of, wanted
from pipeline.event import Event, encode
from pipeline.messages import catalogue
from pipeline.settings import Behaviours
from tests.detectors.test_beacon import _calls
from tests.detectors.test_other_behaviours import _arp, _echo, _long, _offer, _smb
from tests.detectors.traffic import SECOND, START, dns, event, flow, login, run

LATENESS = 60
_FIELDS = [
    "source.ip", "source.port", "destination.ip", "destination.port", "network.transport", "flow.state", "event.start",
    "event.duration", "event.outcome", "event.type", "source.bytes", "source.packets", "destination.bytes", "flow.id",
    "dns.question.name", "dns.question.type", "icmp.type", "icmp.bytes", "arp.operation", "source.mac", "dhcp.message",
    "dhcp.server_ip", "smb.share", "smb.command", "dce_rpc.endpoint", "dce_rpc.operation", "user.name", "host.name",
    "http.response.status_code", "kerberos.error", "kerberos.client", "ssh.auth.success", "tls.client.server_name",
    "event.category", "event.action", "event.code", "labels.source", "network.vlan.id", "network.protocol",
]  # fmt: skip


def _day() -> list[Event]:
    """A stretch of traffic with something for most behaviours, in order."""
    chance = random.Random(9)
    made = [
        *(flow(n * 2, "10.1.2.3", f"203.0.113.{n}", 445, "S0") for n in range(60)),
        *(flow(n * 3 + 0.5, "198.51.100.9", f"10.0.0.{n}", 22, "S0" if n % 3 else "SF") for n in range(40)),
        *(flow(n * 5, "10.1.2.4", "203.0.113.4", 100 + n, "REJ") for n in range(30)),
        *(login(n * 4, "198.51.100.8", f"u{n % 12}", source_port=n + 1) for n in range(60)),
        *(dns(n * 3, "10.1.2.5", f"{chance.randbytes(16).hex()}.example.org") for n in range(60)),
        *(_echo(n * 2, chance.randint(70, 900)) for n in range(60)),
        *(_arp(n, f"AA-00-00-00-00-0{n % 2}", "10.0.0.1", "10.0.0.7", "reply") for n in range(9)),
        _offer(1, "10.0.0.1"), _offer(9, "10.0.0.66"),
        *(_smb(n, "C$", "SMB::FILE_WRITE", f"10.0.0.{n}") for n in range(1, 9)),
        flow(77, "10.1.2.3", "203.0.113.77", 443, source_bytes=700_000_000),
        _long(1.5, -5000),
    ]  # fmt: skip
    return sorted(made, key=lambda each: (each["@timestamp"], each["event.id"]))


DAY = _day()


def _plain(alerts: list[Event]) -> list[Event]:
    return sorted(({**each, "event.created": ""} for each in alerts), key=lambda each: each["event.id"])


EXPECTED = _plain(run(DAY))


def test_the_day_has_something_for_nearly_all() -> None:
    assert {alert["rule.id"] for alert in EXPECTED} == {
        f"behaviour.{name}" for name in (
            "port_scan", "host_sweep", "brute_force", "password_spraying", "long_connection", "dns_tunnel",
            "exfiltration", "icmp_tunnel", "arp_spoofing", "rogue_dhcp", "admin_shares",
        )
    }  # fmt: skip
    assert all(
        alert["rule.description"] and alert["rule.description_vi"] != alert["rule.description"] for alert in EXPECTED
    )


@given(st.randoms(use_true_random=False), st.floats(0, LATENESS - 1))
@settings(max_examples=30, deadline=None)
def test_any_order_within_the_bound_gives_the_same_alerts(chance: random.Random, disorder: float) -> None:
    late = sorted(range(len(DAY)), key=lambda n: (_seconds(DAY[n]) + chance.uniform(0, disorder), n))
    assert _plain(run((DAY[n] for n in late), lateness=LATENESS)) == EXPECTED


def _seconds(item: Event) -> float:
    from pipeline.event import to_micros

    return to_micros(item["@timestamp"]) / SECOND


@given(st.lists(st.integers(0, len(DAY)), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_restart_anywhere_changes_nothing(places: list[int], chance: random.Random) -> None:
    order = sorted(range(len(DAY)), key=lambda n: (_seconds(DAY[n]) + chance.uniform(0, LATENESS - 1), n))
    behaviours, found = All(Behaviours(), LATENESS), []
    for count, n in enumerate(order):
        if count in places:
            saved = list(behaviours.dump())
            behaviours = All(Behaviours(), LATENESS)
            behaviours.load(saved)
            assert list(behaviours.dump()) == saved
        found += behaviours.feed(DAY[n], encode(DAY[n]))
    found += behaviours.finish()
    assert _plain(found) == EXPECTED


def test_what_is_read_again_after_a_kill_gives_the_same_ids() -> None:
    behaviours, published = All(Behaviours(), LATENESS), []
    for item in DAY[:200]:
        published += behaviours.feed(item, encode(item))
    saved = list(behaviours.dump())
    for item in DAY[200:320]:  # published, but not saved
        published += behaviours.feed(item, encode(item))
    again = All(Behaviours(), LATENESS)
    again.load(saved)
    for item in DAY[200:]:
        published += again.feed(item, encode(item))
    published += again.finish()
    assert {each["event.id"] for each in published} == {each["event.id"] for each in EXPECTED}


def test_a_beacon_over_a_restart() -> None:
    events = _calls(13, 60)
    expected = run(events)
    behaviours, found = All(Behaviours(), LATENESS), []
    for count, item in enumerate(events):
        if not count % 150:
            saved = list(behaviours.dump())
            behaviours = All(Behaviours(), LATENESS)
            behaviours.load(saved)
        found += behaviours.feed(item, encode(item))
    assert [each["event.id"] for each in found + behaviours.finish()] == [each["event.id"] for each in expected]


def test_repeated_events_count_once_and_late_ones_are_counted() -> None:
    behaviours = All(Behaviours(), LATENESS)
    events = [flow(n, "10.1.2.3", "203.0.113.4", n + 1, "REJ") for n in range(14)]
    found = [each for item in (*events, *events) for each in behaviours.feed(item, encode(item))]
    assert found + behaviours.finish() == []
    assert behaviours.detail()["repeated"] == 14
    behaviours = All(Behaviours(), LATENESS)
    for at in (0, 1000, 3):
        item = flow(at, "10.1.2.3", "203.0.113.4", 443)
        behaviours.feed(item, encode(item))
    assert behaviours.detail()["late"] == 1
    ahead = flow(3 * 86_400, "10.1.2.3", "203.0.113.4", 443)
    assert behaviours.feed(ahead, encode(ahead), START * SECOND) == []
    assert behaviours.detail()["too_far_ahead"] == 1


def test_a_lane_that_is_behind_holds_the_watermark() -> None:
    events = [flow(n, "10.1.2.3", "203.0.113.4", n + 1, "REJ") for n in range(20)]
    behaviours = All(Behaviours(), LATENESS)
    first = flow(-10, "10.1.2.9", "203.0.113.4", 443)
    behaviours.feed(first, encode(first), lane="1")
    ahead = flow(5000, "10.1.2.9", "203.0.113.4", 443)
    behaviours.feed(ahead, encode(ahead), lane="0")
    for item in events:
        behaviours.feed(item, encode(item), lane="1")
    assert behaviours.detail()["late"] == 0
    assert len(behaviours.advance((START + 100) * SECOND)) == 1


def test_a_clock_that_was_set_back_costs_what_was_held_and_no_more() -> None:
    behaviours = All(Behaviours(), LATENESS)
    wrong = flow(500_000, "10.1.2.9", "203.0.113.4", 443)
    behaviours.feed(wrong, encode(wrong), (START + 500_000) * SECOND)
    behaviours.advance((START + 500_000) * SECOND)
    behaviours.advance(START * SECOND)
    found = []
    for n in range(20):
        item = flow(n, "10.1.2.3", "203.0.113.4", n + 1, "REJ")
        found += behaviours.feed(item, encode(item), (START + n) * SECOND)
    assert len(found + behaviours.advance((START + 100) * SECOND)) == 1
    assert behaviours.detail()["late"] == 0


def test_what_another_version_has_saved_costs_that_behaviour_alone() -> None:
    behaviours = All(Behaviours(), LATENESS)
    for item in DAY[:200]:
        behaviours.feed(item, encode(item))
    saved = [chunk.replace(b'["scan","walks"', b'["scan","ports"') for chunk in behaviours.dump()]
    again = All(Behaviours(), LATENESS)
    again.load(saved)
    held = {each.name: sum(map(len, each.tables.values())) for each in again.behaviours}
    assert held["scan"] == 0
    assert held["brute_force"] > 0
    fewer = All(Behaviours.model_validate({"keys": 100}), LATENESS)
    fewer.load(saved)
    assert all(len(table) <= 100 for each in fewer.behaviours for table in each.tables.values())


_RUBBISH = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2),
    st.just({}), st.just([None, {}]), st.sampled_from(["10.0.0.1", "198.51.100.1", "tcp", "S0", "reply", "OFFER", "::"]),
    st.just("9" * 400), st.just("2026-13-45T99:00:00Z"), st.just(2**63), st.just("\ud800"),
)  # fmt: skip


@given(
    st.sampled_from(["flow", "dns", "http", "ssl", "ssh", "smb_files", "dce_rpc", "kerberos", "dhcp", "arp", "icmp", "auth"]),
    st.dictionaries(st.sampled_from(_FIELDS), _RUBBISH, max_size=20),
    st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=1500, deadline=None)
def test_rubbish_never_raises(ending: str, fields: dict[str, Any], at: int) -> None:
    item = {**event(at, f"zeek.{ending}", event_action="network_flow" if ending == "flow" else "x"), **fields}
    line = encode(item)
    behaviours = _RUBBISHED
    behaviours.feed(item, line)
    behaviours.advance((START + 10**6) * SECOND)
    assert behaviours.counts["failed"] == 0


_RUBBISHED = All(Behaviours.model_validate({"keys": 100}), 0)


def test_the_state_is_bounded_under_many_sources() -> None:
    bounded = Behaviours.model_validate({"keys": 500, "waiting": 1000, "lateness_seconds": 60})
    behaviours = All(bounded)
    for n in range(20_000):
        source = f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        for item in (flow(n / 1000, source, "10.0.0.1", n % 9000, "S0"), login(n / 1000, source, f"u{n}"),
                     dns(n / 1000, source, f"x{n}.e{n}.org"), _echo(n / 1000, 99, source_ip=source)):  # fmt: skip
            behaviours.feed(item, encode(item))
    behaviours.finish()
    assert all(len(table) <= 500 for each in behaviours.behaviours for table in each.tables.values())
    detail = behaviours.detail()
    assert detail["keys_evicted"] > 50_000
    assert detail["did_not_wait"] > 0


def test_only_lines_that_some_behaviour_takes_are_read() -> None:
    lines = [encode(item) for item in (DAY[0], {**DAY[0], "event.category": ["process"]}, login(0, "10.0.0.1", "a"))]
    assert [number for number, _ in wanted(lines)] == [0, 2]
    assert not is_wanted(b'{"event.category":["network","file"]}')
    assert all(is_wanted(encode(item)) and kind_of(item) for item in DAY)
    assert kind_of({"event.category": ["network"], "event.dataset": "linux.auth", "event.action": "ssh_close"}) == ""


def test_every_behaviour_has_settings_and_words() -> None:
    assert [each.name for each in ALL] == [
        name for name, field in Behaviours.model_fields.items() if name in {each.name for each in ALL} and field
    ]
    for language in ("en", "vi"):
        words = catalogue(language)
        names = {key.split(".")[1] for key in words if key.startswith("behaviours.")}
        plain = {name for name in names if not name.endswith(("_why", "_response"))}
        assert all(f"behaviours.{name}{end}" in words for name in plain for end in ("", "_why", "_response"))


@pytest.mark.parametrize("value", ["10.0.0.0/33", "x", ""])
def test_networks_are_checked(value: str) -> None:
    with pytest.raises(ValueError, match="expected a network"):
        Behaviours.model_validate({"scan": {"except_sources": [value]}})

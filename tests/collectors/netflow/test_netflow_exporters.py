"""NetFlow and IPFIX: templates, options, both directions, gaps, broken datagrams; what is held stays bounded."""

import gc
import random
import struct
import tracemalloc
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.netflow import exporters as exporters_module
from collectors.netflow import templates as templates_module
from collectors.netflow.exporters import LATE_SECONDS, Exporters, Ready
from collectors.netflow.packets import said_in_ipfix
from collectors.netflow.sequence import Sequence
from pipeline.event import encode, from_micros
from tests.collectors.netflow import crafted
from tests.collectors.netflow.crafted import (
    BOOT,
    TIME,
    USUAL,
    options9,
    options10,
    part,
    seeds,
    template,
    v5,
    v9,
    v10,
    values,
)

_RECEIVED = TIME * 1_000_000_000


def _exporters(pair: float = 0, sampling: int = 1, wait: float = 60, lifetime: float = 3600) -> Exporters:
    return Exporters(lifetime, wait, pair, sampling, 0.0)


def _feed(exporters: Exporters, *datagrams: bytes, now: float = 0.0, host: str = "192.0.2.1") -> list[dict[str, Any]]:
    return [ready.fields for data in datagrams for ready in exporters.feed(host, data, _RECEIVED, now)]


def _fields(ready: list[Ready]) -> list[dict[str, Any]]:
    return [each.fields for each in ready]


def _in(fields: dict[str, Any], **expected: Any) -> None:
    wanted = {name.replace("__", "."): value for name, value in expected.items()}
    assert {name: fields.get(name) for name in wanted} == wanted


def _stamp(milliseconds: int) -> str:
    return from_micros((BOOT + milliseconds) * 1000)


_TIMES = ("event__start", "event__end", "event__duration")
_ONE = {
    "source__ip": "10.0.0.5", "destination__ip": "203.0.113.9", "source__port": 40_000, "destination__port": 443,
    "network__transport": "tcp", "network__type": "ipv4", "source__bytes": 500, "source__packets": 5, "event__dataset": "netflow",
    "event__action": "network_flow", "event__type": ["connection", "end"], "event__category": ["network"],
    "event__duration": 2_000_000_000, "event__start": _stamp(1000), "event__end": _stamp(3000), "event__outcome": "success",
    "netflow__exporter": "192.0.2.1",
}  # fmt: skip


def test_every_version_says_the_same_of_the_same_flow() -> None:
    exporters = _exporters()
    ((five,), (nine,), (ten,)) = (
        _feed(exporters, v5({})),
        _feed(exporters, v9(part(0, template(256, *USUAL)), part(256, values(), pad=1))),
        _feed(exporters, v10(part(2, template(300, *USUAL[:7], crafted.START, crafted.END, crafted.FLAGS)),
                             part(300, values()[:21] + struct.pack("!QQB", BOOT + 1000, BOOT + 3000, 0x1B)))),
    )  # fmt: skip
    for fields, version in ((five, 5), (nine, 9), (ten, 10)):
        _in(fields, **_ONE, netflow__version=version)
        assert fields["@timestamp"] == fields["event.end"]
    assert five["network.community_id"] == nine["network.community_id"] == ten["network.community_id"]
    _in(five, netflow__bgp_source_as_number=65_001, netflow__ingress_interface=3, netflow__domain=258)
    assert not exporters.lost


def test_both_directions_become_one_connection_and_who_was_first_has_begun() -> None:
    exporters = _exporters(pair=5)
    back = {
        "src": "203.0.113.9",
        "dst": "10.0.0.5",
        "sport": 443,
        "dport": 40_000,
        "octets": 9000,
        "packets": 9,
        "first": 1010,
    }
    assert _feed(exporters, v5(back)) == []
    (fields,) = _feed(exporters, v5({"flags": 0x1B}, sequence=1), now=3)
    _in(
        fields, **{**_ONE, "source__bytes": 500}, destination__bytes=9000, destination__packets=9, network__bytes=9500, network__packets=14,
        flow__state="SF",
    )  # fmt: skip
    assert len(exporters.pairing) == 0
    high = {"sport": 50_000, "dport": 50_001}
    turned = {"src": "203.0.113.9", "dst": "10.0.0.5", "sport": 50_001, "dport": 50_000}
    (fields,) = _feed(exporters, v5({**high, "first": 1005}, {**turned, "first": 1000}, sequence=2))
    _in(fields, source__ip="203.0.113.9", source__port=50_001)


def test_what_finds_no_other_direction_leaves_alone_and_is_turned_by_its_ports() -> None:
    exporters = _exporters(pair=5)
    back = {"src": "203.0.113.9", "dst": "10.0.0.5", "sport": 443, "dport": 40_000, "octets": 9000, "packets": 9}
    assert _feed(exporters, v5(back), now=0) == []
    assert exporters.ripe(4.9) == []
    (fields,) = _fields(exporters.ripe(5.1))
    _in(
        fields,
        source__ip="10.0.0.5",
        destination__ip="203.0.113.9",
        destination__port=443,
        source__bytes=None,
        destination__bytes=9000,
    )
    assert _feed(exporters, v5({"flags": 2, "packets": 1}, sequence=1), now=6) == []
    (fields,) = _fields(exporters.finish())
    _in(fields, flow__state="S0", event__outcome="failure")
    refused = {**back, "flags": 0x14, "packets": 1}
    (fields,) = _feed(_exporters(), v5(refused))
    _in(fields, source__ip="10.0.0.5", flow__state=None, event__outcome=None)  # of what began before, perhaps
    (fields,) = _feed(_exporters(), v5({"proto": 17, "flags": 0, "dport": 53}))
    _in(fields, event__outcome=None, flow__state=None)
    (fields,) = _feed(_exporters(), v5({**back, "proto": 17, "flags": 0, "sport": 53}))
    _in(fields, event__outcome="success")


def test_a_direction_that_goes_on_is_not_paired_with_itself() -> None:
    exporters = _exporters(pair=5)
    assert _feed(exporters, v5({"octets": 1})) == []
    (fields,) = _feed(exporters, v5({"octets": 2}, sequence=1))
    _in(fields, source__bytes=1)
    assert [each["source.bytes"] for each in _fields(exporters.finish())] == [2]


def test_no_more_wait_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    exporters = _exporters(pair=5)
    exporters.pairing._most = 10
    found = [
        fields for number in range(50) for fields in _feed(exporters, v5({"sport": 30_000 + number}, sequence=number))
    ]
    assert len(found) == 40
    assert len(exporters.pairing) == 10
    assert len(exporters.finish()) == 10


def test_a_biflow_has_both_directions() -> None:
    reverse = 29_305
    fields = (
        *USUAL[:7],
        crafted.START,
        crafted.END,
        (1, 4, reverse),
        (2, 4, reverse),
        (6, 1, reverse),
        (6, 1),
        (239, 1),
    )
    content = values()[:21] + struct.pack("!QQIIBBB", BOOT, BOOT + 1, 700, 7, 0x1B, 0x1B, 1)
    exporters = _exporters(pair=5)
    (found,) = _feed(exporters, v10(part(2, template(256, *fields)), part(256, content)))
    _in(
        found,
        source__bytes=500,
        destination__bytes=700,
        destination__packets=7,
        flow__state="SF",
        event__outcome="success",
    )
    (turned,) = _feed(exporters, v10(part(256, content[:-1] + b"\2"), sequence=1))
    _in(turned, source__ip="203.0.113.9", source__bytes=700, destination__bytes=500)
    lower = values(src="203.0.113.9", dst="203.0.113.10", sport=50_000, dport=50_001)[:21]
    for flags, source in (
        ((0, 0x02), ".10"),
        ((0x14, 0x02), ".10"),
        ((0x12, 0x1B), ".9"),
        ((0x02, 0x12), ".9"),
        ((0x10, 0x10), ".9"),
    ):
        content = lower + struct.pack("!QQIIBBB", BOOT, BOOT + 1, 700, 7, flags[1], flags[0], 0)
        (found,) = _feed(exporters, v10(part(256, content), sequence=2))
        assert found["source.ip"] == f"203.0.113{source}", flags
    answer = values(src="203.0.113.9", dst="203.0.113.10", sport=443, dport=50_001)[:21]
    (found,) = _feed(exporters, v10(part(256, answer + struct.pack("!QQIIBBB", BOOT, BOOT + 1, 700, 7, 0x1A, 0x1A, 0))))
    _in(found, source__port=50_001, destination__port=443)
    firewall = (*USUAL[:5], (231, 4), (232, 4), (298, 4), (299, 4), (233, 1))
    content = values()[:13] + struct.pack("!IIIIB", 10, 20, 1, 2, 3)
    (found,) = _feed(exporters, v9(part(0, template(257, *firewall)), part(257, content)))
    _in(found, source__bytes=10, destination__packets=2, event__type=["connection", "denied"], event__outcome="failure")


def test_six_icmp_macs_vlan_nat_and_long_flows() -> None:
    fields = ((27, 16), (28, 16), (4, 1), (139, 2), (56, 6), (80, 6), (58, 2), (136, 1), (150, 4), (151, 4))
    content = (
        crafted.ip("2001:db8::1")
        + crafted.ip("2001:db8::2")
        + b"\x3a\x81\x00"
        + bytes.fromhex("000c2966c782000c2966c783")
    )
    content += struct.pack("!HBII", 12, 2, TIME - 60, TIME - 1)
    (found,) = _feed(_exporters(), v10(part(2, template(256, *fields)), part(256, content)))
    _in(
        found, source__ip="2001:db8::2", destination__ip="2001:db8::1", network__transport="ipv6-icmp", icmp__type=128, icmp__code=0,
        source__port=None, source__mac="00-0C-29-66-C7-83", network__vlan__id="12", event__type=["connection", "info"],
        event__duration=59_000_000_000, network__type="ipv6",
    )  # fmt: skip
    (found,) = _feed(_exporters(), v5({"proto": 1, "sport": 0, "dport": 3 << 8 | 13}))
    _in(found, icmp__type=3, icmp__code=13, source__ip="10.0.0.5", destination__port=None)
    nat = (*USUAL, (225, 4), (227, 2))
    (found,) = _feed(
        _exporters(), v9(part(0, template(256, *nat)), part(256, values() + crafted.ip("198.51.100.1") + b"\x10\x00"))
    )
    _in(found, source__nat__ip="198.51.100.1", source__nat__port=4096)


def test_times_in_every_form() -> None:
    ntp = (TIME + 2_208_988_800) << 32 | 1 << 31
    fields = (*USUAL[:5], (154, 8), (155, 8))
    (found,) = _feed(
        _exporters(), v10(part(2, template(256, *fields)), part(256, values()[:13] + struct.pack("!QQ", ntp, ntp)))
    )
    assert found["@timestamp"].endswith(":00.500Z")
    (found,) = _feed(_exporters(), v10(part(2, template(256, *USUAL[:5])), part(256, values()[:13])))
    assert found["event.start"] == found["event.end"] == _stamp(3_600_000)
    early = {"first": 2**32 - 1000, "last": 500}  # the exporter's clock of 32 bits has begun anew in between
    (found,) = _feed(_exporters(), v5(early, uptime=1000))
    assert found["event.duration"] == 1_500_000_000


def test_records_wait_for_their_template_and_are_dropped_after_a_time() -> None:
    exporters = _exporters(wait=60)
    assert _feed(exporters, v9(part(256, values() * 2))) == []
    assert exporters.waiting == 1
    assert _feed(exporters, v9(part(256, values()), sequence=1), host="192.0.2.2") == []
    found = _feed(exporters, v9(part(0, template(256, *USUAL)), sequence=1), now=30)
    assert len(found) == 2
    _in(found[0], **_ONE)
    assert exporters.waiting == 1
    exporters.ripe(61)
    assert exporters.waiting == 0
    assert exporters.lost == {("192.0.2.2", "netflow_no_template"): 1}


def test_templates_belong_to_their_domain_change_are_withdrawn_and_expire() -> None:
    exporters = _exporters(lifetime=3600)
    assert len(_feed(exporters, v10(part(2, template(256, *USUAL)), part(256, values()), domain=1))) == 1
    assert _feed(exporters, v10(part(256, values()), domain=2)) == []
    (found,) = _feed(exporters, v10(part(2, template(256, *USUAL[:5])), part(256, values()[:13]), domain=1, sequence=1))
    _in(found, source__bytes=None, destination__port=443)
    assert _feed(exporters, v10(part(2, template(256)), part(256, values()[:13]), domain=1, sequence=2)) == []
    assert _feed(exporters, v9(part(0, template(256, *USUAL)))) == []
    later = _RECEIVED + 3601 * 1_000_000_000
    assert exporters.feed("192.0.2.1", v9(part(256, values()), sequence=1), later, 0.0) == []
    assert exporters.waiting == 3


def test_templates_survive_a_restart() -> None:
    exporters = _exporters()
    _feed(
        exporters,
        v9(part(0, template(256, *USUAL) + template(257, *USUAL[:5]))),
        v10(part(3, options10(300, 1, (149, 4), (305, 4)))),
    )
    kept = orjson.loads(orjson.dumps(exporters.templates.dump()))
    fresh = _exporters()
    fresh.templates.load(kept)
    assert len(fresh.templates) == 3
    assert len(_feed(fresh, v9(part(256, values())))) == 1
    assert not fresh.templates.changed


def test_sampling_by_options_by_the_record_by_v5_and_by_the_settings() -> None:
    exporters = _exporters(sampling=3)
    usual = part(0, template(256, *USUAL))
    (found,) = _feed(exporters, v9(usual, part(256, values())))
    _in(found, source__bytes=1500, netflow__sampling_rate=3)
    option = v9(
        part(1, options9(257, ((1, 4),), (34, 4), (35, 1)), pad=2),
        part(257, struct.pack("!IIB", 1, 100, 1)),
        sequence=1,
    )
    (said,) = _feed(exporters, option)
    _in(
        said,
        event__dataset="netflow.options",
        netflow__sampling_interval=100,
        netflow__scope_system=1,
        event__kind="metric",
    )
    (found,) = _feed(exporters, v9(part(256, values()), sequence=2))
    _in(found, source__bytes=50_000, source__packets=500)
    samplers = v10(
        part(3, options10(258, 1, (302, 4), (305, 4), (306, 4))), part(258, struct.pack("!IIIIII", 5, 1, 9, 6, 1, 99))
    )
    assert len(_feed(exporters, samplers)) == 2
    picked = (*USUAL, (302, 4))
    (found,) = _feed(
        exporters, v10(part(2, template(259, *picked)), part(259, values() + struct.pack("!I", 6)), sequence=2)
    )
    _in(found, source__bytes=50_000)
    (found,) = _feed(exporters, v5({}, sampling=1 << 14 | 10))
    _in(found, source__bytes=5000)


def test_enterprise_fields_variable_lengths_and_unknown_elements_are_kept() -> None:
    fields = (*USUAL, (96, 65_535), (460, 65_535), (12_345, 3), (77, 4, 9_999), (371, 8))
    content = values() + b"\4http" + b"\xff\x00\x09a.example" + b"\1\2\3" + struct.pack("!I", 42) + b"an\0\0\0\0\0\0"
    found = _feed(_exporters(), v10(part(2, template(256, *fields)), part(256, content * 2)))
    assert len(found) == 2
    for each in found:
        _in(
            each, **{key: value for key, value in _ONE.items() if key not in _TIMES}, netflow__application_name="http", netflow__http_request_host="a.example", netflow__ie_12345="010203",
            netflow__ie_9999_77=42, netflow__user_name="an",
        )  # fmt: skip


def test_a_record_that_is_no_flow_is_an_event_of_its_own() -> None:
    (found,) = _feed(
        _exporters(), v10(part(2, template(256, (82, 4), (133, 8))), part(256, b"eth0" + struct.pack("!Q", 7)))
    )
    _in(found, event__dataset="netflow.record", netflow__interface_name="eth0", netflow__dropped_packet_delta_count=7)
    (found,) = _feed(_exporters(), said_in_ipfix(b"xin chao"))
    _in(found, message="xin chao")


_FLAWED = [
    b"", b"\0", b"\0\5", v5({}, count=2), v5(count=0), v5({})[:-1], b"\0\x07" + b"\0" * 40, v9()[:10], v9(b"\1\0\0\3"),
    v9(part(256, b"x" * 10))[:-1], v10(part(256, b""))[:17], v10()[:2] + b"\xff\xff" + v10()[4:], v9(part(0, template(255, *USUAL))),
    v9(part(0, struct.pack("!HH", 256, 9))), v9(part(0, template(256, (8, 65_535)))), v10(part(2, template(256, (8, 0)))),
    v10(part(2, template(256, (8, 40_000), (12, 40_000)))), v10(part(2, struct.pack("!HHHH", 256, 1, 0x8008, 4))),
    v10(part(2, template(256, (96, 65_535))), part(256, b"\xff\xff\xffx")), v10(part(2, template(256, (96, 65_535))), part(256, b"\x09x")),
    v9(part(0, template(256, (4, 1))), part(256, b"x" * 5001)), b"\0\0\0\5" + b"\0" * 60, b"<13>Nov 24 05:17:44 x y: z",
]  # fmt: skip


@pytest.mark.parametrize("data", _FLAWED, ids=range(len(_FLAWED)))
def test_a_broken_datagram_costs_itself_only(data: bytes) -> None:
    exporters = _exporters()
    assert len(_feed(exporters, v9(part(0, template(300, *USUAL))))) == 0
    assert _feed(exporters, data) == []
    assert exporters.lost == {("192.0.2.1", "netflow_malformed"): 1}
    assert len(_feed(exporters, v9(part(300, values()), sequence=1))) == 1


def test_what_comes_before_the_fault_of_a_datagram_is_taken() -> None:
    exporters = _exporters()
    sets = (part(2, template(256, *USUAL)), part(256, values()), part(2, template(255, *USUAL)), part(256, values()))
    assert len(_feed(exporters, v10(*sets))) == 2
    assert exporters.lost == {("192.0.2.1", "netflow_malformed"): 1}


def test_gaps_are_counted_when_they_have_settled() -> None:
    exporters = _exporters()
    for sequence in (10, 11, 15, 13, 20):  # of v5 a number a record: 12, 14 and 16 to 19 are missing
        _feed(exporters, v5({}, sequence=sequence))
    exporters.count_lost(LATE_SECONDS - 1, settle=True)
    assert not exporters.lost
    exporters.count_lost(LATE_SECONDS + 1, settle=False)
    assert not exporters.lost
    exporters.count_lost(LATE_SECONDS + 1, settle=True)
    assert exporters.lost == {("192.0.2.1", "netflow_lost"): 6}
    exporters.lost.clear()
    usual = part(2, template(256, *USUAL))
    for sequence in (0, 2, 5):  # of IPFIX a number a record: 2 each, one is missing
        _feed(exporters, v10(usual, part(256, values() * 2), sequence=sequence))
    for sequence in (0, 1, 3):  # of v9 a number a datagram
        _feed(exporters, v9(sequence=sequence))
    _feed(exporters, v9(sequence=0, uptime=10))  # it has started anew
    exporters.finish()
    assert exporters.lost == {("192.0.2.1", "netflow_lost"): 2}


def test_exporters_of_ipfix_that_count_in_their_own_way_have_lost_nothing() -> None:
    numbers = {(False, True): 0, (False, False): 0, (True, True): 0, (True, False): 0}
    for (inclusive, with_options), first in numbers.items():
        exporters = _exporters()
        number = first
        told = (
            part(2, template(256, *USUAL)),
            part(3, options10(258, 1, (302, 4), (305, 4))),
            part(258, struct.pack("!II", 5, 1)),
        )
        for flows, before in ((24, told), (33, ()), (33, told[2:]), (9, ())):
            count = flows + (1 if before and with_options else 0)
            number += count if inclusive else 0
            _feed(exporters, v10(*before, part(256, values() * flows), sequence=number))
            number += 0 if inclusive else count
        _feed(exporters, v10(part(256, values() * 5), sequence=number + 7 + (5 if inclusive else 0)))
        exporters.finish()
        assert exporters.lost == {("192.0.2.1", "netflow_lost"): 7}, (inclusive, with_options)


def test_times_of_ipfix_that_count_from_the_start_of_the_exporter() -> None:
    boot = TIME * 1000 - 60_000
    told = (
        part(3, options10(258, 1, (143, 4), (160, 8))),
        part(258, struct.pack("!IQ", 1, boot)),
        part(2, template(256, *USUAL)),
    )
    (_, found) = _feed(_exporters(), v10(*told, part(256, values())))
    assert found["event.duration"] == 2_000_000_000
    assert found["event.start"] == from_micros((boot + 1000) * 1000)


@given(st.permutations(range(40)), st.integers(0, 2**32 - 1), st.sets(st.integers(1, 38), max_size=10))
def test_whatever_the_order_only_what_is_missing_is_lost(order: list[int], first: int, missing: set[int]) -> None:
    sequence = Sequence()
    sequence.note(first, 1, 0.0)
    for number in order:
        if number not in missing and number:
            sequence.note((first + number) % 2**32, 1, 0.0)
    expected = len([number for number in missing if number < max(set(range(40)) - missing)])
    assert sequence.lost(1.0) == expected


def test_an_exporter_that_begins_anew_has_lost_nothing() -> None:
    sequence = Sequence()
    for number in (5_000_000, 5_000_001, 3, 4, 5, 900_000_000):
        sequence.note(number, 1, 0.0)
    assert sequence.lost(1.0) == 0
    for number in (100, *range(1, 100)):
        sequence.note(number, 1, 0.0)
    assert sequence.expected == 100


def test_endless_templates_exporters_and_waiting_sets_keep_memory_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates_module, "MOST_FIELDS_IN_ALL", 2_000)
    monkeypatch.setattr(exporters_module, "MOST_DOMAINS", 50)
    monkeypatch.setattr(exporters_module, "MOST_WAITING", 100)
    exporters = _exporters(pair=5)
    exporters.pairing._most = 100

    def flood(count: int, start: int) -> None:
        for number in range(start, start + count):
            host, domain = f"10.{number % 251}.{number % 241}.1", number % 997
            fields = [(1000 + (number * 7 + each) % 9000, 4) for each in range(20)]
            _feed(
                exporters,
                v9(part(0, template(256 + number % 60_000, *fields)), domain=domain),
                host=host,
                now=number / 1000,
            )
            _feed(
                exporters, v9(part(256, b"x" * 100), domain=domain, sequence=number * 7), host=host, now=number / 1000
            )
            _feed(exporters, v5({"sport": number % 60_000}, sequence=number * 3), host=host, now=number / 1000)
            exporters.count_lost(number / 1000, settle=True)
            exporters.lost.clear()

    flood(3_000, 0)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    flood(3_000, 3_000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert exporters.templates._fields <= 2_000
    assert exporters.waiting <= 100
    assert after - before < 3_000_000


def test_one_domain_s_templates_cost_no_other_s() -> None:
    exporters = _exporters()
    _feed(exporters, v9(part(0, template(256, *USUAL))), host="192.0.2.7")
    for number in range(2_000):
        _feed(exporters, v9(part(0, template(256 + number, (8, 4), (12, 4))), sequence=number))
    assert len(_feed(exporters, v9(part(256, values()), sequence=1), host="192.0.2.7")) == 1


def mutated(chance: random.Random, known: list[bytes]) -> bytes:
    """One of them, broken in some way."""
    data = bytearray(chance.choice(known))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.choice((0, 1, 255, chance.randrange(256)))])
            case 1:
                del data[at : at + chance.randrange(1, 9)]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 3:
                data[at : at + 2] = struct.pack(
                    "!H", chance.choice((0, 1, 4, 255, 256, 65_535, chance.randrange(65_536)))
                )
            case 4:
                other = chance.choice(known)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data[:9000])


def test_no_exception_escapes_from_mutated_datagrams() -> None:
    chance = random.Random(random.randrange(1_000_000))
    exporters = _exporters(pair=1)
    known = seeds()
    counted: Counter[str] = Counter()
    for number in range(5_000):
        data = mutated(chance, known)
        for ready in exporters.feed(f"10.0.0.{number % 5}", data, _RECEIVED, number / 100):
            line = encode(ready.fields)
            assert len(line) < 100_000
            counted[ready.fields["event.dataset"]] += 1
        exporters.ripe(number / 100)
        exporters.count_lost(number / 100, settle=True)
        exporters.lost.clear()
    exporters.finish()
    assert counted["netflow"] > 1000


def test_what_scapy_sends_is_understood() -> None:
    from scapy.layers import netflow

    head = netflow.NetflowHeader(version=5) / netflow.NetflowHeaderV5(
        count=1, sysUptime=9000, unixSecs=TIME, flowSequence=1
    )
    record = netflow.NetflowRecordV5(
        src="10.0.0.5",
        dst="203.0.113.9",
        srcport=40000,
        dstport=443,
        prot=6,
        dpkts=2,
        dOctets=99,
        first=1,
        last=2,
        tcpFlags=2,
    )
    (found,) = _feed(_exporters(), bytes(head / record))
    _in(found, source__ip="10.0.0.5", destination__port=443, source__bytes=99, flow__state="S0")

    kinds = [netflow.NetflowTemplateFieldV9(fieldType=kind, fieldLength=size) for kind, size in USUAL]
    for header, flowset, number in (
        (netflow.NetflowHeader(version=9) / netflow.NetflowHeaderV9(sysUptime=9000, unixSecs=TIME, SourceID=5), 0, 0),
        (netflow.NetflowHeader(version=10) / netflow.NetflowHeaderV10(ExportTime=TIME, ObservationDomainID=5), 2, 1),
    ):
        told = netflow.NetflowFlowsetV9(
            flowSetID=flowset, templates=[netflow.NetflowTemplateV9(template_fields=kinds, templateID=256)]
        )
        data = netflow.NetflowDataflowsetV9(templateID=256, records=[netflow.NetflowRecordV9(fieldValue=values())])
        raw = bytes(header / told / data)
        raw = raw[:2] + struct.pack("!H", len(raw) if number else 2) + raw[4:]
        (found,) = _feed(_exporters(), raw)
        _in(found, source__ip="10.0.0.5", destination__ip="203.0.113.9", source__bytes=500, destination__port=443)

"""One connection as Zeek, Suricata and a router each tell it: the fields of docs/network.md are the same."""

from datetime import UTC, datetime
from typing import Any

import pytest

from collectors.decoders import Hints, decode_object
from collectors.netflow.exporters import Exporters
from tests.collectors.netflow.crafted import TIME, UPTIME, v5

_NOW = datetime(2026, 11, 24, 6, 0, 1, tzinfo=UTC)
_SAME = (
    "@timestamp", "event.start", "event.end", "event.duration", "event.action", "event.type", "event.category", "event.outcome",
    "source.ip", "source.port", "destination.ip", "destination.port", "network.transport", "network.type", "network.community_id",
    "source.bytes", "destination.bytes", "source.packets", "destination.packets", "network.bytes", "network.packets", "flow.state",
)  # fmt: skip
_SIDES = {"id.orig_h": "10.0.0.5", "id.orig_p": 40_000, "id.resp_h": "203.0.113.9", "id.resp_p": 443}
#: Of Zeek its state, of Suricata and NetFlow the flags of both sides; packets of the answering side.
_STORIES = [
    ("SF", 0x1B, 0x1B, 4),
    ("REJ", 0x02, 0x14, 1),
    ("RSTO", 0x16, 0x12, 2),
    ("RSTR", 0x1A, 0x16, 3),
    ("S1", 0x1A, 0x1A, 9),
]


def _zeek(state: str, answers: int) -> dict[str, Any]:
    record = {
        "_path": "conn", "ts": TIME - 10.5, "uid": "C1", **_SIDES, "proto": "tcp", "duration": 9.25, "conn_state": state,
        "orig_pkts": 5, "orig_ip_bytes": 500, "resp_pkts": answers, "resp_ip_bytes": answers * 60,
    }  # fmt: skip
    return decode_object(record, Hints(), _NOW)


def _suricata(asked: int, answered: int, answers: int) -> dict[str, Any]:
    record = {
        "timestamp": "2026-11-24T13:00:00+0700", "event_type": "flow", "flow_id": 1, "src_ip": "10.0.0.5", "src_port": 40_000,
        "dest_ip": "203.0.113.9", "dest_port": 443, "proto": "TCP", "tcp": {"tcp_flags_ts": f"{asked:02x}", "tcp_flags_tc": f"{answered:02x}"},
        "flow": {"pkts_toserver": 5, "bytes_toserver": 500, "pkts_toclient": answers, "bytes_toclient": answers * 60,
                 "start": "2026-11-24T12:59:49.500000+0700", "end": "2026-11-24T12:59:58.750000+0700"},
    }  # fmt: skip
    return decode_object(record, Hints(), _NOW)


def _router(asked: int, answered: int, answers: int) -> dict[str, Any]:
    times = {"first": UPTIME - 10_500, "last": UPTIME - 1250}
    back = {
        "src": "203.0.113.9",
        "dst": "10.0.0.5",
        "sport": 443,
        "dport": 40_000,
        "flags": answered,
        "packets": answers,
        "octets": answers * 60,
    }
    exporters = Exporters(3600, 60, 5, 1, 0.0)
    datagram = v5({**times, **back, "first": UPTIME - 10_400}, {**times, "flags": asked})
    (ready,) = exporters.feed("192.0.2.1", datagram, 0, 0.0)
    return ready.fields


@pytest.mark.parametrize(("state", "asked", "answered", "answers"), _STORIES)
def test_the_same_connection_is_the_same_event(state: str, asked: int, answered: int, answers: int) -> None:
    told = [_zeek(state, answers), _suricata(asked, answered, answers), _router(asked, answered, answers)]
    first, *others = [{name: fields.get(name) for name in _SAME} for fields in told]
    assert first["flow.state"] == state
    assert None not in first.values()
    for other in others:
        assert other == first

"""Traffic for the tests of behaviours: events as docs/network.md has them, made, or converted from Zeek and captures."""

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from collectors.envelope import Origin
from collectors.network.capture_events import read_capture
from detectors.behaviours import All
from pipeline.event import Event, decode, encode, event_id, from_micros
from pipeline.settings import Behaviours

#: 2026-11-24T00:00:00Z
START = 1_795_478_400
SECOND = 1_000_000
_NAMES = {
    "id.orig_h": "source.ip", "id.orig_p": "source.port", "id.resp_h": "destination.ip",
    "id.resp_p": "destination.port", "proto": "network.transport", "service": "network.protocol",
    "orig_ip_bytes": "source.bytes", "resp_ip_bytes": "destination.bytes", "orig_pkts": "source.packets",
    "resp_pkts": "destination.packets", "conn_state": "flow.state", "uid": "flow.id",
    "orig_l2_addr": "source.mac", "resp_l2_addr": "destination.mac", "query": "dns.question.name",
    "qtype_name": "dns.question.type", "rcode_name": "dns.response_code", "server_name": "tls.client.server_name",
}  # fmt: skip
_OUTCOMES = dict.fromkeys(("SF", "S1", "S2", "S3", "RSTO", "RSTR"), "success") | dict.fromkeys(
    ("S0", "REJ", "RSTOS0", "SH", "RSTRH", "SHR"), "failure"
)


def event(at: float, dataset: str, *identity: Any, **fields: Any) -> Event:
    """An event at so many seconds after START; `source_ip` is `source.ip`."""
    named = {name.replace("__", "\0").replace("_", ".").replace("\0", "_"): value for name, value in fields.items()}
    time = from_micros(round((START + at) * SECOND))
    identifier = event_id("test", dataset, time, repr(sorted(named.items())), *identity)
    return {
        "@timestamp": time, "event.id": identifier, "event.kind": "event", "event.category": ["network"],
        "event.dataset": dataset, "labels.source": "sensor", **named,
    }  # fmt: skip


def flow(at: float, source: str, destination: str, port: int, state: str = "SF", **fields: Any) -> Event:
    """A connection that ended at `at`."""
    values = {
        "event_action": "network_flow", "event_type": ["connection", "end"], "source_ip": source, "source_port": 40000,
        "destination_ip": destination, "destination_port": port, "network_transport": "tcp", "flow_state": state,
        "source_bytes": 600, "destination_bytes": 900, "source_packets": 6, "destination_packets": 6,
    }  # fmt: skip
    outcome = {"event_outcome": _OUTCOMES[state]} if state in _OUTCOMES else {}
    return event(at, "network.flow", **{**values, **outcome, **fields})


def dns(at: float, source: str, name: str, kind: str = "A", **fields: Any) -> Event:
    """A DNS question."""
    values = {"source_ip": source, "destination_ip": "10.0.0.53", "destination_port": 53, "network_transport": "udp"}
    return event(at, "network.dns", **{**values, "dns_question_name": name, "dns_question_type": kind, **fields})


def login(at: float, source: str, user: str, outcome: str = "failure", **fields: Any) -> Event:
    """What sshd wrote of a log-in."""
    values = {
        "event_action": "ssh_login", "source_ip": source, "user_name": user, "event_outcome": outcome,
        "network_protocol": "ssh", "host_name": "may-chu", "event_category": ["authentication"],
    }  # fmt: skip
    return event(at, "linux.auth", **{**values, **fields})


def run(events: Iterable[Event], settings: Behaviours | None = None, lateness: float = float("inf")) -> list[Event]:
    """The alerts on all of these events, in any order."""
    behaviours = All(settings or Behaviours(), lateness)
    found = [each for item in events for each in behaviours.feed(item, encode(item))]
    found += behaviours.finish()
    assert not behaviours.counts["failed"]
    return found


def rules(alerts: Iterable[Event]) -> list[str]:
    """The rules of alerts, by time."""
    return [each["rule.id"].removeprefix("behaviour.") for each in sorted(alerts, key=lambda each: each["@timestamp"])]


def zeek(file: Path) -> Iterator[Event]:
    """A Zeek log, JSON or in columns, by the contract."""
    names: list[str] = []
    for line in file.read_text("utf-8").splitlines():
        text = line.lstrip()
        if text.startswith("{"):
            yield _of_zeek(file.stem, json.loads(text))
        elif text.startswith("#fields"):
            names = text.split("\t")[1:]
        elif names and not text.startswith("#") and text:
            cells = dict(zip(names, text.split("\t"), strict=False))
            yield _of_zeek(file.stem, {name: cell for name, cell in cells.items() if cell not in ("-", "(empty)")})


def _of_zeek(log: str, row: dict[str, Any]) -> Event:
    began, lasted = float(row["ts"]), float(row.get("duration", 0) or 0)
    made: Event = {_NAMES[name]: value for name, value in row.items() if name in _NAMES and value != ""}
    for name in made.keys() & {
        "source.port", "destination.port", "source.bytes", "destination.bytes", "source.packets",
        "destination.packets",
    }:  # fmt: skip
        made[name] = int(made[name])
    is_flow = log == "conn"
    made |= {
        "@timestamp": from_micros(round((began + lasted) * SECOND)), "event.id": event_id("zeek", repr(row)),
        "event.category": ["network"], "event.dataset": f"zeek.{log}",
    }  # fmt: skip
    if is_flow:
        made |= {
            "event.action": "network_flow", "event.start": from_micros(round(began * SECOND)),
            "event.duration": round(lasted * 1e9), "event.type": ["connection", "end"],
        }  # fmt: skip
        if outcome := _OUTCOMES.get(made.get("flow.state", "")):
            made["event.outcome"] = outcome
        if made["network.transport"] == "icmp":
            made["icmp.type"] = made.pop("source.port")
            made.pop("destination.port")
    return made


def flows(file: Path) -> list[Event]:
    """What the native sensor says of a capture."""
    read = read_capture(file, Origin("test", "", ""), file)
    return [decode(line) for lines, _ in read for line in lines]


def packets(file: Path) -> Iterator[tuple[float, str, str, int, bytes]]:
    """Time, source, destination, IP protocol and payload of the IPv4 packets of a capture (pcap, Ethernet or raw)."""
    data = file.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    parts = 1e9 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1e6
    link = struct.unpack(order + "I", data[20:24])[0]
    place = 24
    while place + 16 <= len(data):
        seconds, fraction, size, _ = struct.unpack(order + "IIII", data[place : place + 16])
        frame = data[place + 16 : place + 16 + size]
        place += 16 + size
        if link == 1:
            if frame[12:14] != b"\x08\x00":
                continue
            frame = frame[14:]
        elif link == 113:
            frame = frame[16:]
        if len(frame) < 20 or frame[0] >> 4 != 4:
            continue
        head = (frame[0] & 15) * 4
        total = struct.unpack(">H", frame[2:4])[0]
        source, destination = (".".join(map(str, frame[at : at + 4])) for at in (12, 16))
        yield seconds + fraction / parts, source, destination, frame[9], frame[head : total or None]


_TYPES = {1: "A", 2: "NS", 5: "CNAME", 10: "NULL", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}


def questions(file: Path) -> Iterator[Event]:
    """The DNS questions (UDP) of a capture."""
    for time, source, destination, protocol, payload in packets(file):
        if protocol != 17 or len(payload) < 21:
            continue
        body = payload[8:]
        if struct.unpack(">H", payload[2:4])[0] != 53 or body[2] & 0x80:
            continue
        labels, at = [], 12
        while at < len(body) and body[at]:
            labels.append(body[at + 1 : at + 1 + body[at]].decode("ascii", "backslashreplace"))
            at += 1 + body[at]
        if at + 3 <= len(body) and labels:
            kind = struct.unpack(">H", body[at + 1 : at + 3])[0]
            name = ".".join(labels).lower()
            yield dns(time - START, source, name, _TYPES.get(kind, str(kind)), destination_ip=destination)


def echoes(file: Path) -> Iterator[Event]:
    """The ICMP messages of a capture."""
    for number, (time, source, destination, protocol, payload) in enumerate(packets(file)):
        if protocol == 1 and len(payload) >= 8:
            fields = {"source_ip": source, "destination_ip": destination, "icmp_type": payload[0]}
            yield event(
                time - START, "network.icmp", number, **fields, icmp_code=payload[1], icmp_bytes=len(payload) - 8
            )

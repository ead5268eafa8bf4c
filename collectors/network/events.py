"""Flows and transactions enter, the fields of events leave (docs/network.md)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from collectors.network import community_id
from collectors.network.flows import Flow
from collectors.network.headers import ICMP, ICMP6, SCTP, TCP, UDP, Arp
from collectors.network.reading import address
from pipeline.event import event_id

Fields = dict[str, Any]
_TRANSPORTS = {
    TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "ipv6-icmp", SCTP: "sctp", 2: "igmp", 47: "gre", 50: "esp", 51: "ah",
    89: "ospf", 112: "vrrp",
}  # fmt: skip
_OUTCOMES = {
    **dict.fromkeys(("SF", "S1", "S2", "S3", "RSTO", "RSTR"), "success"),
    **dict.fromkeys(("S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR"), "failure"),
}
_MICROSECOND = 1_000  # nanoseconds
#: The last moment that a date can name; a clock that says a later one is broken.
_LATEST = 253_402_300_799_999_999
_ARP = {1: "request", 2: "reply", 3: "rarp-request", 4: "rarp-reply"}


def of_flow(flow: Flow, ended: bool) -> Fields:
    """Return the event of a connection at its end, or on its way."""
    forth, back, last = flow.forth, flow.back, flow.last
    end = moment(last)
    fields = {
        **_addresses(flow),
        "@timestamp": end, "event.start": moment(flow.start), "event.end": end,
        "event.duration": (last - flow.start) * _MICROSECOND,
        "source.bytes": forth.bytes, "source.packets": forth.packets,
        "destination.bytes": back.bytes, "destination.packets": back.packets,
        "network.bytes": forth.bytes + back.bytes, "network.packets": forth.packets + back.packets,
        "flow.payload.source": forth.payload, "flow.payload.destination": back.payload,
        "event.dataset": "network.flow", "event.category": ["network"],
        "event.type": ["connection", "end" if ended else "info"], "event.action": "network_flow",
    }  # fmt: skip
    if flow.service:
        fields["network.protocol"] = flow.service
    if flow.protocol == TCP:
        fields["flow.state"] = state = flow.state
        if outcome := _OUTCOMES.get(state):
            fields["event.outcome"] = outcome
    elif back.packets:
        fields["event.outcome"] = "success"
    return fields


def of_transaction(flow: Flow, kind: str, time: int, given: Mapping[str, Any]) -> Fields:
    """Return the event of a question and its answer."""
    common = {
        "@timestamp": moment(time), "event.dataset": f"network.{kind}", "event.category": ["network"],
        "event.type": ["protocol"],
    }  # fmt: skip
    return {**_addresses(flow), **common, **given}


def of_arp(message: Arp, time: int) -> Fields:
    """Return the event of an ARP message."""
    fields: Fields = {
        "@timestamp": moment(time), "event.dataset": "network.arp", "event.category": ["network"],
        "event.type": ["protocol"], "network.protocol": "arp",
        "arp.operation": _ARP.get(message.operation, str(message.operation)),
        "source.mac": mac(message.sender_mac), "source.ip": address(message.sender),
        "destination.ip": address(message.target),
    }  # fmt: skip
    if any(message.target_mac):
        fields["destination.mac"] = mac(message.target_mac)
    if message.macs and message.macs[6:] != message.sender_mac:
        fields["arp.frame.mac"] = mac(message.macs[6:])  # who sent it is not whom it speaks of
    if message.vlan:
        fields["network.vlan.id"] = str(message.vlan)
    return fields


def name_of(flow: Flow) -> str:
    """Return a flow's own name: the same whenever the same packets are read."""
    if not flow.name:
        flow.name = event_id("flow", flow.key, flow.protocol, flow.start)
    return flow.name


def moment(time: int) -> str:
    """Write microseconds since 1970 as an event's time."""
    second, part = divmod(min(max(time, 0), _LATEST), 1_000_000)
    return f"{_second(second)}.{part:06}Z" if part % 1_000 else f"{_second(second)}.{part // 1_000:03}Z"


@lru_cache(maxsize=1_024)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def mac(raw: bytes) -> str:
    """Write a MAC address as ECS does (RFC 7042)."""
    return raw.hex("-").upper()


def _addresses(flow: Flow) -> Fields:
    """Return what all events of a flow have in common."""
    if flow.common is None:
        flow.common = _common(flow)
    return flow.common


def _common(flow: Flow) -> Fields:
    fields: Fields = {
        "source.ip": address(flow.source), "destination.ip": address(flow.destination), "flow.id": name_of(flow),
        "network.type": "ipv4" if len(flow.source) == 4 else "ipv6",
        "network.transport": _TRANSPORTS.get(flow.protocol, str(flow.protocol)),
        "network.community_id": community_id.of_bytes(
            flow.source, flow.destination, flow.protocol, flow.source_port, flow.destination_port
        ),
    }  # fmt: skip
    if flow.protocol in (TCP, UDP, SCTP):
        fields |= {"source.port": flow.source_port, "destination.port": flow.destination_port}
    elif flow.protocol in (ICMP, ICMP6):
        fields |= {"icmp.type": flow.source_port, "icmp.code": flow.destination_port}
    if flow.macs:
        fields |= {"source.mac": mac(flow.macs[6:]), "destination.mac": mac(flow.macs[:6])}
    if flow.vlan:
        fields["network.vlan.id"] = str(flow.vlan)
    return fields

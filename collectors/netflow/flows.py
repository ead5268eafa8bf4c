"""A record of NetFlow enters, a flow leaves: times, sides and counts as docs/network.md has them.

A router counts each direction by itself, so that who began must be found: by the sensor's word (RFC 5103), by a
connection's first packet, by who asked (ICMP), else by the ports.
"""

from dataclasses import dataclass, field
from typing import Any

from collectors.decoders.contract import Fields
from collectors.decoders.network_fields import (
    ACK,
    FIN,
    NAMES,
    RST,
    SYN,
    put_community_id,
    put_span,
    put_state,
    put_sums,
    tcp_state,
)
from collectors.netflow.packets import Header
from collectors.network.community_id import ICMP, ICMP6, icmp_ports, is_icmp_answer

#: IANA: ports that clients are given, and those of services.
_EPHEMERAL, _SERVICES = 32_768, 1024
#: Seconds from 1900 (NTP, RFC 5905) to 1970.
_NTP_SECONDS = 2_208_988_800
#: What a wrong counter may say at the most: two of them still fit 64 bits.
_GREATEST = 2**62
#: RFC 5102: flowEndReason of a flow that goes on.
_ACTIVE_TIMEOUT = 2
#: firewallEvent of a flow that was refused.
_DENIED = 3

#: What becomes a field of its own, and is not kept beside it.
_TAKEN = frozenset((
    "source_ipv4_address", "destination_ipv4_address", "source_ipv6_address", "destination_ipv6_address",
    "source_transport_port", "destination_transport_port", "protocol_identifier", "octet_delta_count",
    "packet_delta_count", "flow_start_sys_up_time", "flow_end_sys_up_time", "flow_start_milliseconds",
    "flow_end_milliseconds", "flow_start_seconds", "flow_end_seconds", "source_mac_address", "destination_mac_address",
    "icmp_type_ipv4", "icmp_code_ipv4", "icmp_type_ipv6", "icmp_code_ipv6", "vlan_id", "padding_octets",
    "reverse_octet_delta_count", "reverse_packet_delta_count",
))  # fmt: skip


@dataclass(slots=True)
class Flow:
    """One connection, or one direction of it. `began` says whether its source is known to have begun.

    Counts are those on the wire: what was sampled is multiplied. Times are microseconds since 1970.
    """

    fields: Fields
    position: tuple[str | bytes | int, ...]
    protocol: int
    start: int | None
    end: int | None
    sides: list["Side"]
    began: bool | None
    goes_on: bool = False
    both: bool = False  # both directions are counted
    received: int = 0


@dataclass(slots=True)
class Side:
    """One end of a flow and what it sent."""

    address: str
    port: int
    octets: int | None = None
    packets: int | None = None
    flags: int | None = None
    code: int = 0  # of ICMP, where type and answer stand for the ports
    more: Fields = field(default_factory=dict)


def flow_of(record: dict[str, Any], header: Header, rate: int, position: tuple[str | bytes | int, ...]) -> Flow | None:
    """Return the flow of a record; None where it has no addresses, as those of options and counters have none."""
    addresses = _addresses(record)
    if addresses is None:
        return None
    source, destination = addresses
    protocol = _int(record, "protocol_identifier") or 0
    first = Side(source, _port(record, "source"), *_counts(record, "", rate))
    second = Side(destination, _port(record, "destination"), *_counts(record, "reverse_", rate))
    both = second.packets is not None or second.octets is not None
    if not both:
        both = _put_initiator(record, first, second, rate)
    fields: Fields = {f"netflow.{name}": value for name, value in record.items() if name not in _TAKEN}
    if protocol in (ICMP, ICMP6):
        _put_icmp(fields, record, protocol, first, second)
    for side, name in ((first, "source"), (second, "destination")):
        mac = record.get(f"{name}_mac_address")
        if isinstance(mac, str) and mac != "00-00-00-00-00-00":
            side.more["mac"] = mac
        for kind in ("ipv4", "ipv6"):
            translated = record.get(f"post_nat_{name}_{kind}_address")
            if isinstance(translated, str) and translated not in ("0.0.0.0", "::", side.address):  # noqa: S104
                side.more["nat.ip"] = translated
        changed = _int(record, f"post_napt_{name}_transport_port")
        if changed:
            side.more["nat.port"] = changed
    vlan = _int(record, "vlan_id") or _int(record, "dot1q_vlan_id")
    if vlan:
        fields["network.vlan.id"] = str(vlan)
    if rate > 1:
        fields["netflow.sampling_rate"] = rate
    start, end = _times(record, header)
    flow = Flow(fields, position, protocol, start, end, [first, second], None, both=both)
    flow.goes_on = record.get("flow_end_reason") == _ACTIVE_TIMEOUT
    if record.get("firewall_event") == _DENIED:
        fields["event.type"] = ["connection", "denied"]
        fields["event.outcome"] = "failure"
    flow.began = _began(flow, record)
    return flow


def event_fields(flow: Flow, other: Flow | None = None) -> Fields:
    """Return the event of a flow and, where it came, of its other direction."""
    if other is not None and _is_first(other, flow):
        flow, other = other, flow
    sides = list(flow.sides)
    if other is not None:
        sides[1] = Side(
            sides[1].address, sides[1].port, other.sides[0].octets, other.sides[0].packets, other.sides[0].flags,
            more={**other.sides[0].more, **sides[1].more},
        )  # fmt: skip
    elif flow.began is False or (flow.began is None and _answers(flow)):
        sides.reverse()
    fields: Fields = {"event.dataset": "netflow", "event.category": ["network"], "event.action": "network_flow"}
    is_icmp = flow.protocol in (ICMP, ICMP6)
    fields["network.type"] = "ipv6" if ":" in sides[0].address else "ipv4"
    fields["network.transport"] = NAMES.get(flow.protocol, str(flow.protocol))
    for side, name in zip(sides, ("source", "destination"), strict=True):
        fields[f"{name}.ip"] = side.address
        if not is_icmp and (side.port or flow.protocol in (6, 17, 132)):
            fields[f"{name}.port"] = side.port
        if side.octets is not None:
            fields[f"{name}.bytes"] = side.octets
        if side.packets is not None:
            fields[f"{name}.packets"] = side.packets
        for key, value in side.more.items():
            fields[f"{name}.{key}"] = value
    fields["event.type"] = ["connection", "info" if flow.goes_on else "end"]
    fields.update(flow.fields)
    if is_icmp and sides[0].port >= 0:
        fields["icmp.type"], fields["icmp.code"] = sides[0].port, sides[0].code
    put_sums(fields)
    put_community_id(fields, None)
    starts = [found.start for found in (flow, other) if found is not None and found.start is not None]
    ends = [found.end for found in (flow, other) if found is not None and found.end is not None]
    put_span(fields, min(starts, default=None), max(ends, default=None))
    if "event.outcome" not in fields:
        _put_outcome(fields, flow, sides, other is not None)
    return fields


def _put_outcome(fields: Fields, flow: Flow, sides: list[Side], paired: bool) -> None:
    """What one direction shows by itself counts, too: a SYN without an ACK was never answered."""
    answered = bool(sides[1].packets)
    if flow.protocol == 6:
        first, second = sides[0].flags, sides[1].flags
        if first is not None and (second is not None or paired):
            put_state(fields, tcp_state(first & 0xFF, (second or 0) & 0xFF))
        elif first is not None and first & SYN and not first & ACK:
            put_state(fields, "RSTOS0" if first & RST else "SH" if first & FIN else "S0")
        elif (first or second or 0) & (SYN | ACK) == SYN | ACK:  # of whichever side was counted
            fields["event.outcome"] = "success"
    elif flow.protocol == 17 and answered:
        fields["event.outcome"] = "success"


def _addresses(record: dict[str, Any]) -> tuple[str, str] | None:
    source, destination = record.get("source_ipv4_address"), record.get("destination_ipv4_address")
    if source in (None, "0.0.0.0") and "source_ipv6_address" in record:  # noqa: S104 - both kinds in one template
        source, destination = record["source_ipv6_address"], record.get("destination_ipv6_address")
    if not isinstance(source, str) or not isinstance(destination, str):
        return None
    return (source, destination) if _family(source) and _family(source) == _family(destination) else None


def _family(address: str) -> str:
    """Return what parts an address; one of an odd length, kept as digits, has nothing."""
    return ":" if ":" in address else "." if "." in address else ""


def _int(record: dict[str, Any], name: str) -> int | None:
    value = record.get(name)
    return value if isinstance(value, int) else None


def _port(record: dict[str, Any], side: str) -> int:
    for name in (f"{side}_transport_port", f"tcp_{side}_port", f"udp_{side}_port"):
        found = _int(record, name)
        if found is not None:
            return found & 0xFFFF
    return 0


def _counts(record: dict[str, Any], way: str, rate: int) -> tuple[int | None, int | None, int | None]:
    octets = _int(record, f"{way}octet_delta_count")
    packets = _int(record, f"{way}packet_delta_count")
    if octets is None:
        octets = _int(record, f"{way}octet_total_count")
    if packets is None:
        packets = _int(record, f"{way}packet_total_count")
    return (
        _times_rate(octets, rate),
        _times_rate(packets, rate),
        _int(record, f"{way}tcp_control_bits"),
    )


def _times_rate(count: int | None, rate: int) -> int | None:
    return None if count is None else min(count * rate, _GREATEST)


def _put_initiator(record: dict[str, Any], first: Side, second: Side, rate: int) -> bool:
    """Firewalls count both directions in elements of their own."""
    asked, answered = _int(record, "initiator_octets"), _int(record, "responder_octets")
    if asked is None and answered is None:
        return False
    packets = _int(record, "initiator_packets"), _int(record, "responder_packets")
    for side, octets, count in ((first, asked, packets[0]), (second, answered, packets[1])):
        side.octets, side.packets = _times_rate(octets, rate), _times_rate(count, rate)
    return True


def _put_icmp(fields: Fields, record: dict[str, Any], protocol: int, first: Side, second: Side) -> None:
    """Type and code stand in elements of their own, in one, or where a port would be (v5, v9: type × 256 + code)."""
    family = "ipv4" if protocol == ICMP else "ipv6"
    kind, code = _int(record, f"icmp_type_{family}"), _int(record, f"icmp_code_{family}")
    if kind is None:
        both = _int(record, f"icmp_type_code_{family}")
        both = second.port if both is None else both
        kind, code = both >> 8 & 0xFF, both & 0xFF
    fields["netflow.icmp_type"], fields["netflow.icmp_code"] = kind, code or 0
    first.port, second.port = icmp_ports(protocol, kind, code or 0)
    first.code = code or 0


def _times(record: dict[str, Any], header: Header) -> tuple[int | None, int | None]:
    """Return the first and the last packet's time."""
    start, end = _time(record, "start", header), _time(record, "end", header)
    if start is None and end is None:
        seen = _int(record, "observation_time_milliseconds")
        start = end = (seen if seen is not None else header.time) * 1000
    length = _int(record, "flow_duration_milliseconds")
    if end is None and start is not None:
        end = start + (length or 0) * 1000
    if start is None and end is not None:
        start = end - (length or 0) * 1000
    return start, end


def _time(record: dict[str, Any], which: str, header: Header) -> int | None:
    name = f"flow_{which}_"
    if (found := _int(record, name + "milliseconds")) is not None:
        return found * 1000
    if (found := _int(record, name + "sys_up_time")) is not None:
        boot = header.boot
        if boot is None:
            boot = _int(record, "system_init_time_milliseconds")
        if boot is None:
            return None
        uptime = header.time - boot
        if found > uptime + 86_400_000:  # the exporter's counter of 32 bits has begun anew in between
            found -= 1 << 32
        return (boot + found) * 1000
    if (found := _int(record, name + "seconds")) is not None:
        return found * 1_000_000
    for unit in ("microseconds", "nanoseconds"):
        if (found := _int(record, name + unit)) is not None:  # in NTP's form (RFC 7011 section 6.1.9)
            return ((found >> 32) - _NTP_SECONDS) * 1_000_000 + ((found & 0xFFFFFFFF) * 1_000_000 >> 32)
    if (found := _int(record, name + "delta_microseconds")) is not None:
        return header.time * 1000 - found
    return None


def _began(flow: Flow, record: dict[str, Any]) -> bool | None:
    """Say whether a flow's source has begun, as far as the exporter and the packets' flags show it."""
    way = record.get("biflow_direction")
    if way in (1, 2):
        return bool(way == 1)
    if flow.protocol in (ICMP, ICMP6):
        return not is_icmp_answer(flow.protocol, flow.sides[0].port)
    if flow.protocol == 6:
        first, second = (side.flags or 0 for side in flow.sides)
        if first & SYN and (not first & ACK or (flow.both and not second & SYN)):
            return True
        if second & SYN and (not second & ACK or not first & SYN):
            return False
    if not flow.both:
        return None
    # RFC 5103 section 5: the source of a biflow is who began. softflowd 1.1 puts the lower address there.
    return not _is_from_service(flow)


def _is_from_service(flow: Flow) -> bool:
    return flow.sides[0].port < _SERVICES <= flow.sides[1].port


def _answers(flow: Flow) -> bool:
    """Guess by the ports whether a flow's source is the one who was asked."""
    source, destination = flow.sides[0].port, flow.sides[1].port
    if source < _SERVICES or destination < _SERVICES:
        return _is_from_service(flow)
    return source < _EPHEMERAL <= destination


def _is_first(flow: Flow, other: Flow) -> bool:
    """Say whether a flow, not its other direction, is that of who began."""
    if flow.began != other.began and None in (flow.began, other.began):
        return flow.began is True or other.began is False
    if flow.began != other.began:
        return flow.began is True
    if flow.start is not None and other.start is not None and flow.start // 1000 != other.start // 1000:
        return flow.start < other.start
    return _answers(other) and not _answers(flow)

"""A datagram of NetFlow v5, v9 or IPFIX enters, its header and its sets leave; templates and records by `templates.py`.

Source: Cisco's "NetFlow Export Datagram Format" (v5), RFC 3954 (v9), RFC 7011 (IPFIX). Pure.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from collectors.netflow.elements import as_address

V5, V9, IPFIX = 5, 9, 10
_VERSION = struct.Struct("!H")
_V5_HEADER = struct.Struct("!HHIIIIBBH")
_V5_RECORD = struct.Struct("!4s4s4sHHIIIIHHxBBBHHBBxx")
_V9_HEADER = struct.Struct("!HHIIII")
_IPFIX_HEADER = struct.Struct("!HHIII")
_SET = struct.Struct("!HH")
#: The observation domain of what we say ourselves: no exporter's.
_SAID_DOMAIN = 0xFFFF_FFFF
#: RFC 3954: a datagram of v5 has at most this many records.
_V5_MOST = 30
_V5_NAMES = (
    "source_ipv4_address", "destination_ipv4_address", "ip_next_hop_ipv4_address", "ingress_interface",
    "egress_interface", "packet_delta_count", "octet_delta_count", "flow_start_sys_up_time", "flow_end_sys_up_time",
    "source_transport_port", "destination_transport_port", "tcp_control_bits", "protocol_identifier",
    "ip_class_of_service", "bgp_source_as_number", "bgp_destination_as_number", "source_ipv4_prefix_length",
    "destination_ipv4_prefix_length",
)  # fmt: skip


class Malformed(ValueError):
    """A datagram that is none of NetFlow's, or is broken; its text says where."""


class Header(NamedTuple):
    """`time` is the export time in milliseconds since 1970; `boot` when the exporter started, where it says so.

    `units` is what the sequence number counts of this datagram; None where its records must be counted first.
    """

    version: int
    domain: int
    sequence: int
    units: int | None
    time: int
    boot: int | None
    sampling: int


class Set(NamedTuple):
    """The number of a set and its content."""

    number: int
    content: bytes


def parse(data: bytes) -> tuple[Header, list[Set] | list[dict[str, Any]]]:
    """Return the header and the sets; of v5, which has no templates, the records.

    Raises:
        Malformed: it is no such datagram.
    """
    try:
        (version,) = _VERSION.unpack_from(data)
        if version == V5:
            return _v5(data)
        if version == V9:
            return _v9(data)
        if version == IPFIX:
            return _ipfix(data)
    except struct.error as error:
        raise Malformed(f"shorter than its header: {len(data)} bytes") from error
    raise Malformed(f"version {version} is none of 5, 9 and 10")


def _v5(data: bytes) -> tuple[Header, list[dict[str, Any]]]:
    _, count, uptime, seconds, nanos, sequence, kind, engine, sampling = _V5_HEADER.unpack_from(data)
    end = _V5_HEADER.size + count * _V5_RECORD.size
    if not 0 < count <= _V5_MOST or len(data) < end:
        raise Malformed(f"v5: {count} records in {len(data)} bytes")
    time = seconds * 1000 + nanos // 1_000_000
    header = Header(V5, kind << 8 | engine, sequence, count, time, time - uptime, sampling & 0x3FFF)
    records = []
    for values in _V5_RECORD.iter_unpack(data[_V5_HEADER.size : end]):
        record = dict(zip(_V5_NAMES, values, strict=True))
        for name in _V5_NAMES[:3]:
            record[name] = as_address(record[name])
        records.append(record)
    return header, records


def _v9(data: bytes) -> tuple[Header, list[Set]]:
    _, _, uptime, seconds, sequence, domain = _V9_HEADER.unpack_from(data)
    time = seconds * 1000
    return Header(V9, domain, sequence, 1, time, time - uptime, 0), list(_sets(data, _V9_HEADER.size))


def _ipfix(data: bytes) -> tuple[Header, list[Set]]:
    _, length, seconds, sequence, domain = _IPFIX_HEADER.unpack_from(data)
    if not _IPFIX_HEADER.size <= length <= len(data):
        raise Malformed(f"IPFIX: says {length} bytes and has {len(data)}")
    return Header(IPFIX, domain, sequence, None, seconds * 1000, None, 0), list(
        _sets(data[:length], _IPFIX_HEADER.size)
    )


def _sets(data: bytes, at: int) -> Iterator[Set]:
    while len(data) - at >= _SET.size:
        number, length = _SET.unpack_from(data, at)
        if length < _SET.size or at + length > len(data):
            raise Malformed(f"set {number} at byte {at}: {length} bytes of {len(data) - at}")
        yield Set(number, data[at + _SET.size : at + length])
        at += length


def said_in_ipfix(text: bytes) -> bytes:
    """Return a datagram of IPFIX with one record, which says a text and counts no flow (`applicationDescription`)."""
    template = struct.pack("!HHHHHH", 2, 12, 256, 1, 94, 65_535)
    record = b"\xff" + struct.pack("!H", len(text)) + text
    content = template + struct.pack("!HH", 256, 4 + len(record)) + record
    return _IPFIX_HEADER.pack(IPFIX, _IPFIX_HEADER.size + len(content), 0, 0, _SAID_DOMAIN) + content

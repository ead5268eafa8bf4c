"""Datagrams of NetFlow put together by hand: fields and values enter, bytes leave."""

import socket
import struct
from typing import Any

from collectors.netflow.packets import said_in_ipfix

#: Export time of all of them, seconds since 1970, and how long the exporter had been up, milliseconds.
TIME, UPTIME = 1_795_500_000, 3_600_000
BOOT = TIME * 1000 - UPTIME

#: Number of an element and its length.
SRC, DST, SPORT, DPORT, PROTO = (8, 4), (12, 4), (7, 2), (11, 2), (4, 1)
OCTETS, PACKETS, FIRST, LAST, FLAGS = (1, 4), (2, 4), (22, 4), (21, 4), (6, 1)
START, END = (152, 8), (153, 8)
SRC6, DST6 = (27, 16), (28, 16)
USUAL = (SRC, DST, SPORT, DPORT, PROTO, OCTETS, PACKETS, FIRST, LAST, FLAGS)


def ip(text: str) -> bytes:
    """Return an address as bytes."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def v5(
    *records: dict[str, Any], sequence: int = 0, sampling: int = 0, uptime: int = UPTIME, count: int | None = None
) -> bytes:
    """A datagram of version 5."""
    count = len(records) if count is None else count
    head = struct.pack("!HHIIIIBBH", 5, count, uptime, TIME, 0, sequence, 1, 2, sampling)
    return head + b"".join(_v5(**record) for record in records)


def _v5(
    src: str = "10.0.0.5", dst: str = "203.0.113.9", sport: int = 40_000, dport: int = 443, proto: int = 6, octets: int = 500,
    packets: int = 5, first: int = 1000, last: int = 3000, flags: int = 0x1B,
) -> bytes:  # fmt: skip
    return struct.pack(
        "!4s4s4sHHIIIIHHxBBBHHBBxx", ip(src), ip(dst), ip("10.0.0.1"), 3, 4, packets, octets, first, last, sport, dport,
        flags, proto, 0, 65_001, 65_002, 24, 16,
    )  # fmt: skip


def values(
    src: str = "10.0.0.5", dst: str = "203.0.113.9", sport: int = 40_000, dport: int = 443, proto: int = 6, octets: int = 500,
    packets: int = 5, first: int = 1000, last: int = 3000, flags: int = 0x1B,
) -> bytes:  # fmt: skip
    """The record of a template of `USUAL`."""
    return ip(src) + ip(dst) + struct.pack("!HHBIIIIB", sport, dport, proto, octets, packets, first, last, flags)


def template(number: int, *fields: tuple[int, ...]) -> bytes:
    """One template: fields of (number, length) or (number, length, enterprise)."""
    return struct.pack("!HH", number, len(fields)) + b"".join(map(_field, fields))


def options9(number: int, scope: tuple[tuple[int, int], ...], *fields: tuple[int, int]) -> bytes:
    """An options template of version 9."""
    return struct.pack("!HHH", number, 4 * len(scope), 4 * len(fields)) + b"".join(map(_field, (*scope, *fields)))


def options10(number: int, scope: int, *fields: tuple[int, ...]) -> bytes:
    """An options template of IPFIX, whose first `scope` fields are the scope."""
    return struct.pack("!HHH", number, len(fields), scope) + b"".join(map(_field, fields))


def _field(field: tuple[int, ...]) -> bytes:
    if len(field) == 3:
        return struct.pack("!HHI", field[0] | 0x8000, field[1], field[2])
    return struct.pack("!HH", field[0], field[1])


def part(number: int, content: bytes, pad: int = 0) -> bytes:
    """One set."""
    return struct.pack("!HH", number, 4 + len(content) + pad) + content + b"\0" * pad


def v9(*sets: bytes, sequence: int = 0, domain: int = 7, uptime: int = UPTIME) -> bytes:
    """A datagram of version 9."""
    return struct.pack("!HHIIII", 9, len(sets), uptime, TIME, sequence, domain) + b"".join(sets)


def v10(*sets: bytes, sequence: int = 0, domain: int = 7) -> bytes:
    """A datagram of IPFIX."""
    content = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(content), TIME, sequence, domain) + content


def seeds() -> list[bytes]:
    """Datagrams of every kind, to be mutated."""
    fields = (*USUAL, (96, 65_535), (77, 4, 9_999))
    content = values() + b"\4http" + struct.pack("!I", 42)
    return [
        v5({}, {}), v9(part(0, template(256, *USUAL)), part(256, values() * 3)), v10(part(2, template(256, *fields)), part(256, content * 2)),
        v9(part(1, options9(257, ((1, 4),), (34, 4), (35, 1)), pad=2), part(257, struct.pack("!IIB", 1, 100, 1))),
        v10(part(3, options10(258, 1, (302, 4), (305, 4), (306, 4))), part(258, struct.pack("!III", 5, 1, 9))), v9(part(256, values() * 2)),
        said_in_ipfix(b"x"), v10(part(2, template(256, *USUAL[:5], (1, 8, 29_305), (154, 8), (311, 8))), part(256, values()[:13] + b"\xff" * 24)),
    ]  # fmt: skip

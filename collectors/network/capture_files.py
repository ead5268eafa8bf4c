"""Capture files enter, the places of their packets leave: pcap (any byte order and resolution) and pcapng.

Formats: draft-ietf-opsawg-pcap-05 and draft-ietf-opsawg-pcapng-02 (IETF). Packets are not copied: a packet is where it
lies in the buffer, so a file that is mapped into memory costs none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap
from struct import Struct, error
from typing import TypeAlias

#: What packets lie in; a slice of it is bytes.
Buffer: TypeAlias = bytes | mmap

#: A packet longer than this is no packet: the file is damaged there.
MAX_PACKET = 262_144
#: Interfaces of one pcapng section that are remembered.
MAX_INTERFACES = 1_000
_MAGIC = {
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000), b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000), b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
}  # fmt: skip
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_SECTION_BYTES = b"\x0a\x0d\x0d\x0a"
#: How a capture file begins.
CAPTURE_MAGIC = frozenset((*_MAGIC, _SECTION_BYTES))
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_END_OF_OPTIONS, _RESOLUTION, _OFFSET = 0, 9, 14


#: A packet: microseconds since 1970, offset, bytes that were captured, bytes on the wire, link type.
Place: TypeAlias = tuple[int, int, int, int, int]


class DamagedError(ValueError):
    """The file cannot be read (on) from a place; what was before it was given."""


def packets(buffer: Buffer) -> Iterator[Place]:
    """Return an iterator of the packets of a capture file.

    Raises:
        DamagedError: it is no capture file; and, from the iterator, it is cut off or damaged in the middle.
    """
    magic = buffer[:4]
    if magic in _MAGIC:
        return _pcap(buffer, *_MAGIC[magic])
    if magic == _SECTION_BYTES:
        return _pcapng(buffer)
    raise DamagedError(f"begins with {magic.hex() or 'nothing'}, which is neither pcap nor pcapng")


def _pcap(buffer: Buffer, order: str, resolution: int) -> Iterator[Place]:
    size = len(buffer)
    if size < 24:
        raise DamagedError(f"the header has 24 bytes, the file {size}")
    (link,) = Struct(order + "20xI").unpack_from(buffer)
    link &= 0x0FFF_FFFF  # the upper bits tell of frame check sequences
    head = Struct(order + "IIII").unpack_from
    fraction = resolution // 1_000_000
    at = 24
    while at + 16 <= size:
        seconds, part, length, wire = head(buffer, at)
        at += 16
        if length > MAX_PACKET or at + length > size:
            raise DamagedError(_too_long(length, at, size))
        yield seconds * 1_000_000 + part // fraction, at, length, wire, link
        at += length
    if at < size:
        raise DamagedError(f"{size - at} bytes at the end are no packet: the file was cut off")


def _too_long(length: int, at: int, size: int) -> str:
    if length > MAX_PACKET:
        return f"a packet of {length} bytes at byte {at}: the file is damaged there"
    return f"the last packet, at byte {at}, has {length} bytes, the file {size - at} more: it was cut off"


@dataclass(slots=True)
class _Section:
    """What the blocks of a pcapng section so far say: byte order, and link type and clock of each interface."""

    order: str
    interfaces: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Link type, ticks a second, seconds to add, snapshot length."""


def _pcapng(buffer: Buffer) -> Iterator[Place]:
    at, size = 0, len(buffer)
    section = _Section("<")
    while at + 12 <= size:
        if buffer[at : at + 4] == _SECTION_BYTES:
            order = _ORDERS.get(buffer[at + 8 : at + 12])
            if order is None:
                raise DamagedError(f"a section at byte {at} without a known byte order")
            section = _Section(order)
        kind, length = Struct(section.order + "II").unpack_from(buffer, at)
        if length < 12 or length % 4 or at + length > size:
            raise DamagedError(f"a block of {length} bytes at byte {at}, the file has {size - at} more")
        try:
            if (found := _block(buffer, at, length, kind, section)) is not None:
                yield found
        except (error, IndexError) as fault:
            raise DamagedError(f"the block at byte {at} is damaged: {fault}") from fault
        at += length
    if at < size:
        raise DamagedError(f"{size - at} bytes at the end are no block: the file was cut off")


def _block(buffer: Buffer, at: int, length: int, kind: int, section: _Section) -> Place | None:
    """Read a block: keep what it says of an interface, return the packet that it holds."""
    order, end = section.order, at + length - 4
    if kind == _INTERFACE:
        if len(section.interfaces) >= MAX_INTERFACES:
            raise DamagedError(f"more than {MAX_INTERFACES} interfaces in a section")
        section.interfaces.append(_interface(buffer, at, end, order))
        return None
    if kind == _PACKET:
        number, high, low, captured, wire = Struct(order + "IIIII").unpack_from(buffer, at + 8)
    elif kind == _OLD_PACKET:
        number, _, high, low, captured, wire = Struct(order + "HHIIII").unpack_from(buffer, at + 8)
    elif kind == _SIMPLE_PACKET:
        (wire,) = Struct(order + "I").unpack_from(buffer, at + 8)
        link, _, _, most = section.interfaces[0]
        return 0, at + 12, min(wire, most or wire, end - at - 12), wire, link
    else:
        return None
    link, ticks, offset, _ = section.interfaces[number]
    begin = at + 28
    if captured > MAX_PACKET or begin + captured > end:
        raise DamagedError(_too_long(captured, begin, end))
    return (high << 32 | low) * 1_000_000 // ticks + offset * 1_000_000, begin, captured, wire, link


def _interface(buffer: Buffer, at: int, end: int, order: str) -> tuple[int, int, int, int]:
    link, most = Struct(order + "HxxI").unpack_from(buffer, at + 8)
    ticks, offset = 1_000_000, 0
    place, option = at + 16, Struct(order + "HH")
    while place + 4 <= end:
        code, length = option.unpack_from(buffer, place)
        value = buffer[place + 4 : min(end, place + 4 + length)]
        if code == _END_OF_OPTIONS:
            break
        if code == _RESOLUTION and value:
            power = value[0] & 0x7F
            ticks = 2 ** min(power, 63) if value[0] & 0x80 else 10 ** min(power, 18)
        elif code == _OFFSET and len(value) == 8:
            (offset,) = Struct(order + "q").unpack(value)
        place += 4 + (length + 3) // 4 * 4
    return link, ticks, offset, most

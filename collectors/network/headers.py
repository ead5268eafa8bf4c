"""The headers of any packet: bytes and the link type enter, addresses, ports and where the payload lies leave.

The usual packet (Ethernet, IPv4 without options, TCP or UDP) never comes here: the flow table reads it in one step.
Here are VLAN tags (802.1Q, 802.1ad), PPPoE, Linux "cooked" captures, raw IP, IPv6 with extension headers (RFC 8200),
fragments, and IP in IP, 6in4, GRE and VXLAN (RFC 2003, 4213, 2784, 7348), whose inner packet is what counts.
"""

from struct import Struct
from typing import NamedTuple

from collectors.network.capture_files import Buffer

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
ETHERNET, RAW, LOOP, COOKED, IPV4_ONLY, IPV6_ONLY, COOKED2, NULL = 1, 101, 108, 113, 228, 229, 276, 0
_RAW = frozenset((RAW, 12, 14, IPV4_ONLY, IPV6_ONLY))
_IP4, _IP6, _ARP, _PPPOE = 0x0800, 0x86DD, 0x0806, 0x8864
_TAGS = frozenset((0x8100, 0x88A8, 0x9100))
_TYPE, _WORD, _PORTS = Struct("!H").unpack_from, Struct("!I").unpack_from, Struct("!HH").unpack_from
_HEAD4, _HEAD6 = Struct("!BxHHHxB").unpack_from, Struct("!4xHB").unpack_from
_IN_IP, _IN_IP6, _GRE, _AH, _FRAGMENT = 4, 41, 47, 51, 44
#: Whole frames in packets, as mirror ports send them: VXLAN, Ethernet in GRE, ERSPAN (draft-foschiano-erspan).
_VXLAN, _BRIDGED, _ERSPAN = 4789, 0x6558, 0x88BE
#: UDP ports at which whole frames come.
TUNNELS = frozenset((_VXLAN,))
_EXTENSIONS = frozenset((0, 43, 60, 135, 139, 140))
#: Packets in packets, tags and extension headers that are followed.
MAX_LAYERS = 8


class Headers(NamedTuple):
    """What stands before the payload. Addresses are as on the wire, 4 or 16 bytes; ports are 0 where there are none.

    `size` is what the IP header says of the whole packet, `payload` and `end` are offsets (`end` as far as was
    captured). `fragment` is not empty for a piece of a packet: its name; `first` for the piece with the ports.
    """

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    size: int
    transport: int
    end: int
    macs: bytes
    vlan: int
    fragment: bytes = b""
    first: bool = True


class Arp(NamedTuple):
    """An ARP message of Ethernet and IPv4 (RFC 826)."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes
    macs: bytes
    vlan: int


class MalformedError(ValueError):
    """A packet that is no packet: which header, and what is wrong with it."""


class NotIpError(ValueError):
    """A packet of another protocol than IP and ARP."""


def parse(buffer: Buffer, at: int, length: int, link: int) -> Headers | Arp:
    """Read a packet's headers.

    Raises:
        MalformedError: a header is cut off or contradicts itself.
        NotIpError: it carries neither IP nor ARP.
    """
    end = at + length
    try:
        kind, at, macs, vlan = _link(buffer, at, end, link)
        if kind == _ARP:
            return _arp(buffer, at, end, macs, vlan)
        return _ip(buffer, at, end, macs, vlan)
    except IndexError as fault:
        raise MalformedError("cut off") from fault


def _need(at: int, count: int, end: int, what: str) -> None:
    if at + count > end:
        raise MalformedError(f"{what} is cut off: {count} bytes were expected, {max(0, end - at)} are there")


def _link(buffer: Buffer, at: int, end: int, link: int) -> tuple[int, int, bytes, int]:
    """Return the EtherType, where its packet begins, destination and source MAC, and the VLAN."""
    macs, vlan = b"", 0
    if link == ETHERNET:
        _need(at, 14, end, "the Ethernet header")
        macs = buffer[at : at + 12]
        (kind,) = _TYPE(buffer, at + 12)
        at += 14
    elif link in _RAW:
        _need(at, 1, end, "the packet")
        return _by_version(buffer[at]), at, macs, vlan
    elif link in (NULL, LOOP):
        _need(at, 5, end, "the loopback header")
        return _by_version(buffer[at + 4]), at + 4, macs, vlan
    elif link == COOKED:
        _need(at, 16, end, "the cooked header")
        (kind,) = _TYPE(buffer, at + 14)
        at += 16
    elif link == COOKED2:
        _need(at, 20, end, "the cooked header")
        (kind,) = _TYPE(buffer, at)
        at += 20
    else:
        raise NotIpError(f"link type {link}")
    for _ in range(MAX_LAYERS):
        if kind not in _TAGS:
            break
        _need(at, 4, end, "the VLAN tag")
        vlan, kind = _PORTS(buffer, at)
        vlan &= 0x0FFF
        at += 4
    if kind == _PPPOE:
        _need(at, 8, end, "the PPPoE header")
        kind = {0x0021: _IP4, 0x0057: _IP6}.get(_TYPE(buffer, at + 6)[0], 0)
        at += 8
    if kind not in (_IP4, _IP6, _ARP):
        raise NotIpError(f"EtherType 0x{kind:04x}")
    return kind, at, macs, vlan


def _by_version(first: int) -> int:
    if first >> 4 not in (4, 6):
        raise NotIpError(f"IP version {first >> 4}")
    return _IP4 if first >> 4 == 4 else _IP6


def _ip(buffer: Buffer, at: int, end: int, macs: bytes, vlan: int) -> Headers:
    for _ in range(MAX_LAYERS):
        _need(at, 20, end, "the IP header")
        version = buffer[at] >> 4
        if version not in (4, 6):
            raise MalformedError(f"an IP header of version {version}")
        found = (_version4 if version == 4 else _version6)(buffer, at, end, macs, vlan)
        if found.fragment or (inner := _inner(buffer, found)) is None:
            return found
        (at, macs, vlan), end = inner, found.end
    return found


def _version4(buffer: Buffer, at: int, end: int, macs: bytes, vlan: int) -> Headers:
    first, size, identifier, offset, protocol = _HEAD4(buffer, at)
    head = (first & 15) * 4
    if head < 20:
        raise MalformedError(f"an IPv4 header of {head} bytes")
    _need(at, head, end, "the IPv4 header")
    size = size or end - at  # left out by network cards that cut large packets up themselves
    if size < head:
        raise MalformedError(f"an IPv4 packet of {size} bytes with a header of {head}")
    source, destination = buffer[at + 12 : at + 16], buffer[at + 16 : at + 20]
    fragment = b""
    if offset & 0x3FFF:
        fragment = source + destination + bytes((protocol,)) + identifier.to_bytes(2, "big")
    ends, first_piece = min(end, at + size), not offset & 0x1FFF
    ports = _ports(buffer, at + head, ends, protocol) if first_piece else (0, 0)
    return Headers(source, destination, protocol, *ports, size, at + head, ends, macs, vlan, fragment, first_piece)


def _version6(buffer: Buffer, at: int, end: int, macs: bytes, vlan: int) -> Headers:
    _need(at, 40, end, "the IPv6 header")
    length, protocol = _HEAD6(buffer, at)
    source, destination = buffer[at + 8 : at + 24], buffer[at + 24 : at + 40]
    ends = min(end, at + 40 + length) if length else end
    place, fragment, first = at + 40, b"", True
    for _ in range(MAX_LAYERS):
        if protocol in _EXTENSIONS:
            _need(place, 8, ends, "an IPv6 extension header")
            protocol, place = buffer[place], place + (buffer[place + 1] + 1) * 8
        elif protocol == _AH:
            _need(place, 8, ends, "the authentication header")
            protocol, place = buffer[place], place + (buffer[place + 1] + 2) * 4
        elif protocol == _FRAGMENT:
            _need(place, 8, ends, "the IPv6 fragment header")
            protocol, (offset,) = buffer[place], _TYPE(buffer, place + 2)
            if offset & 0xFFF9:
                fragment = source + destination + buffer[place + 4 : place + 8]
                first = not offset & 0xFFF8
            place += 8
        else:
            break
    size = 40 + length if length else end - at
    ports = _ports(buffer, place, ends, protocol) if first else (0, 0)
    return Headers(source, destination, protocol, *ports, size, place, ends, macs, vlan, fragment, first)


def _ports(buffer: Buffer, at: int, end: int, protocol: int) -> tuple[int, int]:
    """Return the ports; of ICMP what Zeek and Community ID take for them, type and its counterpart or code."""
    if protocol in (TCP, UDP, SCTP):
        _need(at, 4, end, "the ports")
        source, destination = _PORTS(buffer, at)
        return source, destination
    if protocol in (ICMP, ICMP6):
        _need(at, 2, end, "the ICMP header")
        kind, code = buffer[at], buffer[at + 1]
        return kind, (_ICMP_PAIRS if protocol == ICMP else _ICMP6_PAIRS).get(kind, code)
    return 0, 0


def _inner(buffer: Buffer, found: Headers) -> tuple[int, bytes, int] | None:
    """Return where the packet within a packet begins, and its MAC addresses and VLAN."""
    at, same = found.transport, (found.macs, found.vlan)
    if found.protocol in (_IN_IP, _IN_IP6):
        return at, *same
    if found.protocol == UDP and found.destination_port in TUNNELS and found.end - at > 16:
        return _framed(buffer, at + 16, found.end)
    if found.protocol != _GRE or at + 4 > found.end:
        return None
    flags, kind = _PORTS(buffer, at)
    if flags & 0x4007:
        return None
    at += 4 + 4 * int((flags >> 15) + (flags >> 13 & 1) + (flags >> 12 & 1))
    if kind in (_IP4, _IP6):
        return at, *same
    if kind in (_BRIDGED, _ERSPAN):
        return _framed(buffer, at + (8 if kind == _ERSPAN and flags & 0x1000 else 0), found.end)
    return None


def _framed(buffer: Buffer, at: int, end: int) -> tuple[int, bytes, int] | None:
    """Read the Ethernet header of a frame within a packet."""
    try:
        kind, at, macs, vlan = _link(buffer, at, end, ETHERNET)
    except (MalformedError, NotIpError):
        return None
    return (at, macs, vlan) if kind != _ARP else None


def _arp(buffer: Buffer, at: int, end: int, macs: bytes, vlan: int) -> Arp:
    _need(at, 28, end, "the ARP message")
    if buffer[at : at + 6] != b"\x00\x01\x08\x00\x06\x04":
        raise NotIpError("ARP of other addresses than Ethernet and IPv4")
    (operation,) = _TYPE(buffer, at + 6)
    part = buffer[at + 8 : at + 28]
    return Arp(operation, part[:6], part[6:10], part[10:16], part[16:20], macs, vlan)


_ICMP_PAIRS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6_PAIRS = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144}

"""Keywords about the packet and its connection enter, tests of these leave (docs.suricata.io, "Header keywords")."""

import operator
import re
from collections.abc import Callable

from collectors.network.headers import ICMP, ICMP6, TCP, UDP
from collectors.network.rules.grammar import Option, Refused
from collectors.network.rules.rule import Packet, PacketTest

_RANGE = re.compile(r"(!?)\s*(?:(\d+)\s*(?:<>|-)\s*(\d+)|([<>]=?|=)?\s*(\d+))")
_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128, "2": 64, "1": 128, "0": 0}
_FLAG_TEST = re.compile(r"([*+!]?)([FSRPAUEC120]+)([*+!]?)(?:\s*,\s*([FSRPAUEC120]+))?")
_STREAM_SIZE = re.compile(r"(server|client|both|either)\s*,\s*([<>]=?|=|!=)\s*,\s*(\d+)")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
    "": operator.eq,
}  # fmt: skip
_PROTOCOLS = {"icmp": ICMP, "tcp": TCP, "udp": UDP, "ipv6-icmp": ICMP6, "igmp": 2, "gre": 47, "esp": 50, "ah": 51}
_LARGEST = 1 << 31


def limits(option: Option) -> tuple[int, int, bool]:
    """Return the least and the most of `>5`, `3<>9`, `7`, and whether it is negated.

    Raises:
        Refused: it is none of these.
    """
    found = _RANGE.fullmatch(option.value)
    if found is None:
        raise Refused("bad_value", option.keyword, value=option.value[:40], expected="7, >5, <9, 3<>9")
    if found[2]:  # both ends are not of it
        return int(found[2]) + 1, int(found[3]) - 1, bool(found[1])
    value = int(found[5])
    least, most = {
        ">": (value + 1, _LARGEST), ">=": (value, _LARGEST), "<": (0, value - 1), "<=": (0, value),
    }.get(found[4] or "=", (value, value))  # fmt: skip
    return least, most, bool(found[1])


def size(option: Option) -> PacketTest:
    """`dsize`: bytes of payload."""
    least, most, negated = limits(option)
    return lambda packet: (least <= packet.size <= most) != negated


def tcp_flags(option: Option) -> PacketTest:
    """`flags`: exactly these of TCP's, or with `+` all of them, with `*` any, with `!` not all; others are left out."""
    found = _FLAG_TEST.fullmatch(option.value.replace(" ", "").upper())
    if found is None or (found[1] and found[3]):
        raise Refused("bad_value", option.keyword, value=option.value[:40], expected="S, +A, *SF, S,12")
    mode = found[1] or found[3]
    wanted = sum({_FLAGS[each] for each in found[2]})
    seen = 0xFF & ~sum({_FLAGS[each] for each in found[4] or ""})
    if mode == "+":
        return lambda packet: packet.protocol == TCP and packet.flags & seen & wanted == wanted
    if mode == "*":
        return lambda packet: packet.protocol == TCP and bool(packet.flags & seen & wanted)
    if mode == "!":
        return lambda packet: packet.protocol == TCP and packet.flags & seen & wanted != wanted
    return lambda packet: packet.protocol == TCP and packet.flags & seen == wanted


def icmp_type(option: Option) -> PacketTest:
    """`itype`."""
    least, most, negated = limits(option)
    return lambda packet: packet.protocol in (ICMP, ICMP6) and (least <= packet.flags >> 8 <= most) != negated


def icmp_code(option: Option) -> PacketTest:
    """`icode`."""
    least, most, negated = limits(option)
    return lambda packet: packet.protocol in (ICMP, ICMP6) and (least <= packet.flags & 0xFF <= most) != negated


def stream_size(option: Option) -> PacketTest:
    """`stream_size`: bytes of payload that a side has sent so far."""
    found = _STREAM_SIZE.fullmatch(option.value.strip())
    if found is None:
        raise Refused("bad_value", option.keyword, value=option.value[:40], expected="server,>,1000")
    compare, wanted = _COMPARE[found[2]], int(found[3])

    def holds(packet: Packet) -> bool:
        server, client = compare(packet.sent_by_server, wanted), compare(packet.sent_by_client, wanted)
        return {"server": server, "client": client, "both": server and client, "either": server or client}[found[1]]

    return holds


def protocol(option: Option) -> PacketTest:
    """`ip_proto`: a number or a name."""
    found = re.fullmatch(r"(!?)\s*([<>]?)\s*(\w[\w-]*)", option.value.strip().lower())
    number = found and (_PROTOCOLS.get(found[3]) or (int(found[3]) if found[3].isdecimal() else None))
    if found is None or number is None:
        raise Refused("bad_value", option.keyword, value=option.value[:40], expected="6, !17, icmp")
    compare = _COMPARE["!=" if found[1] else found[2]]
    return lambda packet: compare(packet.protocol, number)


def same_address(_option: Option) -> PacketTest:
    """`sameip`."""
    return lambda packet: packet.source == packet.destination


#: Each keyword, what makes its test, and whether it asks for something of each packet.
TESTS: dict[str, tuple[Callable[[Option], PacketTest], bool]] = {
    "dsize": (size, True), "flags": (tcp_flags, True), "tcp.flags": (tcp_flags, True), "itype": (icmp_type, True),
    "icode": (icmp_code, True), "stream_size": (stream_size, True), "ip_proto": (protocol, False),
    "sameip": (same_address, False),
}  # fmt: skip

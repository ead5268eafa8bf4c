"""A connection's addresses, ports and protocol enter, its Community ID leaves: the same text whichever sensor saw it.

Source: https://github.com/corelight/community-id-spec, version 1 (SHA-1 over seed, addresses, protocol and ports, the
lower end first), seed 0; of ICMP type and code stand for the ports, as Zeek pairs requests and replies.
"""

import base64
import hashlib
import struct
from functools import lru_cache
from ipaddress import ip_address

TCP, UDP, SCTP, ICMP, ICMP6 = 6, 17, 132, 1, 58
_WITH_PORTS = frozenset((TCP, UDP, SCTP, ICMP, ICMP6))
#: Types of which one answers the other; every other ICMP message goes one way only.
_PAIRS = {
    ICMP: ((8, 0), (13, 14), (15, 16), (10, 9), (17, 18)),
    ICMP6: ((128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145)),
}
_ANSWERS = {
    protocol: {**dict(pairs), **{answer: asked for asked, answer in pairs}} for protocol, pairs in _PAIRS.items()
}
_REQUESTS = {protocol: frozenset(asked for asked, _ in pairs) for protocol, pairs in _PAIRS.items()}
_SEED = struct.pack("!H", 0)
_PORTS = struct.Struct("!HH")
#: Distinct addresses whose bytes are remembered.
_REMEMBERED = 16_384


def community_id(source: str, destination: str, protocol: int, source_port: int = 0, destination_port: int = 0) -> str:
    """Return the Community ID; of ICMP the ports are type and code (as `icmp_ports` gives them).

    Raises:
        ValueError: an address is none, or one is IPv4 and the other IPv6.
    """
    first, second = packed(source), packed(destination)
    if len(first) != len(second):
        raise ValueError(f"{source} and {destination} are of different kinds")
    if protocol not in _WITH_PORTS:
        if first > second:
            first, second = second, first
        return _hashed(first, second, protocol, b"")
    one_way = protocol in _ANSWERS and source_port not in _ANSWERS[protocol]
    if not one_way and (first, source_port) > (second, destination_port):
        first, second, source_port, destination_port = second, first, destination_port, source_port
    return _hashed(first, second, protocol, _PORTS.pack(source_port & 0xFFFF, destination_port & 0xFFFF))


def icmp_ports(protocol: int, kind: int, code: int) -> tuple[int, int]:
    """Return what stands for the ports of an ICMP message: its type, and the type of the answer or its code."""
    return kind, _ANSWERS[protocol].get(kind, code)


def is_icmp_answer(protocol: int, kind: int) -> bool:
    """Say whether a message of this type answers another one: then its receiver has begun."""
    return kind in _ANSWERS[protocol] and kind not in _REQUESTS[protocol]


@lru_cache(maxsize=_REMEMBERED)
def packed(address: str) -> bytes:
    """Return an address as its bytes.

    Raises:
        ValueError: it is none.
    """
    return ip_address(address).packed


def _hashed(first: bytes, second: bytes, protocol: int, ports: bytes) -> str:
    content = b"%b%b%b%c\0%b" % (_SEED, first, second, protocol & 0xFF, ports)
    return "1:" + base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode("ascii")

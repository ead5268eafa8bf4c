"""Headers of every layer lead to the same addresses and ports; cut off or mutated they are refused, never more."""

import random
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest

from collectors.network import headers
from collectors.network.capture_files import DamagedError, packets
from collectors.network.headers import Arp, Headers, MalformedError, NotIpError, parse
from tests.collectors.network.packets import CLIENT, SERVER, SYN, ethernet, ip, tcp, udp

SEGMENT = tcp(40_000, 443, SYN, b"hello")
PACKET = ip(CLIENT, SERVER, 6, SEGMENT)
SIX = ip("2001:db8::1", "2001:db8::2", 6, SEGMENT)
TAG = struct.pack("!HH", 0x2064, 0x0800)  # priority 1, VLAN 100


def with_extensions(*chain: tuple[int, bytes]) -> bytes:
    """An IPv6 packet with extension headers before TCP."""
    body, kinds = b"", [kind for kind, _ in chain[1:]] + [6]
    for (_, content), following in zip(chain, kinds, strict=True):
        body += bytes((following, (len(content) + 2) // 8 - 1)) + content
    return ip("2001:db8::1", "2001:db8::2", chain[0][0], body + SEGMENT)


@pytest.mark.parametrize(
    ("frame", "link"),
    [
        (ethernet(PACKET), headers.ETHERNET),
        (ethernet(TAG + PACKET, 0x8100), headers.ETHERNET),
        (ethernet(struct.pack("!HH", 5, 0x8100) + TAG + PACKET, 0x88A8), headers.ETHERNET),
        (ethernet(b"\x11\x00\x00\x01" + struct.pack("!HH", len(PACKET) + 2, 0x21) + PACKET, 0x8864), headers.ETHERNET),
        (b"\0" * 14 + b"\x08\x00" + PACKET, headers.COOKED),
        (b"\x08\x00" + b"\0" * 18 + PACKET, headers.COOKED2),
        (PACKET, headers.RAW),
        (b"\2\0\0\0" + PACKET, headers.NULL),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 4, PACKET)), headers.ETHERNET),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 47, struct.pack("!HH", 0, 0x0800) + PACKET)), headers.ETHERNET),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 47, struct.pack("!HHI", 0x1000, 0x0800, 9) + PACKET)), headers.ETHERNET),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 47, struct.pack("!HHI8x", 0x1000, 0x88BE, 9) + ethernet(PACKET))), 1),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(9, 4789, b"\x08" + b"\0" * 7 + ethernet(PACKET)))), 1),
        (ethernet(struct.pack("!BBHHHBBH", 0x46, 0, 24 + 25, 0, 0, 64, 6, 0) + PACKET[12:20] + b"\1" * 4 + SEGMENT), 1),
    ],
)
def test_ways_in_which_the_same_packet_comes(frame: bytes, link: int) -> None:
    found = parse(b"before" + frame + b"padding"[:0], 6, len(frame), link)
    assert isinstance(found, Headers)
    assert (str(ip_address(found.source)), str(ip_address(found.destination))) == (CLIENT, SERVER)
    assert (found.protocol, found.source_port, found.destination_port) == (6, 40_000, 443)
    assert (b"before" + frame)[found.transport : found.end] == SEGMENT


@pytest.mark.parametrize(
    "frame",
    [
        ethernet(SIX, 0x86DD),
        ethernet(ip("10.0.0.1", "10.0.0.2", 41, SIX)),
        ethernet(with_extensions((0, b"\0" * 6), (60, b"\0" * 14), (43, b"\0" * 6)), 0x86DD),
    ],
)
def test_ipv6(frame: bytes) -> None:
    found = parse(frame, 0, len(frame), headers.ETHERNET)
    assert isinstance(found, Headers)
    assert str(ip_address(found.source)) == "2001:db8::1"
    assert (found.protocol, found.source_port, frame[found.transport : found.end]) == (6, 40_000, SEGMENT)


def test_the_vlan_and_the_macs_are_kept_and_padding_is_not_payload() -> None:
    frame = ethernet(TAG + PACKET, 0x8100) + b"\0" * 9
    found = parse(frame, 0, len(frame), headers.ETHERNET)
    assert isinstance(found, Headers)
    assert (found.vlan, found.macs[6:].hex(), frame[found.transport : found.end]) == (100, "66778899aabb", SEGMENT)


def test_fragments_have_a_name_and_only_the_first_has_ports() -> None:
    first = parse(frame := ethernet(ip(CLIENT, SERVER, 17, udp(1, 2, b"x" * 16), 0x2000)), 0, len(frame), 1)
    later = parse(frame := ethernet(ip(CLIENT, SERVER, 17, b"y" * 8, 3)), 0, len(frame), 1)
    assert isinstance(first, Headers)
    assert isinstance(later, Headers)
    assert (first.first, later.first, first.fragment == later.fragment != b"") == (True, False, True)
    assert (first.source_port, later.source_port) == (1, 0)


def test_arp_and_what_is_no_ip() -> None:
    message = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 2, b"abcdef", b"\1\2\3\4", b"\0" * 6, b"\5\6\7\x08")
    found = parse(frame := ethernet(message, 0x0806), 0, len(frame), headers.ETHERNET)
    assert isinstance(found, Arp)
    assert (found.operation, found.sender_mac, found.target) == (2, b"abcdef", b"\5\6\7\x08")
    with pytest.raises(NotIpError, match="0x88cc"):
        parse(frame := ethernet(b"lldp" * 9, 0x88CC), 0, len(frame), headers.ETHERNET)
    with pytest.raises(NotIpError, match="link type 105"):
        parse(b"\0" * 60, 0, 60, 105)


@pytest.mark.parametrize("frame", [ethernet(PACKET), ethernet(SIX, 0x86DD), ethernet(TAG + PACKET, 0x8100)])
def test_what_is_cut_off_is_refused_or_known_to_its_end(frame: bytes) -> None:
    for length in range(len(frame)):
        try:
            found = parse(frame, 0, length, headers.ETHERNET)
        except (MalformedError, NotIpError):
            continue
        assert isinstance(found, Headers)
        assert found.end <= length


def test_mutated_packets_are_refused_or_read_and_no_more(shared_data: Path) -> None:
    dice = random.Random(7)
    kept: list[tuple[bytes, int]] = []
    for path in sorted((shared_data / "pcap").rglob("*.pcap*"))[::3]:
        data = path.read_bytes()
        try:
            kept += [(data[at : at + length], link) for _, at, length, _, link in packets(data)][:20]
        except DamagedError:
            continue
    for _ in range(20_000):
        frame, link = dice.choice(kept)
        damaged = bytearray(frame)
        for _ in range(dice.randint(1, 6)):
            if damaged:
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        length = dice.randint(0, len(damaged))
        try:
            found = parse(bytes(damaged), 0, length, link)
        except (MalformedError, NotIpError):
            continue
        if isinstance(found, Headers):
            assert found.end <= length
            assert len(found.source) == len(found.destination) in (4, 16)

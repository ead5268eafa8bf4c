"""Capture files of every kind are read to their last whole packet; what is damaged is said, with its place."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.utils import RawPcapReader

from collectors.network.capture_files import MAX_PACKET, DamagedError, Place, packets
from tests.collectors.network.packets import START, pcap

FRAMES = [(START + number, bytes((number,)) * (20 + number)) for number in range(5)]


def read(data: bytes) -> list[tuple[int, bytes]]:
    return [(place[0], data[place[1] : place[1] + place[2]]) for place in packets(data)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_of_either_order_and_resolution(order: str, magic: int) -> None:
    assert read(pcap(FRAMES, order, magic)) == FRAMES


def block(order: str, kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def pcapng(order: str, options: bytes = b"", ticks: int = 1_000_000, added: int = 0) -> bytes:
    made = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    made += block(order, 1, struct.pack(order + "HHI", 1, 0, 65_535) + options)
    made += block(order, 5, b"statistics, which nobody needs here")
    for time, frame in FRAMES:
        stamp = (time - added * 1_000_000) * ticks // 1_000_000
        body = struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
        made += block(order, 6, body + frame)
    return made


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_either_order(order: str) -> None:
    assert read(pcapng(order)) == FRAMES
    assert read(pcapng(order) + pcapng("<" if order == ">" else ">")) == FRAMES * 2  # another section


def test_clocks_of_a_pcapng_interface() -> None:
    assert read(pcapng("<", option("<", 9, b"\x09"), 1_000_000_000)) == FRAMES
    binary = read(pcapng("<", option("<", 9, b"\x94"), 2**20))
    assert [frame for _, frame in binary] == [frame for _, frame in FRAMES]
    assert all(abs(time - wanted) <= 1 for (time, _), (wanted, _) in zip(binary, FRAMES, strict=True))
    assert read(pcapng("<", option("<", 14, struct.pack("<q", 1_000)), added=1_000)) == FRAMES


def test_simple_and_old_packets_of_pcapng() -> None:
    head = block("<", 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(
        "<", 1, struct.pack("<HHI", 1, 0, 4)
    )
    assert read(head + block("<", 3, struct.pack("<I", 9) + b"abcd")) == [(0, b"abcd")]
    old = struct.pack("<HHIIII", 0, 0, START >> 32, START & 0xFFFFFFFF, 3, 3) + b"abc"
    assert read(head + block("<", 2, old)) == [(START, b"abc")]


@pytest.mark.parametrize(
    ("data", "said", "before"),
    [
        (b"", "nothing", 0),
        (b"PK\x03\x04 a zip", "504b0304", 0),
        (pcap(FRAMES)[:20], "the file 20", 0),
        (pcap(FRAMES)[:-1], "cut off", 4),
        (pcap(FRAMES) + b"xyz", "3 bytes at the end", 5),
        (pcap(FRAMES) + struct.pack("<IIII", 1, 1, MAX_PACKET + 1, 1), "damaged", 5),
        (pcapng("<")[:-5], "a block of", 4),
        (pcapng("<") + b"\6\0\0\0\3\0\0\0aaaaaaaa", "a block of 3 bytes", 5),
        (pcapng("<") + block("<", 6, struct.pack("<IIIII", 9, 0, 0, 0, 0)), "is damaged", 5),
        (pcapng("<") + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 999, 999)), "was cut off", 5),
        (block("<", 0x0A0D0D0A, b"\1\2\3\4" * 4), "byte order", 0),
    ],
)
def test_what_is_damaged_is_said_and_what_came_before_is_given(data: bytes, said: str, before: int) -> None:
    found: list[Place] = []
    with pytest.raises(DamagedError, match=said):
        for place in packets(data):
            found.append(place)  # noqa: PERF402 -- as far as they came
    assert len(found) == before


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([pcap(FRAMES), pcapng("<"), pcapng(">")]), st.integers(0, 10_000), st.binary(max_size=9))
def test_nothing_but_the_one_error_escapes(data: bytes, at: int, put: bytes) -> None:
    at %= len(data)
    damaged = data[:at] + put + data[at + len(put) :]
    try:
        for _, begin, length, *_ in packets(damaged):
            assert 0 <= begin <= begin + length <= len(damaged)
    except DamagedError:
        pass


def test_real_captures_have_the_packets_that_scapy_finds(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "pcap").rglob("*.pcap*")):
        if "fuzz" in path.name:
            continue  # damaged on purpose
        with RawPcapReader(str(path)) as reader:
            theirs = [frame for frame, _ in reader]
        assert [frame for _, frame in read(path.read_bytes())] == theirs, path.name
        compared += 1
    assert compared > 200

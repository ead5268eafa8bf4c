"""Packets for tests: headers put together by hand, capture files of them, and what a sensor says of these."""

import contextlib
import struct
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from collectors.network.capture_files import DamagedError, packets
from collectors.network.sensor import Sensor

START = 1_795_500_000_000_000
CLIENT, SERVER = "192.0.2.10", "198.51.100.20"
SYN, ACK, FIN, RST, PSH = 2, 16, 1, 4, 8


def ethernet(payload: bytes, kind: int = 0x0800) -> bytes:
    """A frame."""
    return b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb" + struct.pack("!H", kind) + payload


def ip(source: str, destination: str, protocol: int, payload: bytes, fragment: int = 0, number: int = 7) -> bytes:
    """An IPv4 or IPv6 packet."""
    first, second = ip_address(source).packed, ip_address(destination).packed
    if len(first) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + first + second + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, fragment, 64, protocol, 0)
    return head + first + second + payload


def tcp(source_port: int, destination_port: int, flags: int, payload: bytes = b"", sequence: int = 1000) -> bytes:
    """A segment."""
    return struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, 0, 0x50, flags, 1000, 0, 0) + payload


def udp(source_port: int, destination_port: int, payload: bytes = b"") -> bytes:
    """A datagram."""
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def pcap(frames: Iterable[tuple[int, bytes]], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    """A capture file of frames at these microseconds."""
    made = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)]
    nanoseconds = magic == 0xA1B23C4D
    for time, frame in frames:
        part = time % 1_000_000 * (1_000 if nanoseconds else 1)
        made.append(struct.pack(order + "IIII", time // 1_000_000, part, len(frame), len(frame)) + frame)
    return b"".join(made)


class Talk:
    """A TCP connection: what each side sends, a millisecond apart."""

    def __init__(self, client: str = CLIENT, server: str = SERVER, ports: tuple[int, int] = (40_000, 443)) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self._sides, self._ports = (client, server), ports
        self._next = [100, 5_000]
        self.time = START

    def says(
        self, side: int, flags: int, payload: bytes = b"", after: int = 1_000, sequence: int | None = None
    ) -> None:
        """Add a segment of the client (0) or the server (1), some microseconds after the one before."""
        self.time += after
        at = self._next[side] if sequence is None else sequence
        segment = tcp(self._ports[side], self._ports[1 - side], flags, payload, at)
        self.frames.append((self.time, ethernet(ip(self._sides[side], self._sides[1 - side], 6, segment))))
        if sequence is None:
            self._next[side] += len(payload) + (1 if flags & (SYN | FIN) else 0)

    def opens(self) -> "Talk":
        """The three segments of a beginning."""
        self.says(0, SYN)
        self.says(1, SYN | ACK)
        self.says(0, ACK)
        return self

    def closes(self) -> "Talk":
        """Both sides end it."""
        self.says(0, FIN | ACK)
        self.says(1, FIN | ACK)
        self.says(0, ACK)
        return self


def sensed(capture: bytes, **settings: Any) -> list[dict[str, Any]]:
    """Return the events that a sensor makes of a capture, as far as it can be read."""
    found: list[dict[str, Any]] = []
    sensor = Sensor(lambda fields, _: found.append(fields), **settings)
    with contextlib.suppress(DamagedError):
        sensor.take(capture, packets(capture))
    sensor.finish()
    return found


def of(events: Iterable[dict[str, Any]], dataset: str) -> list[dict[str, Any]]:
    """Return the events of a data set."""
    return [event for event in events if event["event.dataset"] == dataset]

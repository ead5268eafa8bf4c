"""`bench network`: packets in memory enter, packets a second on one core leave, from the bytes to the events.

The traffic is made up, the same every time: many connections at once, most of them TLS and DNS. Where scapy and dpkt
are installed, their own reading of the same packets (without flows) is measured in the same run.
"""

import argparse
import contextlib
import importlib
import io
import random
import resource
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from collectors.network.bench_live import measure_live
from collectors.network.capture_files import packets
from collectors.network.evidence import Recorder
from collectors.network.rules.ruleset import RuleSet, load
from collectors.network.sensor import Emit, Sensor
from pipeline.event import encode
from pipeline.memory import resident_bytes
from pipeline.messages import HaidangError
from pipeline.stage import collect_rarely

#: Packets, connections that go on at once, and packets that the slow libraries read.
_PACKETS, _AT_ONCE, _FEW = 300_000, 5_000, 5_000
_LIVE_SECONDS = 10.0
#: Megabytes of evidence that are kept, and packets in a block of the ring.
_EVIDENCE_MB, _BLOCK = 20, 2_500
_SYN, _ACK, _PSH, _FIN = 2, 16, 8, 1
#: Sizes of payloads, so that a packet has about 350 bytes, as in an office.
_SIZES = (0, 0, 0, 40, 120, 400, 1_000, 1_400)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; making or reading the file is not measured."""
    if chosen.packets and not chosen.packets.is_file():
        raise HaidangError("command.bench.no_capture", file=chosen.packets)
    data = chosen.packets.read_bytes() if chosen.packets else made_up()
    collect_rarely()
    events = [0, 0]

    def emit(fields: dict[str, Any], _position: tuple[str | int, ...]) -> None:
        events[0] += 1
        events[1] += len(encode(fields))

    before = resident_bytes()
    opened = time.monotonic()
    rules = RuleSet(load(chosen.rules)) if chosen.rules else None
    loaded = time.monotonic() - opened
    held = resident_bytes() - before
    sensor, spent = _run(data, emit, rules)
    counts = sensor.table.counts
    rate = counts.packets / spent
    figures: dict[str, Any] = {
        "packets_per_second": round(rate), "megabits_per_second": round(counts.bytes * 8 / spent / 1e6),
        "packets": counts.packets, "bytes_a_packet": round(counts.bytes / counts.packets),
        "flows": counts.flows, "events": events[0], "malformed": counts.malformed,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }  # fmt: skip
    if rules is not None and sensor.matcher is not None:
        figures |= {
            "rules": len(rules.rules), "rules_refused": len(rules.loading.refused), "rules_load_seconds": loaded,
            "rules_mb": round(held / 1e6), "rule_hits": sensor.matcher.counts.hits,
        }  # fmt: skip
        if not chosen.packets:
            clear, spent = _run(made_up(clear=True), emit, rules)
            figures["clear_text_megabits_per_second"] = round(clear.table.counts.bytes * 8 / spent / 1e6)
    figures["evidence_microseconds_a_packet"] = round(_evidence(data) * 1e6, 2)
    for name, read in (("dpkt", _with_dpkt), ("scapy", _with_scapy)):
        with contextlib.suppress(ImportError):
            theirs = read(data)
            figures |= {f"{name}_packets_per_second": round(theirs), f"times_{name}": round(rate / theirs, 1)}
    if chosen.live:
        figures |= measure_live(data, chosen.seconds or _LIVE_SECONDS, rules)
    return figures


def _run(data: bytes, emit: Emit, rules: RuleSet | None) -> tuple[Sensor, float]:
    """Return a sensor that has read the packets, and how many seconds of a core it took."""
    sensor = Sensor(emit, rules=rules)
    started = time.process_time()
    sensor.take(data, packets(data))
    sensor.finish()
    return sensor, time.process_time() - started


def _evidence(data: bytes) -> float:
    """Return how many seconds of a core it takes to record a packet, in blocks as the ring gives them."""
    places = list(packets(data))
    with tempfile.TemporaryDirectory(prefix="haidang-bench-") as folder:
        recorder = Recorder(Path(folder), _EVIDENCE_MB)
        started = time.process_time()
        for start in range(0, len(places), _BLOCK):
            recorder.take(data, places[start : start + _BLOCK])
        recorder.close()
        return (time.process_time() - started) / len(places)


def made_up(count: int = _PACKETS, seed: int = 1, clear: bool = False) -> bytes:
    """Return a capture file of so many packets: TLS and DNS, or `clear`, HTTP alone, of which rules see every byte."""
    dice = random.Random(seed)  # noqa: S311 -- traffic, no secret
    made = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    talks = [_connection(dice, clear) for _ in range(_AT_ONCE)]
    moment = 1_795_500_000_000_000
    for _ in range(count):
        moment += dice.randrange(1, 40)
        place = dice.randrange(_AT_ONCE)
        frame = next(talks[place], None)
        if frame is None:
            talks[place] = _connection(dice, clear)
            frame = next(talks[place])
        made.append(struct.pack("<IIII", moment // 1_000_000, moment % 1_000_000, len(frame), len(frame)) + frame)
    return b"".join(made)


def _connection(dice: random.Random, clear: bool) -> Iterator[bytes]:
    """Return the frames of a connection from its beginning to its end."""
    sides = b"\x0a\x00" + dice.randbytes(2), dice.randbytes(4)
    kind = _http if clear else _dns if dice.random() < 0.3 else _tls
    return kind(dice, sides, dice.randrange(1024, 65_536))


def _dns(dice: random.Random, sides: tuple[bytes, bytes], port: int) -> Iterator[bytes]:
    name = f"\x08host{dice.randrange(10_000):04}\x07example\x02vn\0".encode()
    asked = dice.randbytes(2) + b"\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"
    yield _udp(sides, (port, 53), asked)
    answer = asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + sides[1]
    yield _udp((sides[1], sides[0]), (53, port), answer)


def _segments(dice: random.Random, sides: tuple[bytes, bytes], ports: tuple[int, int]) -> Callable[..., bytes]:
    """Return what makes the segments of a TCP connection: side, flags, payload."""
    ends, pairs = (sides, (sides[1], sides[0])), (ports, (ports[1], ports[0]))
    numbers = [dice.getrandbits(32), dice.getrandbits(32)]

    def says(side: int, flags: int, payload: bytes = b"") -> bytes:
        head = struct.pack("!HHIIBBHHH", *pairs[side], numbers[side] & 0xFFFFFFFF, 0, 0x50, flags, 1000, 0, 0)
        numbers[side] += len(payload) + (1 if flags & (_SYN | _FIN) else 0)
        return _frame(ends[side], 6, head + payload)

    return says


def _tls(dice: random.Random, sides: tuple[bytes, bytes], port: int) -> Iterator[bytes]:
    says = _segments(dice, sides, (port, 443))
    yield says(0, _SYN)
    yield says(1, _SYN | _ACK)
    yield says(0, _ACK)
    yield says(0, _ACK | _PSH, _hello(1, dice))
    yield says(1, _ACK | _PSH, _hello(2, dice) + b"\x14\3\3\0\1\1")
    for _ in range(dice.randrange(4, 60)):
        size = dice.choice(_SIZES)
        record = b"\x17\3\3" + struct.pack("!H", size) + dice.randbytes(size) if size else b""
        yield says(dice.randrange(2), _ACK | (_PSH if size else 0), record[: size or 0])
    yield says(0, _FIN | _ACK)
    yield says(1, _FIN | _ACK)
    yield says(0, _ACK)


def _http(dice: random.Random, sides: tuple[bytes, bytes], port: int) -> Iterator[bytes]:
    says = _segments(dice, sides, (port, 8080))
    yield says(0, _SYN)
    yield says(1, _SYN | _ACK)
    yield says(0, _ACK)
    for _ in range(4):
        path = b"/%x/page-%d.html" % (dice.getrandbits(32), dice.randrange(1_000))
        yield says(0, _ACK | _PSH, b"GET " + path + _ASKED)
        yield says(1, _ACK | _PSH, _ANSWERED + _words(dice, 300))
        for _ in range(7):
            size = dice.choice(_SIZES)
            yield says(1, _ACK | (_PSH if size else 0), _words(dice, size))
            if not size:
                yield says(0, _ACK)
    yield says(0, _FIN | _ACK)
    yield says(1, _FIN | _ACK)
    yield says(0, _ACK)


_ASKED = (
    b" HTTP/1.1\r\nHost: www.example.vn\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0\r\n"
    b"Accept: text/html,*/*;q=0.8\r\nAccept-Language: vi,en\r\nCookie: session=0123456789abcdef\r\n\r\n"
)
_ANSWERED = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
_WORDS = random.Random(1)  # noqa: S311 -- traffic, no secret
#: Text to cut pieces from.
_TEXT = b" ".join(
    bytes(_WORDS.choice(b"aeiounthcgkmlrsv") for _ in range(_WORDS.randrange(2, 9))) for _ in range(10_000)
)


def _words(dice: random.Random, size: int) -> bytes:
    start = dice.randrange(len(_TEXT) - size)
    return _TEXT[start : start + size]


def _hello(kind: int, dice: random.Random) -> bytes:
    name = f"host{dice.randrange(10_000)}.example.vn".encode()
    named = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    extensions = named + b"\0\x10\0\5\0\3\2h2" + b"\0\x0a\0\4\0\2\0\x1d" if kind == 1 else b"\0\x2b\0\2\3\4"
    offered = b"\0\6\x13\1\x13\2\xc0\x2f\1\0" if kind == 1 else b"\x13\1\0"
    body = b"\3\3" + dice.randbytes(32) + b"\0" + offered + struct.pack("!H", len(extensions)) + extensions
    message = bytes((kind,)) + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + struct.pack("!H", len(message)) + message


def _udp(sides: tuple[bytes, bytes], ports: tuple[int, int], payload: bytes) -> bytes:
    return _frame(sides, 17, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload)


def _frame(sides: tuple[bytes, bytes], protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0, *sides)
    return b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\x08\x00" + head + payload


def _with_dpkt(data: bytes) -> float:
    dpkt: Any = importlib.import_module("dpkt")
    frames = [frame for _, frame in islice(dpkt.pcap.UniversalReader(io.BytesIO(data)), 20 * _FEW)]
    return _rate(frames, dpkt.ethernet.Ethernet)


def _with_scapy(data: bytes) -> float:
    layers: Any = importlib.import_module("scapy.layers.all")
    frames = [data[at : at + length] for _, at, length, _, _ in islice(packets(data), _FEW)]
    return _rate(frames, layers.Ether)


def _rate(frames: list[bytes], read: Callable[[bytes], object]) -> float:
    started = time.process_time()
    for frame in frames:
        read(frame)
    return len(frames) / (time.process_time() - started)

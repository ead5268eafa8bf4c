"""Made-up traffic over a pair of virtual interfaces enters, what the sensor saw of it and what was lost leaves.

A process of its own sends at a steady rate; the sensor reads the other end's ring, as on a mirror port. Needs root.
"""

import multiprocessing
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from collectors.network.capture_files import packets
from collectors.network.ring import Ring
from collectors.network.rules.ruleset import RuleSet
from collectors.network.sensor import Sensor
from pipeline.event import encode
from pipeline.messages import HaidangError

#: What is sent, in megabits a second, and how much of the time passes between two bursts, in seconds.
_RATE, _BURST = 100.0, 0.005


def measure_live(capture: bytes, seconds: float, rules: RuleSet | None = None, rate: float = _RATE) -> dict[str, Any]:
    """Send the packets of a capture again and again, and return what came; packet rules are asked of them.

    Raises:
        HaidangError: virtual interfaces cannot be made.
    """
    with _pair() as (near, far), Ring(near, 32, promiscuous=True) as ring:
        events = [0]

        def emit(fields: dict[str, Any], _position: tuple[str | int, ...]) -> None:
            events[0] += len(encode(fields)) > 0

        sensor = Sensor(emit, rules=rules)
        sent = multiprocessing.get_context("fork").Value("Q", 0)
        sender = multiprocessing.get_context("fork").Process(target=_send, args=(capture, far, seconds, rate, sent))
        sender.start()
        started, busy = time.monotonic(), time.thread_time()
        while sender.is_alive():
            for places in ring.blocks(0.2):
                sensor.take(ring.buffer, places)
        for places in ring.blocks(0.5):
            sensor.take(ring.buffer, places)
        busy, spent = time.thread_time() - busy, time.monotonic() - started
        dropped = ring.count()
        counts = sensor.table.counts
        return {
            "live_megabits_per_second": round(counts.bytes * 8 / seconds / 1e6, 1),
            "live_packets_per_second": round(counts.packets / seconds), "live_sent": sent.value,
            "live_seen": counts.packets, "live_dropped": dropped, "live_events": events[0],
            "live_processor_share": round(busy / spent, 2),
        }  # fmt: skip


@contextmanager
def _pair() -> Iterator[tuple[str, str]]:
    near, far = f"hdb{os.getpid()}a", f"hdb{os.getpid()}b"
    _ip("link", "add", near, "type", "veth", "peer", "name", far)
    try:
        for name in (near, far):
            _ip("link", "set", name, "up")
        yield near, far
    finally:
        _ip("link", "del", near)


def _ip(*words: str) -> None:
    try:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)  # noqa: S603, S607 -- our own words
    except FileNotFoundError as error:
        raise HaidangError("command.bench.no_pair", fault="there is no program `ip` (package iproute2)") from error
    except subprocess.CalledProcessError as error:
        raise HaidangError("command.bench.no_pair", fault=error.stderr.strip()) from error


def _send(capture: bytes, interface: str, seconds: float, rate: float, sent: Any) -> None:
    """Send at a steady rate, in megabits a second, for so long; the number of packets is counted in `sent`."""
    frames = [capture[at : at + length] for _, at, length, _, _ in packets(capture)]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        started = time.monotonic()
        bits, count = 0, 0
        while (passed := time.monotonic() - started) < seconds:
            allowed = passed * rate * 1e6
            while bits < allowed:
                frame = frames[count % len(frames)]
                out.send(frame)
                bits += len(frame) * 8
                count += 1
            time.sleep(_BURST)
        sent.value = count

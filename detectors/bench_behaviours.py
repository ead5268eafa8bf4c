"""`bench behaviours`: JSON lines of network events go through all behaviours on one core; events a second leave."""

import argparse
import random
import time
from collections.abc import Iterator
from typing import Any

from detectors.behaviours import All, wanted
from pipeline.event import Event, decode, encode, event_id, from_micros
from pipeline.memory import resident_bytes
from pipeline.settings import Behaviours
from pipeline.stage import collect_rarely

_EVENTS = 300_000
#: Hosts of ours, addresses outside that they talk to, and events a second.
_HOSTS, _PLACES, _RATE = 2_000, 20_000, 1_000
#: What share of the events is DNS, a log-in; how many connections nobody answers, or come up to so many seconds late.
_DNS_SHARE, _LOGIN_SHARE, _FAILED_SHARE = 0.3, 0.02, 0.05
_LATE_SECONDS = 30
_START = 1_795_000_000
_SECOND = 1_000_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; each is of one core."""
    collect_rarely()
    count = chosen.events or _EVENTS
    spent, alerts, at_work = _feed(busy(count))
    before = resident_bytes()
    crowded, _, behaviours = _feed(_crowd(count))
    held = resident_bytes() - before
    started = time.process_time()
    pieces = list(behaviours.dump())
    dumped = time.process_time() - started
    return {
        "events": count, "events_per_second": round(count / spent), "alerts": alerts,
        **{f"busy_{name}": number for name, number in at_work.detail().items() if name in ("keys", "late", "failed")},
        "sources": count, "sources_per_second": round(count / crowded), "sources_mb": round(held / 1e6),
        "sources_keys": behaviours.detail()["keys"], "dump_seconds": round(dumped, 1),
        "dump_mb": round(sum(map(len, pieces)) / 1e6),
    }  # fmt: skip


def _feed(lines: Iterator[bytes]) -> tuple[float, int, All]:
    """Feed lines; return the seconds of the processor, the alerts, and what has taken them."""
    behaviours, spent, alerts = All(Behaviours()), 0.0, 0
    while batch := [line for line, _ in zip(lines, range(10_000), strict=False)]:
        began = time.process_time()
        for _, line in wanted(batch):
            alerts += len(behaviours.feed(decode(line), line))
        spent += time.process_time() - began
    began = time.process_time()
    alerts += len(behaviours.finish())
    return spent + time.process_time() - began, alerts, behaviours


def busy(count: int) -> Iterator[bytes]:
    """A site at work: connections, names, log-ins, some of them late."""
    chance = random.Random(20261129)  # noqa: S311 - test input, the same each time
    for number in range(count):
        host = f"10.1.{chance.randrange(_HOSTS) >> 8}.{chance.randrange(250)}"
        late = chance.randrange(_LATE_SECONDS * _SECOND)
        micros = _START * _SECOND + number * _SECOND // _RATE - late
        kind = chance.random()
        if kind < _DNS_SHARE:
            name = f"www{chance.randrange(3)}.site{int(_PLACES * chance.random() ** 3)}.vn"
            yield _line(number, micros, "network.dns", host, {"dns.question.name": name, "dns.question.type": "A"})
        elif kind < _DNS_SHARE + _LOGIN_SHARE:
            yield _login(number, micros, host)
        else:
            place = int(_PLACES * chance.random() ** 3)
            is_refused = chance.random() < _FAILED_SHARE
            yield _flow(number, micros, host, f"198.51.{place >> 8}.{place & 255}", is_refused, chance)


def _crowd(count: int) -> Iterator[bytes]:
    """As many sources as events, each refused."""
    chance = random.Random(20261130)  # noqa: S311 - test input, the same each time
    for number in range(count):
        source = f"{100 + (number >> 16)}.7.{number >> 8 & 255}.{number & 255}"
        yield _flow(number, _START * _SECOND + number * 100, source, f"10.0.0.{number % 250}", True, chance)


def _flow(number: int, micros: int, source: str, destination: str, refused: bool, chance: random.Random) -> bytes:
    fields = {
        "event.action": "network_flow", "event.type": ["connection", "end"], "event.start": from_micros(micros - 900),
        "event.duration": 900_000, "event.outcome": "failure" if refused else "success",
        "source.port": 1024 + number % 60_000, "destination.ip": destination,
        "destination.port": chance.choice((80, 443, 443, 443, 22, 445)), "network.transport": "tcp",
        "network.protocol": "tls", "flow.state": "S0" if refused else "SF", "flow.id": f"C{number}",
        "source.bytes": chance.randrange(200, 90_000), "destination.bytes": chance.randrange(200, 900_000),
        "source.packets": 9, "destination.packets": 12,
        "network.community_id": "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
    }  # fmt: skip
    return _line(number, micros, "network.flow", source, fields)


def _login(number: int, micros: int, source: str) -> bytes:
    fields = {
        "event.category": ["authentication"], "event.action": "ssh_login", "event.outcome": "success",
        "network.protocol": "ssh", "user.name": f"user{number % 97}", "host.name": "may-chu",
        "source.port": 1024 + number % 60_000,
    }  # fmt: skip
    return _line(number, micros, "linux.auth", source, fields)


def _line(number: int, micros: int, dataset: str, source: str, fields: dict[str, Any]) -> bytes:
    event: Event = {
        "@timestamp": from_micros(micros), "event.id": event_id("bench", number), "event.kind": "event",
        "event.category": ["network"], "event.dataset": dataset, "source.ip": source, "labels.source": "sensor",
        "organization.id": "vn", "observer.name": "may-chu", **fields,
    }  # fmt: skip
    return bytes(memoryview(encode(event)))

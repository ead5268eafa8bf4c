"""`bench stix`: alerts become STIX objects, which are checked, on one core; objects a second leave."""

import argparse
import random
import time
from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.event import Event, event_id, from_micros
from sharing.stix import FIELDS, Site, objects_of
from sharing.stix.checking import fault_of

_ALERTS = 20_000
#: What must be reached, objects a second.
_LEAST = 10_000
#: Alerts of one bundle, as a message of a day has them.
_BUNDLE = 1_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures. What is checked was read from JSON, as what others send."""
    count = chosen.events or _ALERTS
    alerts = list(_alerts(count))
    site = Site("bench", "Bench")
    lines: list[bytes] = []
    spent = 0.0
    for start in range(0, count, _BUNDLE):
        started = time.perf_counter()
        made = objects_of(site, alerts[start : start + _BUNDLE], (), (), FIELDS, "amber").objects
        spent += time.perf_counter() - started
        lines += map(orjson.dumps, made)
    started = time.perf_counter()
    faults = sum(fault_of(orjson.loads(line)) is not None for line in lines)
    checked = time.perf_counter() - started
    return {
        "alerts": count, "objects": len(lines), "built_objects_per_second": round(len(lines) / spent),
        "alerts_per_second": round(count / spent), "checked_objects_per_second": round(len(lines) / checked),
        "faults": faults, "ok": not faults and len(lines) / checked >= _LEAST,
    }  # fmt: skip


def _alerts(count: int) -> Iterator[Event]:
    """Alerts on indicators and of rules on programs, as the detectors make them."""
    chance = random.Random(20261130)  # noqa: S311 - test input, the same each time
    for number in range(count):
        server = f"45.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
        alert: Event = {
            "@timestamp": from_micros(1_790_000_000_000_000 + number * 1_234_567),
            "event.id": event_id("bench", number),
            "alert.count": 1 + number % 5, "rule.id": "indicator.c2", "rule.name": "C2", "rule.level": "high",
            "tags": ["attack.command-and-control", "attack.t1071"], "host.name": f"pc-{number % 500}",
            "source.ip": f"10.0.{number % 250}.7", "source.port": 50_000 + number % 9_000, "destination.ip": server,
            "destination.port": 443, "network.transport": "tcp",
        }  # fmt: skip
        if number % 2:
            yield alert | {
                "threat.indicator.name": server, "threat.indicator.type": "ipv4-addr",
                "threat.indicator.confidence": "High", "threat.software.name": f"family-{number % 20}",
            }  # fmt: skip
        else:
            yield alert | {
                "process.executable": f"C:\\Windows\\Temp\\{number}.exe", "process.hash.sha256": f"{number:064x}",
                "process.command_line": f"{number}.exe -q", "process.pid": number % 60_000, "user.name": "an",
            }  # fmt: skip

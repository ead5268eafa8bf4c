"""`bench correlation`: events that a rule has matched go into one correlation; events a second and memory leave."""

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from detectors.correlations import SECOND, Correlations, Limits
from detectors.sigma import Correlation, RuleSet
from pipeline.event import Event, encode, event_id, from_micros
from pipeline.memory import resident_bytes
from pipeline.stage import collect_rarely

_EVENTS = 1_000_000
#: Addresses that the events of the first measurement come from.
_BUSY_GROUPS = 10_000
#: How far behind the newest event one may come, in seconds, and how many do.
_DISORDER = 30
_LATE_SHARE = 0.1
_LATENESS = 60
#: Time between two events of the many groups, in microseconds.
_CROWDED_MICROS = 200
_START = 1_795_000_000
_RULES = """
title: Failed
name: failed
id: 3d0a1f4e-0000-4222-8333-000000000001
logsource: {product: linux, service: sshd}
detection:
  selection: {event.action: ssh_login}
  condition: selection
---
title: Many failed
id: 3d0a1f4e-0000-4222-8333-000000000002
correlation: {type: event_count, rules: failed, group-by: source.ip, timespan: 5m, condition: {gte: 100}}
---
title: Many users
id: 3d0a1f4e-0000-4222-8333-000000000003
correlation:
  {type: value_count, rules: failed, group-by: source.ip, timespan: 5m, condition: {field: user.name, gte: 50}}
---
title: Many failed of one user
id: 3d0a1f4e-0000-4222-8333-000000000004
correlation:
  {type: event_count, rules: failed, group-by: [source.ip, user.name], timespan: 5m, condition: {gte: 10}}
"""
_FAILED = ["3d0a1f4e-0000-4222-8333-000000000001"]


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; each is of one core."""
    collect_rarely()
    count = chosen.events or _EVENTS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yml"
        path.write_text(_RULES, "utf-8")
        by_count, by_value, by_both = RuleSet.load(path).correlations
    limits = Limits(lateness=_LATENESS * SECOND, groups=count)
    figures = {"events": count, **_many_groups(by_count, limits, count)}
    for name, rule in (("event_count", by_count), ("value_count", by_value), ("two_fields", by_both)):
        spent, alerts = _feed(Correlations([rule], limits, early=True), count, _BUSY_GROUPS)
        figures |= {f"{name}_per_second": round(count / spent), f"{name}_alerts": alerts}
    return figures


def _many_groups(rule: Correlation, limits: Limits, count: int) -> dict[str, Any]:
    """Measure as many groups as events, with their evidence, and how they are saved."""
    before = resident_bytes()
    engine = Correlations([rule], limits, early=True)
    spent, _ = _feed(engine, count, count)
    held, groups = resident_bytes() - before, engine.groups
    started = time.process_time()
    pieces = list(engine.dump())
    dumped = time.process_time() - started
    del engine
    started = time.process_time()
    again = Correlations([rule], limits, early=True)
    again.load(pieces)
    assert again.groups == groups
    return {
        "groups": groups, "groups_per_second": round(count / spent), "groups_mb": round(held / 1e6),
        "dump_seconds": round(dumped, 1), "dump_mb": round(sum(map(len, pieces)) / 1e6),
        "load_seconds": round(time.process_time() - started, 1),
    }  # fmt: skip


def _feed(engine: Correlations, count: int, groups: int) -> tuple[float, int]:
    """Feed events of as many addresses, somewhat out of order; return the seconds it took and how many alerts came."""
    chance = random.Random(20261124)  # noqa: S311 - test input, the same each time
    spent, alerts = 0.0, 0
    for start in range(0, count, 10_000):
        batch = [_made(number, groups, chance) for number in range(start, min(start + 10_000, count))]
        began = time.process_time()
        for event, line in batch:
            alerts += len(engine.feed(event, _FAILED, line))
        spent += time.process_time() - began
    return spent, alerts


def _made(number: int, groups: int, chance: random.Random) -> tuple[Event, bytes]:
    if groups > _BUSY_GROUPS:  # each its own, all within the timespan
        place, micros = number % groups, number * _CROWDED_MICROS
    else:
        place = int(groups * chance.random() ** 3)
        late = chance.randrange(_DISORDER * 1000) if chance.random() < _LATE_SHARE else 0
        micros = (number - late) * 1000
    event: Event = {
        "@timestamp": from_micros(_START * SECOND + micros),
        "event.id": event_id("bench", number), "event.dataset": "linux.auth", "event.action": "ssh_login",
        "host.name": "may-chu", "user.name": f"user{number % 97}",
        "source.ip": f"10.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}",
        "message": f"Failed password for user{number % 97} from 10.0.0.1 port {number % 65536} ssh2",
    }  # fmt: skip
    return event, bytes(memoryview(encode(event)))  # a copy without the encoder's buffer, as a frame's lines are

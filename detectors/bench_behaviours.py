"""`bench behaviours`: JSON lines of network events go through all behaviours on one core; events a second leave."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from detectors.behaviours import All, wanted
from detectors.bench_live import measure_live
from detectors.bench_traffic import busy, crowd
from pipeline.event import decode
from pipeline.memory import resident_bytes
from pipeline.settings import Behaviours
from pipeline.stage import collect_rarely

_EVENTS = 300_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; each is of one core. With `--live` those of a running site instead."""
    if chosen.live:
        return measure_live(chosen)
    collect_rarely()
    count = chosen.events or _EVENTS
    spent, alerts, at_work = _feed(busy(count))
    before = resident_bytes()
    crowded, _, behaviours = _feed(crowd(count))
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

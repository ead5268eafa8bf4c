"""`bench bus`: event lines are packed, published, read and unpacked; events a second leave."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.bus import EVENTS, open_bus
from pipeline.command.bench.samples import syslog_lines
from pipeline.event import encode, event_id
from pipeline.frame import pack, unpack
from pipeline.settings import Bus as BusSettings
from pipeline.settings import default_data_dir

_EVENTS = 500_000
#: Events published in one transaction, as the intake does under load.
_BATCH = 5_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures: `events_per_second` is of the slower of the two ways, one after the other on one core."""
    count = chosen.events or _EVENTS
    texts, origin = syslog_lines(chosen.logs)
    lines = [
        encode(
            {
                "@timestamp": "2026-11-24T02:00:00.000Z",
                "event.id": event_id("bench", number),
                "message": text.decode("utf-8", "replace"),
            }
        )
        for number, text in enumerate(texts)
    ]
    folder = default_data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as scratch:
        bus = open_bus(Path(scratch), BusSettings(limit_mb=100_000))
        started = time.perf_counter()
        for at in range(0, count, _BATCH):
            batch = [lines[number % len(lines)] for number in range(at, min(at + _BATCH, count))]
            bus.publish(EVENTS, list(pack("bench", batch)))
        written = time.perf_counter() - started
        started = time.perf_counter()
        place, found = 0, 0
        while records := bus.read(EVENTS, {0: place}):
            found += sum(len(unpack(record.payload)) for record in records)
            place = records[-1].offset + 1
        read = time.perf_counter() - started
        bus.close()
    assert found == count, f"{count} events went in, {found} came out"
    return {
        "events_per_second": round(count / max(written, read)), "published_per_second": round(count / written),
        "read_per_second": round(count / read), "events": count, "input": origin,
    }  # fmt: skip

"""`bench bus`: event lines are packed, published, read and unpacked; events a second leave."""

import argparse
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.bus import EVENTS, Bus, open_bus
from pipeline.command.bench.samples import syslog_lines
from pipeline.event import encode, event_id
from pipeline.frame import pack, unpack
from pipeline.logs import start_log
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
    with _bus(chosen) as bus:
        started, cpu = time.perf_counter(), time.process_time()
        for at in range(0, count, _BATCH):
            batch = [lines[number % len(lines)] for number in range(at, min(at + _BATCH, count))]
            bus.publish(EVENTS, list(pack("bench", batch)))
        written, wrote = time.perf_counter() - started, time.process_time() - cpu
        started, cpu = time.perf_counter(), time.process_time()
        place: dict[int, int] = {}
        found = 0
        while found < count and (records := bus.read(EVENTS, place)):
            for record in records:
                found += len(unpack(record.payload))
                place[record.partition] = record.offset + 1
        read, spent = time.perf_counter() - started, time.process_time() - cpu
    assert found == count, f"{count} events went in, {found} came out"
    return {
        "events_per_second": round(count / max(written, read)), "published_per_second": round(count / written),
        "read_per_second": round(count / read), "publish_cpu_seconds": round(wrote, 2),
        "read_cpu_seconds": round(spent, 2), "events": count, "input": origin,
    }  # fmt: skip


@contextmanager
def _bus(chosen: argparse.Namespace) -> Iterator[Bus]:
    """Open a bus with empty topics; they are gone at the end."""
    if chosen.kind == "kafka":
        from pipeline.bus.kafka import KafkaBus

        start_log(default_data_dir(), "bench", "warning")
        prefix = f"haidang-bench-{secrets.token_hex(6)}."
        settings = BusSettings(
            kind="kafka", servers=chosen.servers or ["127.0.0.1:9092"], topic_prefix=prefix, limit_mb=100_000
        )
        bus = KafkaBus(settings)
        try:
            yield bus
        finally:
            bus.delete_topics()
            bus.close()
        return
    folder = default_data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as scratch:
        embedded = open_bus(Path(scratch), BusSettings(limit_mb=100_000))
        yield embedded
        embedded.close()

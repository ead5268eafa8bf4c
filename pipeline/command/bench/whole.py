"""`bench pipeline`: a sender process sends, the whole embedded pipeline takes in, examines and indexes; figures leave.

Two runs, each on an empty data directory: as fast as it goes (until the last event is searchable and examined), then
at half that speed, where for each event the time from sending to being searchable, and from sending to being listed as
an alert, is measured.
"""

import argparse
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline.bus import EVENTS, open_bus
from pipeline.command.bench.lateness import late_seconds
from pipeline.command.bench.samples import syslog_lines, windows_records
from pipeline.command.bench.sender import MARK
from pipeline.command.bench.site import LIMIT_SECONDS, Site, Usage, prepared, rules_of, running_site, send, sent_by
from pipeline.messages import HaidangError
from pipeline.settings import Bus as BusSettings
from pipeline.state import positions
from pipeline.state.tables import alerts

_EVENTS = 600_000
#: Every so many events of the second run are one that a shipped rule matches.
_ALERT_EVERY = 200
_LATENCY_SECONDS = 20
_SAMPLE_SECONDS = 0.1
#: How often it is looked whether everything is searchable, in seconds: looking costs the pipeline time.
_LOOK_SECONDS = 0.2
#: What starting costs does not count: processor time is taken from this long after everything is ready, in seconds.
_SETTLE_SECONDS = 1.0


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; `events_per_second` counts until everything is searchable and examined."""
    lines, line_origin = syslog_lines(chosen.logs)
    records, record_origin = windows_records(chosen.evtx)
    count = chosen.events or _EVENTS
    with prepared(lines, records) as (line_file, record_file):
        with running_site() as site:
            fast = _full_speed(site, count, line_file, record_file)
        figures: dict[str, Any] = {**fast, "lines": line_origin, "windows": record_origin}
        if not chosen.no_latency:
            with running_site() as site:
                rate = fast["events_per_second"] // 2
                figures.update(_half_speed(site, rate, line_file, record_file))
    return figures


def _full_speed(site: Site, count: int, lines: Path, records: Path) -> dict[str, Any]:
    time.sleep(_SETTLE_SECONDS)
    usage = Usage(site.supervisor)
    started = time.monotonic()
    sender = send(site, lines, records, count)
    _wait_for(site, count)
    seconds = time.monotonic() - started
    sent = sent_by(sender)
    usage.stop()
    found = site.searchable()
    if found != count:
        raise HaidangError("command.bench.lost", sent=count, found=found)
    size = sum(path.stat().st_size for path in (site.data_dir / "index").rglob("*") if path.is_file())
    return {
        "events_per_second": round(count / seconds), "events": count, "seconds": round(seconds, 2),
        "sending_seconds": sent["seconds"], "memory_mb": usage.peak_mb, "index_bytes_an_event": round(size / count),
        "cpu_seconds": usage.cpu, "rules": rules_of(site),
    }  # fmt: skip


def _half_speed(site: Site, rate: int, lines: Path, records: Path) -> dict[str, Any]:
    count = rate * _LATENCY_SECONDS
    searchable: list[tuple[float, int]] = []
    listed: list[tuple[float, int]] = []
    stop = threading.Event()
    rule = select(func.count()).select_from(alerts).where(alerts.c.document["source.ip"].as_string() == MARK)

    def watch() -> None:
        while not stop.is_set():
            searchable.append((time.time(), site.searchable()))
            with site.engine.connect().execution_options(read_only=True) as connection:
                listed.append((time.time(), connection.scalar(rule) or 0))
            stop.wait(_SAMPLE_SECONDS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sender = send(site, lines, records, count, rate=rate, alert_every=_ALERT_EVERY)
    _wait_for(site, count)
    time.sleep(3)
    stop.set()
    watcher.join()
    sent = sent_by(sender)
    return {
        "half_load_events_per_second": rate,
        "searchable_p99_seconds": late_seconds(sent["sent"], searchable),
        "alert_listed_p99_seconds": late_seconds(sent["marked"], listed),
        "alerts": listed[-1][1],
    }


def _wait_for(site: Site, count: int) -> None:
    """Wait until `count` events are searchable and the detectors have read them all."""
    deadline = time.monotonic() + LIMIT_SECONDS
    queue = open_bus(site.data_dir, BusSettings())
    while time.monotonic() < deadline:
        site.supervisor.check()
        done = site.searchable()
        if done >= count and not queue.backlog(EVENTS, positions.load(site.engine, "detectors", EVENTS))[0]:
            queue.close()
            return
        time.sleep(_LOOK_SECONDS)
    raise HaidangError("command.bench.too_slow", seconds=int(LIMIT_SECONDS))

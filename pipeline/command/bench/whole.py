"""`bench pipeline`: a sender process sends, the whole embedded pipeline takes in, examines and indexes; figures leave.

Two runs, each on an empty data directory: as fast as it goes (until the last event is searchable and examined), then
at half that speed, where for each event the time from sending to being searchable, and from sending to being listed as
an alert, is measured.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, func, select

from pipeline import access, store
from pipeline.bus import EVENTS, open_bus
from pipeline.command.bench.lateness import late_seconds
from pipeline.command.bench.samples import syslog_lines, windows_records
from pipeline.command.bench.sender import MARK
from pipeline.instance import instance_of
from pipeline.logs import start_log
from pipeline.messages import HaidangError
from pipeline.settings import Bus as BusSettings
from pipeline.settings import Store as StoreSettings
from pipeline.settings import default_data_dir
from pipeline.state import open_state, positions
from pipeline.state.tables import alerts, stages
from pipeline.supervisor import STAGES, Supervisor, ready

_EVENTS = 600_000
#: Every so many events of the second run are one that a shipped rule matches.
_ALERT_EVERY = 200
_LATENCY_SECONDS = 20
_SAMPLE_SECONDS = 0.1
#: How often it is looked whether everything is searchable, in seconds: looking costs the pipeline time.
_LOOK_SECONDS = 0.2
_LIMIT_SECONDS = 600.0
#: What starting costs does not count: processor time is taken from this long after everything is ready, in seconds.
_SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class _Site:
    """A running pipeline on a data directory of its own."""

    data_dir: Path
    supervisor: Supervisor
    engine: Engine
    syslog: int
    http: int
    token: str
    reader: store.Reader


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; `events_per_second` counts until everything is searchable and examined."""
    lines, line_origin = syslog_lines(chosen.logs)
    records, record_origin = windows_records(chosen.evtx)
    count = chosen.events or _EVENTS
    with _prepared(lines, records) as (line_file, record_file):
        with _site() as site:
            fast = _full_speed(site, count, line_file, record_file)
        figures: dict[str, Any] = {**fast, "lines": line_origin, "windows": record_origin}
        if not chosen.no_latency:
            with _site() as site:
                rate = fast["events_per_second"] // 2
                figures.update(_half_speed(site, rate, line_file, record_file))
    return figures


def _full_speed(site: _Site, count: int, lines: Path, records: Path) -> dict[str, Any]:
    time.sleep(_SETTLE_SECONDS)
    usage = _Usage(site.supervisor)
    started = time.monotonic()
    sender = _send(site, lines, records, count)
    _wait_for(site, count)
    seconds = time.monotonic() - started
    sent = _sent(sender)
    usage.stop()
    found = site.reader.search(store.EVENTS, {"size": 0})["hits"]["total"]["value"]
    if found != count:
        raise HaidangError("command.bench.lost", sent=count, found=found)
    size = sum(path.stat().st_size for path in (site.data_dir / "index").rglob("*") if path.is_file())
    return {
        "events_per_second": round(count / seconds), "events": count, "seconds": round(seconds, 2),
        "sending_seconds": sent["seconds"], "memory_mb": usage.peak_mb, "index_bytes_an_event": round(size / count),
        "cpu_seconds": usage.cpu, "rules": _rules(site),
    }  # fmt: skip


def _half_speed(site: _Site, rate: int, lines: Path, records: Path) -> dict[str, Any]:
    count = rate * _LATENCY_SECONDS
    searchable: list[tuple[float, int]] = []
    listed: list[tuple[float, int]] = []
    stop = threading.Event()
    rule = select(func.count()).select_from(alerts).where(alerts.c.document["source.ip"].as_string() == MARK)

    def watch() -> None:
        while not stop.is_set():
            total = site.reader.search(store.EVENTS, {"size": 0})["hits"]["total"]["value"]
            searchable.append((time.time(), total))
            with site.engine.connect().execution_options(read_only=True) as connection:
                listed.append((time.time(), connection.scalar(rule) or 0))
            stop.wait(_SAMPLE_SECONDS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sender = _send(site, lines, records, count, rate=rate, alert_every=_ALERT_EVERY)
    _wait_for(site, count)
    time.sleep(3)
    stop.set()
    watcher.join()
    sent = _sent(sender)
    return {
        "half_load_events_per_second": rate,
        "searchable_p99_seconds": late_seconds(sent["sent"], searchable),
        "alert_listed_p99_seconds": late_seconds(sent["marked"], listed),
        "alerts": listed[-1][1],
    }


def _wait_for(site: _Site, count: int) -> None:
    """Wait until `count` events are searchable and the detectors have read them all."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    queue = open_bus(site.data_dir, BusSettings())
    while time.monotonic() < deadline:
        site.supervisor.check()
        done = site.reader.search(store.EVENTS, {"size": 0})["hits"]["total"]["value"]
        if done >= count and not queue.backlog(EVENTS, positions.load(site.engine, "detectors", EVENTS))[0]:
            queue.close()
            return
        time.sleep(_LOOK_SECONDS)
    raise HaidangError("command.bench.too_slow", seconds=int(_LIMIT_SECONDS))


def _send(
    site: _Site, lines: Path, records: Path, count: int, rate: int = 0, alert_every: int = 0
) -> "subprocess.Popen[bytes]":
    arguments = [
        sys.executable, "-m", "pipeline.command.bench.sender", str(site.syslog), str(site.http), str(lines),
        str(records), str(count), str(rate), str(alert_every),
    ]  # fmt: skip
    environment = {**os.environ, "HAIDANG_BENCH_TOKEN": site.token}
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE)  # noqa: S603 - our own module


def _sent(sender: "subprocess.Popen[bytes]") -> dict[str, Any]:
    output, _ = sender.communicate(timeout=_LIMIT_SECONDS)
    if sender.returncode:
        raise HaidangError("command.bench.sender", status=sender.returncode)
    told: dict[str, Any] = orjson.loads(output)
    return told


@contextmanager
def _prepared(lines: list[bytes], records: list[dict[str, Any]]) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="haidang-bench-") as folder:
        line_file, record_file = Path(folder) / "lines", Path(folder) / "records"
        line_file.write_bytes(b"\n".join(lines))
        record_file.write_bytes(b"\n".join(orjson.dumps(record) for record in records))
        yield line_file, record_file


@contextmanager
def _site() -> Iterator[_Site]:
    """Start the whole pipeline on a new data directory and free ports."""
    home = default_data_dir()
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="bench-") as folder:
        data_dir = Path(folder)
        (data_dir / "haidang.toml").write_text(
            '[api]\nport = 0\n[[sources]]\nkind = "syslog"\nhost = "127.0.0.1"\ntcp_port = 0\ntimezone = "UTC"\n'
            '[[sources]]\nkind = "http"\nhost = "127.0.0.1"\nport = 0\n'
        )
        os.environ.pop("HAIDANG_CONFIG", None)
        engine = open_state(data_dir)
        with engine.begin() as connection:
            token = access.create_token(connection, "windows", access.SOURCE)
        start_log(data_dir, "supervisor", "info")
        supervisor = Supervisor(data_dir, list(STAGES))
        since = time.time()
        supervisor.start()
        try:
            while set(supervisor.names) - ready(engine, instance_of(data_dir), supervisor.names, since):
                supervisor.check()
                if time.time() - since > 60:
                    raise HaidangError("command.bench.not_ready")
                time.sleep(0.05)
            listening = _detail(engine, "collectors")["listening"]
            ports = [int(place.rpartition(":")[2]) for name in ("syslog", "http") for place in listening[name]]
            yield _Site(
                data_dir, supervisor, engine, ports[0], ports[1], token, store.open_reader(data_dir, StoreSettings())
            )
        finally:
            supervisor.stop()
            engine.dispose()


def _detail(engine: Engine, stage: str) -> dict[str, Any]:
    with engine.connect().execution_options(read_only=True) as connection:
        found: dict[str, Any] = connection.scalar(select(stages.c.detail).where(stages.c.stage == stage)) or {}
    return found


def _rules(site: _Site) -> int:
    return int(_detail(site.engine, "detectors").get("rules", 0))


@dataclass
class _Usage:
    """Watches the memory (proportional set size, so shared pages count once) and processor time of all stages."""

    supervisor: Supervisor
    peak_mb: int = 0
    cpu: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._before = {
            child.name: _cpu_seconds(child.process.pid)
            for child in self.supervisor.children
            if child.process is not None
        }
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            total = 0
            for child in self.supervisor.children:
                if child.process is not None:
                    total += _pss_kb(child.process.pid)
                    self.cpu[child.name] = round(_cpu_seconds(child.process.pid) - self._before.get(child.name, 0.0), 2)
            self.peak_mb = max(self.peak_mb, total // 1024)


def _pss_kb(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(row.split()[1]) for row in rows if row.startswith(("Pss:", "SwapPss:")))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)

"""What the benchmarks of the whole pipeline share: a running site of their own, its senders, and what it costs."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, select

from pipeline import access, store
from pipeline.instance import instance_of
from pipeline.logs import start_log
from pipeline.messages import HaidangError
from pipeline.settings import Store as StoreSettings
from pipeline.settings import default_data_dir
from pipeline.state import open_state
from pipeline.state.tables import stages
from pipeline.supervisor import Supervisor, ready, stages_of

#: How long a benchmark waits for what it started, in seconds.
LIMIT_SECONDS = 600.0


_SOURCES = """[api]
port = 0
[[sources]]
kind = "syslog"
host = "127.0.0.1"
tcp_port = 0
udp_port = 0
timezone = "UTC"
[[sources]]
kind = "http"
host = "127.0.0.1"
port = 0
"""


@dataclass(slots=True)
class Site:
    """A running pipeline on a data directory of its own. `ports` are those of `udp`, `tcp` and `http`."""

    data_dir: Path
    supervisor: Supervisor
    engine: Engine
    ports: dict[str, int]
    token: str
    reader: store.Reader

    def searchable(self) -> int:
        """Return how many events a search finds."""
        return int(self.reader.search(store.EVENTS, {"size": 0})["hits"]["total"]["value"])


def send(
    site: Site, lines: Path, records: Path, count: int, rate: int = 0, alert_every: int = 0, seconds: float = 0
) -> "subprocess.Popen[bytes]":
    """Start a sender of `count` events (`sender.py`), at `rate` a second, for at most `seconds`; 0: no limit."""
    arguments = [
        sys.executable, "-P", "-m", "pipeline.command.bench.sender", str(site.ports["tcp"]), str(site.ports["http"]),
        str(lines), str(records), str(count), str(rate), str(alert_every), str(seconds),
    ]  # fmt: skip
    environment = {**os.environ, "HAIDANG_BENCH_TOKEN": site.token}
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE)  # noqa: S603 - our own module


def sent_by(sender: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Wait for a sender's end and return what it says."""
    output, _ = sender.communicate(timeout=LIMIT_SECONDS)
    if sender.returncode:
        raise HaidangError("command.bench.sender", status=sender.returncode)
    told: dict[str, Any] = orjson.loads(output)
    return told


@contextmanager
def prepared(lines: list[bytes], records: list[dict[str, Any]]) -> Iterator[tuple[Path, Path]]:
    """Write what is to be sent into files."""
    with tempfile.TemporaryDirectory(prefix="haidang-bench-") as folder:
        line_file, record_file = Path(folder) / "lines", Path(folder) / "records"
        line_file.write_bytes(b"\n".join(lines))
        record_file.write_bytes(b"\n".join(orjson.dumps(record) for record in records))
        yield line_file, record_file


@contextmanager
def running_site(sources: str = "", fill: Callable[[Path], None] = lambda folder: None) -> Iterator[Site]:
    """Start the whole pipeline on a new data directory and free ports, with these sources beside the usual ones.

    `fill` is called with the directory before anything is started.
    """
    home = default_data_dir()
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="bench-") as folder:
        data_dir = Path(folder)
        (data_dir / "haidang.toml").write_text(_SOURCES + sources)
        fill(data_dir)
        os.environ.pop("HAIDANG_CONFIG", None)
        engine = open_state(data_dir)
        with engine.begin() as connection:
            token = access.create_token(connection, "windows", access.SOURCE)
        start_log(data_dir, "supervisor", "info")
        supervisor = Supervisor(data_dir, stages_of(None))
        since = time.time()
        supervisor.start()
        try:
            while set(supervisor.names) - ready(engine, instance_of(data_dir), supervisor.names, since):
                supervisor.check()
                if time.time() - since > 60:
                    raise HaidangError("command.bench.not_ready")
                time.sleep(0.05)
            listening = detail(engine, "collectors")["listening"]
            places = [place for name in ("syslog", "http") for place in listening[name]]
            ports = {place.partition(" ")[0]: int(place.rpartition(":")[2]) for place in places}
            yield Site(data_dir, supervisor, engine, ports, token, store.open_reader(data_dir, StoreSettings()))
        finally:
            supervisor.stop()
            engine.dispose()


def detail(engine: Engine, stage: str) -> dict[str, Any]:
    """Return what a stage last said of itself."""
    with engine.connect().execution_options(read_only=True) as connection:
        found: dict[str, Any] = connection.scalar(select(stages.c.detail).where(stages.c.stage == stage)) or {}
    return found


def rules_of(site: Site) -> int:
    """Return how many rules are in force."""
    return int(detail(site.engine, "detectors").get("rules", 0))


@dataclass
class Usage:
    """Watches the memory (proportional set size, so shared pages count once) and processor time of all stages."""

    supervisor: Supervisor
    peak_mb: int = 0
    peaks_mb: dict[str, int] = field(default_factory=dict)
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
        """Watch no more."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            total = 0
            for child in self.supervisor.children:
                if child.process is not None:
                    held = _pss_kb(child.process.pid)
                    total += held
                    self.peaks_mb[child.name] = max(self.peaks_mb.get(child.name, 0), held // 1024)
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

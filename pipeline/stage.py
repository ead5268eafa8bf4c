"""A stage's process: a body that reads one topic enters, a process with a lock, a heartbeat and a clean stop leaves."""

import fcntl
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine

from pipeline.bus import Bus, Positions, Record, open_bus
from pipeline.ledger import Tally
from pipeline.logs import log, start_log
from pipeline.messages import HaidangError, choose_language
from pipeline.settings import Settings, load_settings
from pipeline.state import open_state, upsert
from pipeline.state import positions as saved
from pipeline.state.tables import stages

#: How often a stage says that it lives, in seconds.
HEARTBEAT_SECONDS = 2.0
#: How long a stage that finds nothing to read waits before it looks again, in seconds.
IDLE_SECONDS = 0.03
#: How long a starting stage waits for an earlier one of its kind to let go of the data directory, in seconds.
LOCK_SECONDS = 20.0
#: What a lock is waited for at the least, in seconds: `is_running` holds it for a moment when it looks.
_LOCK_MOMENT = 0.3
#: Set by the supervisor: a stage whose supervisor is gone stops.
SUPERVISOR_VARIABLE = "HAIDANG_SUPERVISOR_PID"


class Stage:
    """What a stage's body needs: settings, bus, state, and whether to go on."""

    def __init__(self, name: str, settings: Settings, engine: Engine, bus: Bus) -> None:
        self.name = name
        self.settings = settings
        self.engine = engine
        self.bus = bus
        self.stopping = threading.Event()
        self._started = time.time()
        self._beaten = 0.0

    def beat(
        self, backlog: Callable[[], int] = lambda: 0, detail: dict[str, Any] | None = None, now: bool = False
    ) -> None:
        """Say that this stage lives, at most every `HEARTBEAT_SECONDS`; stop when the supervisor is gone.

        `backlog` counts the events that wait; it is asked only when something is said.
        """
        if not now and time.monotonic() - self._beaten < HEARTBEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        supervisor = os.environ.get(SUPERVISOR_VARIABLE)
        if supervisor and os.getppid() != int(supervisor):
            log("stage").warning("supervisor_gone", stage=self.name)
            self.stopping.set()
        row = {
            "stage": self.name, "pid": os.getpid(), "started": self._started, "seen": time.time(),
            "backlog_events": backlog(), "detail": detail or {},
        }  # fmt: skip
        with self.engine.begin() as connection:
            upsert(connection, stages, [row], key=["stage"])


class Consumer:
    """A stage's reading end of one topic: `read`, act on it, `commit`: position and counts in one transaction."""

    def __init__(self, stage: Stage, topic: str, name: str | None = None) -> None:
        self.topic = topic
        self.tally = Tally()
        self._stage = stage
        self._name = name or stage.name
        self._next = saved.load(stage.engine, self._name, topic)
        self._dirty = False
        self._go_back_to_ends()

    def _go_back_to_ends(self) -> None:
        """Read from the start where a position lies past the end: the topic was lost, and fills again from below it."""
        for partition, end in self._stage.bus.ends(self.topic).items():
            if self._next.get(partition, 0) > end:
                log("stage").error("topic_lost", topic=self.topic, position=self._next[partition], end=end)
                self._next[partition] = 0
                self._dirty = True
        self.commit()

    def start_at(self, offsets: Positions) -> None:
        """Begin at these offsets in the partitions that were never read."""
        for partition, offset in offsets.items():
            self._next.setdefault(partition, offset)

    def read(self, limit_bytes: int = 4_000_000) -> list[Record]:
        """Return the next records, or none; they count as read from now on, and as done with `commit`."""
        records = self._stage.bus.read(self.topic, self._next, limit_bytes)
        for record in records:
            self._next[record.partition] = record.offset + 1
        self._dirty = self._dirty or bool(records)
        return records

    def commit(self, effects: Callable[[Connection], None] | None = None) -> None:
        """Save position, counts and `effects` together; all or none."""
        if not self._dirty and effects is None:
            return
        with self._stage.engine.begin() as connection:
            if effects is not None:
                effects(connection)
            saved.save(connection, self._name, self.topic, self._next)
            self.tally.save(connection, self._stage.name.partition(":")[0])  # `detectors:…` count as detectors
        self.tally.clear()
        self._dirty = False

    def backlog(self) -> int:
        """Return how many events wait to be read."""
        return self._stage.bus.backlog(self.topic, self._next)[0]


def run_stage(name: str, body: Callable[[Stage], None]) -> None:
    """Run `body` as this process; the way into every `python -m <stage>`.

    Exit status: 0 after a clean stop, 2 for settings that a person must mend, 1 for a fault of ours (the supervisor
    starts the stage again).
    """
    os.umask(0o077)  # nobody else reads a site's data
    try:
        settings = load_settings()
        choose_language(settings.language)
        start_log(settings.data_dir, name, settings.log_level)
        engine = open_state(settings.data_dir, settings.state)
        bus = open_bus(settings.data_dir, settings.bus)
        stage = Stage(name, settings, engine, bus)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stage.stopping.set())
        # Almost nothing that a stage makes refers to itself, and what it loads at the start stays: look rarely.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        with only_one(settings.data_dir, name):
            stage.beat(now=True, detail={"ready": False})
            log("stage").info("started", stage=name, pid=os.getpid())
            body(stage)
            log("stage").info("stopped", stage=name)
    except HaidangError as error:
        log("stage").error("cannot_run", stage=name, error=str(error))
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    bus.close()
    engine.dispose()


@contextmanager
def only_one(data_dir: Path, name: str, wait_seconds: float = LOCK_SECONDS) -> Iterator[IO[str]]:
    """Hold the lock of a part of the data directory; the system frees it when the process ends, however it ends.

    Raises:
        HaidangError: another process holds it and did not let go in `wait_seconds`.
    """
    folder = data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a+") as file:
        deadline = time.monotonic() + max(wait_seconds, _LOCK_MOMENT)
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise HaidangError("stage.locked", part=name, data_dir=data_dir, pid=file.read().strip()) from error
                time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file


def is_running(data_dir: Path, name: str) -> bool:
    """Say whether a process holds the lock of this part."""
    path = data_dir / "run" / f"{name}.lock"
    if not path.exists():
        return False
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False

"""A stage's process: a body that reads one topic enters, a process with a lock, a heartbeat and a clean stop leaves.

A body that meets a service that does not answer (`Unavailable`, a lost database connection) or a full disk is started
again in the same process, from what was saved, until it can go on.
"""

import fcntl
import gc
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from pipeline import shares
from pipeline.bus import Bus, BusAway, Positions, Record, SlowDown, open_bus
from pipeline.deadletters import bury
from pipeline.frame import Frame
from pipeline.instance import instance_of
from pipeline.ledger import Tally
from pipeline.logs import log, start_log
from pipeline.messages import HaidangError, Unavailable, choose_language
from pipeline.settings import Settings, load_settings
from pipeline.state import open_state, upsert
from pipeline.state import positions as saved
from pipeline.state.tables import stages
from pipeline.stopping import Stopping, stop_on_signals

T = TypeVar("T")

#: How often a stage says that it lives, in seconds.
HEARTBEAT_SECONDS = 2.0
#: How long a stage that finds nothing to read waits before it looks again, in seconds.
IDLE_SECONDS = 0.03
#: How long a starting stage waits for an earlier one of its kind to let go of the data directory, in seconds.
LOCK_SECONDS = 20.0
#: What a lock is waited for at the least, in seconds: `is_running` holds it for a moment when it looks.
_LOCK_MOMENT = 0.3
#: How often a copy of a consumer says that it lives, and looks whether its share has changed, in seconds.
_SHARE_SECONDS = 2.0
#: How long a full bus is waited for before trying again, in seconds.
_SLOW_DOWN_SECONDS = 0.2
#: How old the ends of a topic may be that a bus tells, in seconds, and a little more.
_ENDS_SECONDS = 1.5
#: How long a stage waits before it tries again what a service did not answer, in seconds: first, and at the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: Faults of a database that is away or was cut off.
STATE_AWAY = (OperationalError, InterfaceError)
#: Set by the supervisor: a stage whose supervisor is gone stops.
SUPERVISOR_VARIABLE = "HAIDANG_SUPERVISOR_PID"


class Stage:
    """What a stage's body needs: settings, bus, state, and whether to go on."""

    def __init__(self, name: str, settings: Settings, engine: Engine, bus: Bus) -> None:
        self.name = name
        self.settings = settings
        self.engine = engine
        self.bus = bus
        self.stopping: threading.Event = Stopping()
        self.instance = instance_of(settings.data_dir)
        self.consumers: list[Consumer] = []
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
            "stage": self.name, "instance": self.instance, "pid": os.getpid(), "started": self._started,
            "seen": time.time(), "backlog_events": backlog(),
            "detail": {**({"waits": self.bus.fault} if self.bus.fault else {}), **(detail or {})},
        }  # fmt: skip
        try:
            with self.engine.begin() as connection:
                upsert(connection, stages, [row], key=["stage", "instance"])
        except STATE_AWAY as error:  # it is for others to know; who saves something will find out
            log("stage").error("not_heard", stage=self.name, reason=str(error.orig))

    def publish(self, topic: str, frames: Sequence[Frame]) -> bool:
        """Publish as soon as the bus takes it; False when the stage was told to stop before."""
        while not self.stopping.is_set():
            try:
                self.bus.publish(topic, frames)
                return True
            except SlowDown as error:
                log("stage").warning(f"{topic}_held", reason=str(error))
                self.beat(detail={"ready": True, "waits": str(error)})
                self.stopping.wait(_SLOW_DOWN_SECONDS)
        return False


class Consumer:
    """A stage's reading end of one topic: `read`, act on it, `commit`: position and counts in one transaction.

    Where the stage has copies on other machines, each reads its share of the partitions (`pipeline/shares.py`).
    """

    def __init__(self, stage: Stage, topic: str, name: str | None = None, buries: bool = False) -> None:
        """`buries`: what this consumer drops becomes a dead letter. Of a topic's consumers one does."""
        self.topic = topic
        self._buries = buries
        self.tally = Tally()
        self._stage = stage
        self._name = name or stage.name
        self._share: set[int] | None = None  # all partitions
        self._given_up: set[int] = set()  # read no more, but still ours until what was read is saved
        self._looked = 0.0
        self._next: dict[int, int] = {}
        self._touched: set[int] = set()  # partitions whose position is not saved yet
        stage.consumers.append(self)
        self._keeper: shares.Keeper | None = None
        if self._is_shared():
            self._share = set()
            self._look_at_share()
            self._keeper = shares.Keeper(stage.engine, self._name, topic, stage.instance)
            self._keeper.start()
        else:
            self._next = saved.load(stage.engine, self._name, topic)
            self._go_back_to_ends()

    @property
    def leads(self) -> bool:
        """Whether this copy does what only one of them should: it has the first partition, or is the only one."""
        return self._share is None or 0 in self._share

    @property
    def partitions(self) -> set[int]:
        """The partitions that are this copy's, also those that it gives up once what it read there is saved."""
        return set(self._stage.bus.partitions(self.topic)) if self._share is None else set(self._share)

    @property
    def settings(self) -> Settings:
        """The site's settings."""
        return self._stage.settings

    @property
    def gives_up(self) -> bool:
        """Whether another copy waits for a partition until what was read there is saved."""
        return bool(self._given_up)

    @property
    def shared(self) -> bool:
        """Whether there may be copies of this consumer."""
        return self._share is not None

    def start_at(self, offsets: Positions) -> None:
        """Begin at these offsets in the partitions that were never read."""
        for partition, offset in offsets.items():
            if partition not in self._next:
                self._next[partition] = offset
                self._touched.add(partition)

    def read(self, limit_bytes: int = 4_000_000) -> list[Record]:
        """Return the next records, or none; they count as read from now on, and as done with `commit`."""
        self._look_at_share()
        records = self._stage.bus.read(self.topic, self._next, limit_bytes, self._reading())
        for record in records:
            self._next[record.partition] = record.offset + 1
            self._touched.add(record.partition)
        return records

    def commit(self, effects: Callable[[Connection], None] | None = None) -> None:
        """Save position, counts and `effects` together; all or none.

        Raises:
            LeaseLost: another copy has taken over what was read; nothing was saved.
        """
        if not self._touched and effects is None and not self._given_up:
            return
        with self._stage.engine.begin() as connection:
            if self._share is not None and self._touched:
                shares.extend(connection, self._name, self.topic, self._stage.instance, self._touched)
            if effects is not None:
                effects(connection)
            positions = {partition: self._next[partition] for partition in self._touched}
            saved.save(connection, self._name, self.topic, positions)
            name = self._stage.name.partition(":")[0]  # `detectors:…` count as detectors
            self.tally.save(connection, name)
            if self._buries and self.tally.letters:
                bury(connection, name, self.tally.letters, self._stage.settings.limits.dead_letter_mb * 1_000_000)
            if self._given_up:
                shares.give_back(connection, self._name, self.topic, self._stage.instance, self._given_up)
        self.tally.clear()
        self._touched.clear()
        self._forget(self._given_up)

    def backlog(self) -> int:
        """Return how many events wait to be read."""
        return self._stage.bus.backlog(self.topic, self._next, self._reading())[0]

    def abandon(self) -> None:
        """Keep nothing any more: what was read and not saved is read again, here or elsewhere."""
        if self._keeper is not None:
            self._keeper.stop()

    def has_read(self, partition: int) -> bool:
        """Say whether nothing waits to be read in a partition."""
        return not self._stage.bus.backlog(self.topic, self._next, [partition])[0]

    def close(self) -> None:
        """Let other copies go on at once; what was read and not saved is theirs."""
        self.abandon()
        if self._share is not None:
            with self._stage.engine.begin() as connection:
                shares.leave(connection, self._name, self.topic, self._stage.instance)

    def _is_shared(self) -> bool:
        return len(self._stage.bus.partitions(self.topic)) > 1 and self._name == self._stage.name.partition(":")[0]

    def _reading(self) -> set[int] | None:
        return None if self._share is None else self._share - self._given_up

    def _look_at_share(self) -> None:
        """Say that we live, and take or give up partitions where copies came or went."""
        if self._share is None or time.monotonic() - self._looked < _SHARE_SECONDS:
            return
        self._looked = time.monotonic()
        if self._keeper is not None:
            self._keeper.heard = self._looked
        who = (self._name, self.topic, self._stage.instance)
        with self._stage.engine.begin() as connection:
            shares.take_turns(connection, self._name, self.topic)
            living = shares.say_alive(connection, *who)
            wanted = shares.divide(self._stage.bus.partitions(self.topic), living, self._stage.instance)
            shares.claim(connection, *who, wanted - self._share)
            held = shares.held(connection, *who)
            if lost := self._share - held:
                self._forget(lost)
                raise shares.LeaseLost("stage.lease_lost", topic=self.topic, consumer=self._name)
            shares.extend(connection, *who, held)
            places = saved.load(self._stage.engine, self._name, self.topic)
        for partition in held - self._share:
            log("stage").info("takes_over", topic=self.topic, partition=partition, position=places.get(partition, 0))
            if partition in places:
                self._next[partition] = places[partition]
        self._share = held
        self._given_up = held - wanted
        self._go_back_to_ends()
        if self._given_up and not self._touched:
            self.commit()

    def _forget(self, partitions: set[int]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)
        if self._share is not None:
            self._share -= partitions
        self._given_up = set()

    def _past_ends(self) -> dict[int, int]:
        """Return the ends that lie before where we would go on reading."""
        ends = self._stage.bus.ends(self.topic)
        if self._stage.bus.fault:  # it is away, and these are ends of some time ago
            return {}
        return {partition: end for partition, end in ends.items() if self._next.get(partition, 0) > end}

    def _go_back_to_ends(self) -> None:
        """Read from the start where a position lies past the end: the topic was lost, and fills again from below it."""
        if self._past_ends():
            time.sleep(_ENDS_SECONDS)  # an end that others have moved may show late
        past = self._past_ends()
        for partition, end in past.items():
            log("stage").error("topic_lost", topic=self.topic, position=self._next[partition], end=end)
            self._next[partition] = 0
            self._touched.add(partition)
        if past:  # else what was read is saved with its effects, by whoever read it
            self.commit()


def run_stage(name: str, body: Callable[[Stage], None]) -> None:
    """Run `body` as this process; the way into every `python -m <stage>`.

    Exit status: 0 after a clean stop, 2 for settings that a person must mend, 1 for a fault of ours (the supervisor
    starts the stage again).
    """
    os.umask(0o077)  # nobody else reads a site's data
    stopping = stop_on_signals()
    try:
        settings = load_settings()
        choose_language(settings.language)
        start_log(settings.data_dir, name, settings.log_level)
        engine = patiently(lambda: open_state(settings.data_dir, settings.state), stopping)
        bus = patiently(lambda: open_bus(settings.data_dir, settings.bus), stopping)
        if engine is None or bus is None:
            return
        stage = Stage(name, settings, engine, bus)
        stage.stopping = stopping
        collect_rarely()
        with only_one(settings.data_dir, name):
            log("stage").info("started", stage=name, pid=os.getpid())
            _keep_running(stage, body)
            log("stage").info("stopped", stage=name)
    except HaidangError as error:
        log("stage").error("cannot_run", stage=name, error=str(error))
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    bus.close()
    engine.dispose()


def collect_rarely() -> None:
    """Look for cycles rarely: little that a stage makes refers to itself, and what it loads at the start stays."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def patiently(make: Callable[[], T], stopping: threading.Event) -> T | None:
    """Return what `make` makes, tried until the service that it needs answers; None when told to stop before."""
    pause = _FIRST_PAUSE
    while not stopping.is_set():
        try:
            return make()
        except Unavailable as error:
            log("stage").error("waits", reason=str(error))
        stopping.wait(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
    return None


def _keep_running(stage: Stage, body: Callable[[Stage], None]) -> None:
    """Run the body, again from what was saved whenever a service that it needs was away."""
    pause = _FIRST_PAUSE
    while True:
        started = time.monotonic()
        try:
            stage.beat(now=True, detail={"ready": False})
            body(stage)
            for consumer in stage.consumers:
                consumer.close()
            return
        except (Unavailable, BusAway, sqlite3.OperationalError, *STATE_AWAY) as error:
            reason = str(error)
        for consumer in stage.consumers:
            consumer.abandon()
        stage.consumers.clear()
        if stage.stopping.is_set():
            log("stage").error("stopped_while_waiting", stage=stage.name, reason=reason)
            return
        log("stage").error("waits", stage=stage.name, reason=reason)
        stage.beat(now=True, detail={"ready": False, "waits": reason})
        pause = _FIRST_PAUSE if time.monotonic() - started > _LONGEST_PAUSE else min(pause * 2, _LONGEST_PAUSE)
        stage.stopping.wait(pause)


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

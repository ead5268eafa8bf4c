"""What people bring to the bus enters: imports, dead letters that are tried again; lines of the ledger leave, also of a
process that was killed.

The counts are saved together with the place on the bus up to which they hold. That place stays after a kill, and keeps
the frames behind it from being deleted: whoever looks next counts them (`settle`).
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pipeline.bus import EVENTS, IMPORTS, RETRIED, Bus, Positions, Record
from pipeline.frame import Frame
from pipeline.instance import instance_of
from pipeline.ledger import IN, OUT, Tally, this_minute
from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.stage import only_one
from pipeline.state import positions

_SAVE_SECONDS = 1.0
#: What is taken in and given out at once: outcomes and reasons.
_RECEIVED = ((IN, ""), (OUT, ""))


@dataclass(frozen=True, slots=True)
class Bringer:
    """Who brings events, one process of a data directory at a time: `name` is that of the lock and of the place."""

    name: str
    stage: str  # that the ledger counts it under
    counted: tuple[tuple[str, str], ...]  # each event: outcome and reason
    brought: Callable[[Record], bool]

    def place(self, settings: Settings, bus: Bus) -> str:
        """Return the name of the place; where several machines share the bus each has its own."""
        shared = len(bus.partitions(EVENTS)) > 1
        return f"{self.name}@{instance_of(settings.data_dir)}" if shared else self.name


IMPORT = Bringer(
    "import", "collectors", _RECEIVED, lambda record: record.source in IMPORTS and record.key != RETRIED
)  # fmt: skip
RETRY = Bringer("deadletters", "deadletters", ((OUT, "retried"),), lambda record: record.key == RETRIED)
BRINGERS = (IMPORT, RETRY)


def uncounted(
    bus: Bus, since: Positions, wanted: Callable[[Record], bool], counted: Sequence[tuple[str, str]] = _RECEIVED
) -> Tally:
    """Count what lies on the bus from these offsets on, of all records those wanted."""
    tally = Tally()
    places = dict(since)
    while records := bus.read(EVENTS, places):
        for record in records:
            places[record.partition] = record.offset + 1
            if wanted(record):
                for outcome, reason in counted:
                    tally.add(record.source, outcome, record.events, reason)
    return tally


def settle(settings: Settings, engine: Engine, bus: Bus) -> int:
    """Count what was brought from this data directory and not counted before a kill; return how many events that are.

    Nothing is done for those who are at work: they count by themselves.
    """
    events = 0
    for bringer in BRINGERS:
        if positions.load(engine, bringer.place(settings, bus), EVENTS):
            with suppress(HaidangError), only_one(settings.data_dir, bringer.name, wait_seconds=0):
                events += _settle(bringer, settings, engine, bus)
    return events


class Books:
    """Publishes for the one bringer that holds the lock, and counts every second; a context."""

    def __init__(self, bringer: Bringer, settings: Settings, engine: Engine, bus: Bus) -> None:
        self._bringer = bringer
        self._engine = engine
        self._bus = bus
        self._place = bringer.place(settings, bus)
        self._tally = Tally()
        self._minute = this_minute()  # since when it counts
        self._publishing = threading.Lock()  # what is on the bus and what is counted are then the same
        self._ending = threading.Event()
        _settle(bringer, settings, engine, bus)
        self._save()
        self._saving = threading.Thread(target=self._save_often, daemon=True)

    def __enter__(self) -> Self:
        self._saving.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        self._saving.join()
        self._save(ends=True)

    def publish(self, topic: str, frames: Sequence[Frame]) -> None:
        """Bring events to the bus.

        Raises:
            SlowDown: the bus takes none now; nothing was counted.
        """
        with self._publishing:
            if not self._tally.counts:
                self._minute = this_minute()  # before the store can have them
            self._bus.publish(topic, frames)
            for frame in frames:
                for outcome, reason in self._bringer.counted:
                    self._tally.add(frame.source, outcome, frame.events, reason)

    def _save_often(self) -> None:
        while not self._ending.wait(_SAVE_SECONDS):
            try:
                self._save()
            except SQLAlchemyError as error:  # the last one says so, or whoever settles counts it
                log("books").error("ledger_waits", reason=str(error))

    def _save(self, ends: bool = False) -> None:
        with self._publishing:
            with self._engine.begin() as connection:
                self._tally.save(connection, self._bringer.stage, self._minute)
                if ends:
                    positions.forget(connection, self._place)
                else:
                    positions.save(connection, self._place, EVENTS, self._bus.ends(EVENTS))
            self._tally.clear()


def _settle(bringer: Bringer, settings: Settings, engine: Engine, bus: Bus) -> int:
    place, ours = bringer.place(settings, bus), ("", instance_of(settings.data_dir))
    since = positions.load(engine, place, EVENTS)
    if not since:
        return 0
    found = uncounted(bus, since, lambda record: record.by in ours and bringer.brought(record), bringer.counted)
    with engine.begin() as connection:
        found.save(connection, bringer.stage)
        positions.forget(connection, place)
    return sum(events for (_, outcome, _), events in found.counts.items() if outcome == OUT)

"""What an import brings to the bus enters; lines of the ledger leave, also of an import that was killed.

The counts are saved together with the place on the bus up to which they hold. That place stays when an import is
killed, and keeps the frames behind it from being deleted: whoever looks next counts them (`settle`).
"""

import threading
from collections.abc import Callable, Sequence
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

#: The lock of an import, and the name of its place on the bus.
IMPORT = "import"
_SAVE_SECONDS = 1.0


def uncounted(bus: Bus, since: Positions, wanted: Callable[[Record], bool]) -> Tally:
    """Count as received and given out what lies on the bus from these offsets on; of all records those wanted."""
    tally = Tally()
    places = dict(since)
    while records := bus.read(EVENTS, places):
        for record in records:
            places[record.partition] = record.offset + 1
            if record.key != RETRIED and wanted(record):
                tally.add(record.source, IN, record.events)
                tally.add(record.source, OUT, record.events)
    return tally


def settle(settings: Settings, engine: Engine, bus: Bus) -> int:
    """Count what an import of this data directory could not, as it was killed, and return how many events that are.

    Nothing is done while one is at work.
    """
    if not positions.load(engine, _name(settings, bus), EVENTS):
        return 0
    try:
        with only_one(settings.data_dir, IMPORT, wait_seconds=0):
            return _settle(settings, engine, bus)
    except HaidangError:  # one is at work, and counts by itself
        return 0


class Books:
    """Publishes for the one import that holds the lock, and counts every second; a context."""

    def __init__(self, settings: Settings, engine: Engine, bus: Bus) -> None:
        self._engine = engine
        self._bus = bus
        self._name = _name(settings, bus)
        self._tally = Tally()
        self._minute = this_minute()  # since when it counts
        self._publishing = threading.Lock()  # what is on the bus and what is counted are then the same
        self._ending = threading.Event()
        _settle(settings, engine, bus)
        self._save()
        self._saving = threading.Thread(target=self._save_often, daemon=True)

    def __enter__(self) -> Self:
        self._saving.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        self._saving.join()
        self._save(ends=True)

    def publish(self, frames: Sequence[Frame]) -> None:
        """Bring events to the bus.

        Raises:
            SlowDown: the bus takes none now; nothing was counted.
        """
        with self._publishing:
            if not self._tally.counts:
                self._minute = this_minute()  # before the store can have them
            self._bus.publish(EVENTS, frames)
            for frame in frames:
                self._tally.add(frame.source, IN, frame.events)
                self._tally.add(frame.source, OUT, frame.events)

    def _save_often(self) -> None:
        while not self._ending.wait(_SAVE_SECONDS):
            try:
                self._save()
            except SQLAlchemyError as error:  # the last one says so, or whoever settles counts it
                log("import").error("ledger_waits", reason=str(error))

    def _save(self, ends: bool = False) -> None:
        with self._publishing:
            with self._engine.begin() as connection:
                self._tally.save(connection, "collectors", self._minute)
                if ends:
                    positions.forget(connection, self._name)
                else:
                    positions.save(connection, self._name, EVENTS, self._bus.ends(EVENTS))
            self._tally.clear()


def _settle(settings: Settings, engine: Engine, bus: Bus) -> int:
    name, instance = _name(settings, bus), instance_of(settings.data_dir)
    since = positions.load(engine, name, EVENTS)
    if not since:
        return 0
    found = uncounted(bus, since, lambda record: record.source in IMPORTS and record.by in ("", instance))
    with engine.begin() as connection:
        found.save(connection, "collectors")
        positions.forget(connection, name)
    return sum(events for (_, outcome, _), events in found.counts.items() if outcome == IN)


def _name(settings: Settings, bus: Bus) -> str:
    """Return the name of the place; where several machines share the bus each has its own."""
    shared = len(bus.partitions(EVENTS)) > 1
    return f"{IMPORT}@{instance_of(settings.data_dir)}" if shared else IMPORT

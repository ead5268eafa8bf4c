"""Intake: event lines of all sources enter, frames on the topic `events` leave, durable before a sender hears "yes".

Lines wait in memory for 50 ms or a frame's worth, whichever is less, then go to the bus in one transaction. When the
bus or the disk will not take them they stay, and `room` says no: TCP and HTTP senders are held, files wait, and what
comes by UDP waits on the disk (`datagram_buffer.py`). Before the disk is full there is no room either.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from collectors.canary import Canaries
from pipeline import clocks
from pipeline.books import uncounted
from pipeline.bus import EVENTS, IMPORTS, RETRIED, Positions, Record, SlowDown
from pipeline.clocks import Clocks
from pipeline.disk import disk_alert, disk_of
from pipeline.frame import MAX_FRAME_BYTES, Frame, pack
from pipeline.ledger import DROPPED, IN, OUT, Tally, this_minute
from pipeline.logs import log
from pipeline.messages import say
from pipeline.own_alerts import Teller
from pipeline.settings import CANARY
from pipeline.stage import Stage
from pipeline.state import positions

#: How long a line waits for others, in seconds.
_GATHER_SECONDS = 0.05
#: Bytes of lines in memory from which senders are held.
HIGH_WATER = 16_000_000
#: Bytes of lines in memory from which they may go on.
_LOW_WATER = 4_000_000
_RETRY_SECONDS = 0.5
_LEDGER_SECONDS = 1.0
#: How often it is looked how much of the disk is free, in seconds: at 100 MB/s a reserve of 1 GB lasts for ten.
_DISK_SECONDS = 1.0
#: How long a stopping stage tries to bring what it holds to the bus, in seconds; the supervisor kills it after 20.
_LAST_TRY_SECONDS = 8.0

#: Sources that are not counted here: `haidang import` counts its own, and canaries count nowhere.
_NOT_COUNTED = IMPORTS | {CANARY}

_Groups = dict[tuple[str, str], list[bytes]]


class Intake:
    """Takes lines in and publishes them. All methods are for the event loop's thread."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.canaries = Canaries(stage.settings.data_dir / "run" / "canaries")
        self._lines: _Groups = defaultdict(list)
        self._bytes = 0
        self._flight = 0
        self._wake = asyncio.Event()
        self._published = asyncio.Condition()
        self._taken = self._done = 0
        self._tally = Tally()
        self._minute: int | None = None  # since which minute it counts
        self._clocks = Clocks()
        self._counted_to: Positions = {}
        self._open_again: list[Callable[[], None]] = []
        self._saving = asyncio.Lock()
        self._closing = False
        self._bus_fault = ""
        self._disk_fault = ""
        self._teller = Teller(stage.bus)
        shared = len(stage.bus.partitions(EVENTS)) > 1
        self._counter = f"collectors@{stage.instance}" if shared else "collectors"

    @property
    def room(self) -> bool:
        """Whether senders that can wait may send on."""
        return self._bytes + self._flight < HIGH_WATER and not self._bus_fault and not self._disk_fault

    @property
    def held_because(self) -> str:
        """Why senders are held, if not only for a moment."""
        return self._bus_fault or self._disk_fault

    @property
    def held_by_disk(self) -> bool:
        """Whether it is the disk that holds senders."""
        return bool(self._disk_fault) and not self._bus_fault

    @property
    def taken(self) -> int:
        """How many lines have been taken in since the start."""
        return self._taken

    def take(self, source: str, lines: list[bytes], key: str = "", live: bool = True) -> None:
        """Take event lines in; they are safe when `durable` returns. `live`: they were sent or written just now."""
        if self.canaries.expected:
            lines = self._without_canaries(lines)
        if lines:
            self._put(source, lines, key)
            if live and self._clocks.wants(source, key):
                self._clocks.look_at(source, lines[-1])

    def _without_canaries(self, lines: list[bytes]) -> list[bytes]:
        others, ours = self.canaries.sort_out(lines)
        for identifier, line in ours:
            self._put(CANARY, [line], identifier)  # as its key: canaries go through every partition in turn
        return others

    def _put(self, source: str, lines: list[bytes], key: str) -> None:
        self._lines[source, key].extend(lines)
        self._bytes += sum(map(len, lines))
        self._taken += len(lines)
        if self._bytes >= MAX_FRAME_BYTES:
            self._wake.set()

    def drop(self, source: str, reason: str, records: int = 1) -> None:
        """Count records that were lost before they could be taken in."""
        self._count_from(this_minute())
        self._tally.add(source, IN, records)
        self._tally.add(source, DROPPED, records, reason)

    def when_open(self, resume: Callable[[], None]) -> None:
        """Call `resume` once, as soon as there is room again; for those who found that there is none."""
        self._open_again.append(resume)

    async def has_room(self) -> None:
        """Wait until there is room."""
        while not self.room:
            opened = asyncio.Event()
            self.when_open(opened.set)
            await opened.wait()

    async def durable(self) -> None:
        """Wait until everything taken in so far is on the bus."""
        mark = self._taken
        self._wake.set()
        async with self._published:
            await self._published.wait_for(lambda: self._done >= mark)

    def count_what_was_not(self) -> None:
        """Count what an earlier process brought to the bus and was killed before it could count; before `run`."""
        since = positions.load(self.stage.engine, self._counter, EVENTS)  # nothing was ever counted: from the start
        self._tally = uncounted(self.stage.bus, since, self._is_ours)
        self._counted_to = self.stage.bus.ends(EVENTS)

    def _is_ours(self, record: Record) -> bool:
        by_us = record.by in ("", self.stage.instance)
        return by_us and record.key != RETRIED and record.source not in _NOT_COUNTED

    async def run(self) -> None:
        """Publish until `finish`."""
        counting = asyncio.create_task(self._save_often())  # also while the bus is full: then drops are counted
        watching = asyncio.create_task(self._watch_disk())
        try:
            while not self._closing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _GATHER_SECONDS)
                self._wake.clear()
                await self._publish()
        finally:
            for task in (counting, watching):
                task.cancel()
            await asyncio.gather(counting, watching, return_exceptions=True)

    async def finish(self, running: "asyncio.Task[None]") -> None:
        """End `run`, which goes on in the task `running`; publish and count what is left."""
        self._closing = True
        self._wake.set()
        await running
        await self._publish()
        await self._save()

    async def _publish(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, defaultdict(list)
            self._flight, self._bytes = self._bytes, 0
            counts: Counter[str] = Counter()
            for (source, _), group in lines.items():
                counts[source] += len(group)
            minute = this_minute()  # before the store can have them: in no minute is more stored than came
            published = await asyncio.to_thread(self._pack_and_publish, lines)
            self._flight = 0
            self._count_from(minute)
            self._counted_to = await asyncio.to_thread(self.stage.bus.ends, EVENTS)
            for source, count in counts.items():
                if source != CANARY:
                    self._count(source, count, published)
            if published:
                async with self._published:
                    self._done += counts.total()
                    self._published.notify_all()
        if self._bytes < _LOW_WATER and not self.held_because:
            waiting, self._open_again = self._open_again, []
            for resume in waiting:
                resume()

    def _count_from(self, minute: int) -> None:
        """Save what is counted now as of this minute, or of an earlier one."""
        self._minute = minute if self._minute is None else min(minute, self._minute)

    def _count(self, source: str, events: int, published: bool) -> None:
        self._tally.add(source, IN, events)
        self._tally.add(source, OUT if published else DROPPED, events, "" if published else "stopped_while_held")

    def _pack_and_publish(self, lines: _Groups) -> bool:
        frames = [frame for (source, key), group in lines.items() for frame in pack(source, group, key)]
        last_try = float("inf")
        while not self._try(frames):
            if self.stage.stopping.is_set():
                last_try = min(last_try, time.monotonic() + _LAST_TRY_SECONDS)
            if time.monotonic() > last_try:
                log("intake").error("dropped", events=sum(frame.events for frame in frames), reason=self.held_because)
                return False
            time.sleep(_RETRY_SECONDS)
        if self._bus_fault:
            log("intake").info("goes_on")
        self._bus_fault = ""
        return True

    def _try(self, frames: list[Frame]) -> bool:
        try:
            self.stage.bus.publish(EVENTS, frames)
        except (SlowDown, sqlite3.OperationalError, OSError) as error:  # full, locked, or the disk
            if not self._bus_fault:
                log("intake").error("held", reason=str(error))
            self._bus_fault = str(error) or repr(error)
            return False
        return True

    async def _watch_disk(self) -> None:
        """Hold senders before the disk is full, and let them go on when there is room again."""
        while True:
            try:
                await asyncio.to_thread(self._look_at_disk)
            except OSError as error:  # the disk is gone: publishing finds out, this goes on looking
                log("intake").error("cannot_look_at_disk", reason=str(error))
            await asyncio.sleep(_DISK_SECONDS)

    def _look_at_disk(self) -> None:
        settings = self.stage.settings
        disk = disk_of(settings)
        if not disk.full(held=bool(self._disk_fault)):
            if self._disk_fault:
                log("intake").info("goes_on")
            self._disk_fault = ""
        elif not self._disk_fault:
            self._disk_fault = say("disk.held", folder=settings.data_dir, reserve=settings.limits.disk_reserve_mb)
            log("intake").error("held", reason=self._disk_fault)
        alert = disk_alert(settings, disk)
        self._teller.tell([alert] if alert is not None else [])

    async def _save_often(self) -> None:
        while True:
            await asyncio.sleep(_LEDGER_SECONDS)
            await asyncio.shield(self._save())

    async def _save(self) -> None:
        """Add the counts to the ledger; on a full disk they wait for the next time."""
        async with self._saving:  # one after the other: at the end the last waits for one that still goes on
            await self._save_counts()

    async def _save_counts(self) -> None:
        clock_rows = self._clocks.rows(time.time())
        if not self._tally.counts and not clock_rows:
            return
        tally, self._tally = self._tally, Tally()
        minute, self._minute = self._minute, None
        counted_to = self._counted_to

        def save() -> None:
            with self.stage.engine.begin() as connection:
                tally.save(connection, "collectors", minute)
                clocks.save(connection, clock_rows)
                positions.save(connection, self._counter, EVENTS, counted_to)

        try:
            await asyncio.to_thread(save)
        except SQLAlchemyError as error:
            log("intake").error("ledger_waits", reason=str(error))
            for (source, outcome, reason), count in tally.counts.items():
                self._tally.add(source, outcome, count, reason)
            if minute is not None:
                self._count_from(minute)

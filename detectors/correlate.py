"""Correlation in the detectors' stage: events that rules have matched enter, alerts of correlations leave.

The events go to the topic `hits`, all to one partition; the copy of the stage that holds it evaluates them, so all
events of a group meet, wherever they were read. That topic is also the journal of what is held: its position is saved
together with all that is held, and after a kill the same events, in the same order, lead to the same alerts again.
Everything that decides comes from the journal: also the time of receipt and that time has passed (a *tick*).
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Protocol

import zstandard
from sqlalchemy import Connection, delete, select

from detectors.correlations import SECOND, Correlations, Counts, Limits
from detectors.sigma import Rule, RuleSet
from pipeline import bus
from pipeline.bus import Record
from pipeline.event import Event, decode, encode, to_micros
from pipeline.frame import PoisonFrame, pack, unpack
from pipeline.logs import log
from pipeline.settings import Detectors
from pipeline.stage import Consumer, Stage
from pipeline.state.tables import correlations as table

#: All of the journal has one key, and so lies in one partition.
_KEY = "correlations"
_RULES, _RECEIVED, _LANE, _SCOPE = "correlation.rules", "correlation.received", "correlation.lane", "correlation.scope"
_TICK, _LANES = "correlation.tick", "correlation.lanes"
_OURS = (_RULES, _RECEIVED, _LANE, _SCOPE)
#: How often it is said that time has passed, in seconds.
_TICK_SECONDS = 2.0
#: How often what is held is saved, in seconds, and how much of the time that may take at the most.
_SAVE_SECONDS, _SAVE_SHARE = 5.0, 0.05
#: How often what was left out is logged, in seconds.
_LOG_SECONDS = 60.0


class Correlating(Protocol):
    """What becomes of the events that rules of a correlation have matched."""

    def take(self, record: Record, event: Event, rules: Iterable[Rule]) -> None:
        """Take an event, complete, and those of the rules that it matches."""

    def alerts(self) -> list[Event] | None:
        """Return the alerts that came of what was taken so far; None when the stage was told to stop meanwhile."""

    def save(self) -> None:
        """The alerts were published: what led to them need not be read again."""

    def end(self) -> list[Event]:
        """Return the last alerts; the stage stops."""

    def detail(self) -> dict[str, Any]:
        """Return counts for the health page."""


def limits_of(settings: Detectors, lateness: bool = True) -> Limits:
    """Return the bounds that the settings name."""
    return Limits(
        lateness=int(settings.lateness_seconds * SECOND) if lateness else None,
        groups=settings.correlation_groups,
        events=settings.correlation_events,
        evidence_bytes=settings.correlation_evidence_mb * 1_000_000,
    )


class OfImport:
    """The correlations of an import with rules of its own: it is all that they see, and its end ends them."""

    def __init__(self, rules: RuleSet, settings: Detectors) -> None:
        self._correlations = Correlations(rules.correlations, limits_of(settings, lateness=False), early=True)
        self._found: list[Event] = []

    def take(self, record: Record, event: Event, rules: Iterable[Rule]) -> None:
        if referred := [rule.id for rule in rules if self._correlations.takes(rule)]:
            self._found += self._correlations.feed(event, referred)

    def alerts(self) -> list[Event]:
        found, self._found = self._found, []
        return found

    def save(self) -> None:
        """Nothing is kept: an import that is cut off begins again."""

    def end(self) -> list[Event]:
        return self._correlations.finish()

    def detail(self) -> dict[str, Any]:
        return {}


class OfSite:
    """The correlations of a site, through the journal."""

    def __init__(self, stage: Stage, rules: RuleSet, events: Consumer) -> None:
        self._stage = stage
        self._rules = rules
        self._events = events
        self._limits = limits_of(stage.settings.detectors)
        self._takes = Correlations(rules.correlations, self._limits).takes
        self._journal = Consumer(stage, bus.HITS)
        self._held: dict[int, Correlations] = {}
        self._lines: dict[str, list[bytes]] = {}
        self._last: dict[int, Record] = {}
        self._unsaved: set[int] = set()  # partitions of the journal
        self._ticked = self._saved = self._logged = time.monotonic()
        self._pause = _SAVE_SECONDS
        self._told: dict[str, int] = {}

    def take(self, record: Record, event: Event, rules: Iterable[Rule]) -> None:
        self._last[record.partition] = record
        referred = [rule.id for rule in rules if self._takes(rule)]
        if referred:
            scope = bus.IMPORT if record.source == bus.IMPORT else ""
            marks = {_RULES: referred, _RECEIVED: _now(), _LANE: str(record.partition), _SCOPE: scope}
            self._lines.setdefault(record.source, []).append(encode({**event, **marks}))

    def alerts(self) -> list[Event] | None:
        self._look_at_share()
        if not self._write():
            return None
        return [alert for record in self._journal.read() for alert in self._read(record)]

    def save(self) -> None:
        """Save what is held with the position in the journal: now and then, and when another copy waits for it."""
        if self._journal.gives_up or time.monotonic() - self._saved >= self._pause:
            self._save()
        self._log_left_out()

    def end(self) -> list[Event]:
        self._save()
        return []

    def _save(self) -> None:
        started = time.monotonic()
        if self._unsaved:
            self._journal.commit(self._write_state)
            self._unsaved.clear()
        self._saved = time.monotonic()
        self._pause = max(_SAVE_SECONDS, (self._saved - started) / _SAVE_SHARE)

    def detail(self) -> dict[str, Any]:
        held = list(self._held.values())
        counts = [asdict(each.counts) for each in held]
        sums = {name: sum(each[name] for each in counts) for name in asdict(Counts())}
        return {
            "correlations": {
                "rules": len(self._rules.correlations), "groups": sum(each.groups for each in held), **sums,
            }
        }  # fmt: skip

    def _write(self) -> bool:
        """Publish what was taken, and that time has passed; False when told to stop before."""
        frames = [frame for source, lines in self._lines.items() for frame in pack(source, lines, _KEY)]
        self._lines.clear()
        if time.monotonic() - self._ticked >= _TICK_SECONDS and not self._stage.bus.fault:
            self._ticked = time.monotonic()
            if self._journal.shared or any(each.waits() for each in self._held.values()):
                frames += pack("haidang", [encode({_TICK: _now(), _LANES: self._lanes()})], _KEY)
        return not frames or self._stage.publish(bus.HITS, frames)

    def _lanes(self) -> dict[str, int]:
        """Return how far each partition of the events is: now where all was read, else when the last was received."""
        lanes = {}
        for partition in self._events.partitions:
            if self._events.has_read(partition):
                lanes[str(partition)] = _now()
            elif partition in self._last and (received := _received(self._last[partition])) is not None:
                lanes[str(partition)] = received
        return lanes

    def _read(self, record: Record) -> list[Event]:
        state = self._state(record.partition)
        self._unsaved.add(record.partition)
        found: list[Event] = []
        try:
            for line in unpack(record.payload):
                entry = decode(line)
                if _TICK in entry:
                    found += state.tick(entry[_TICK], entry[_LANES])
                else:
                    rules, received, lane, scope = (entry.pop(name) for name in _OURS)
                    found += state.feed(entry, rules, None, received, lane, scope)
        except (PoisonFrame, ValueError, KeyError, TypeError) as error:  # nothing of ours
            log("detectors").error("not_a_hit", topic=record.topic, offset=record.offset, error=str(error))
        return found

    def _look_at_share(self) -> None:
        """Take up what was held of the partitions that are ours; forget that of others."""
        ours = self._journal.partitions
        for partition in self._held.keys() - ours:
            del self._held[partition]
            self._unsaved.discard(partition)  # whoever has it now reads the journal from what was saved
        for partition in ours - self._held.keys():
            self._state(partition)

    def _state(self, partition: int) -> Correlations:
        if partition not in self._held:
            state = Correlations(self._rules.correlations, self._limits, early=True)
            query = select(table.c.data).where(table.c.partition == partition).order_by(table.c.piece)
            with self._stage.engine.connect().execution_options(read_only=True) as connection:
                pieces = connection.scalars(query).all()
            unpacker = zstandard.ZstdDecompressor()
            state.load(unpacker.decompress(piece) for piece in pieces)
            self._held[partition] = state
        return self._held[partition]

    def _write_state(self, connection: Connection) -> None:
        packer = zstandard.ZstdCompressor(level=1)
        for partition in sorted(self._unsaved):  # their leases are looked at in this transaction
            connection.execute(delete(table).where(table.c.partition == partition))
            for number, piece in enumerate(self._held[partition].dump()):
                row = {"partition": partition, "piece": number, "data": packer.compress(piece)}
                connection.execute(table.insert(), row)

    def _log_left_out(self) -> None:
        if time.monotonic() - self._logged < _LOG_SECONDS:
            return
        self._logged = time.monotonic()
        for state in self._held.values():
            counts = asdict(state.counts)
            more = {name: counts[name] - self._told.get(name, 0) for name in _LEFT_OUT}
            if any(number > 0 for number in more.values()):
                log("detectors").warning("correlations_left_out", **more)
            self._told = counts


_LEFT_OUT = ("too_late", "too_far_ahead", "groups_evicted", "events_evicted", "without_evidence")


def _received(record: Record) -> int | None:
    """Return when the last event of a record was received, in microseconds since 1970."""
    try:
        return to_micros(decode(unpack(record.payload)[-1])["event.ingested"])
    except (PoisonFrame, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None


def _now() -> int:
    return time.time_ns() // 1000

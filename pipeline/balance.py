"""The ledger's lines enter, a balance for each source leaves: what came in and where it went, and whether that adds up.

Datagrams may wait on a collector's disk first: they count as received and held. Between the collectors and the store
lies the bus: what the collectors gave out, and what was retried of the dead letters, was taken in by the store or is
still held there. Positions and ledger are read as of one moment, then the bus: whatever moves meanwhile can only make
more be there than was counted, so an event that is missing is missing.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from pipeline import ledger
from pipeline.books import RETRY
from pipeline.bus import EVENTS, Bus
from pipeline.settings import RESERVED_SOURCES
from pipeline.state import positions
from pipeline.state.dump import frozen
from pipeline.state.tables import stages

_OF_DETECTORS = {("detectors", ledger.IN): "examined", ("detectors", ledger.OUT): "alerts"}


def balances(engine: Engine) -> list[dict[str, Any]]:
    """Return a row for each source of events; none for what the pipeline counts of itself.

    received = stored + already_stored + held + dropped, and why (`reasons`), as `Minute` says; examined (by the
    detectors), alerts, last_minute (since 1970). Where another program puts events on the bus itself, nothing is known
    of what was received and held.
    """
    rows: dict[str, dict[str, Any]] = {}
    sums: dict[str, Minute] = defaultdict(lambda: Minute(0))
    for line in ledger.sums(engine):
        if line.source in RESERVED_SOURCES:
            continue
        row = rows.setdefault(line.source, {"source": line.source, "examined": 0, "alerts": 0, "last_minute": 0})
        row["last_minute"] = max(row["last_minute"], line.last_minute)
        sums[line.source].add(line.stage, line.outcome, line.reason, line.events)
        if column := _OF_DETECTORS.get((line.stage, line.outcome)):
            row[column] += line.events
    for source, row in rows.items():
        of = sums[source]
        row["held"] = of.received - of.stored - of.already_stored - of.dropped if of.received else 0
        row |= {name: getattr(of, name) for name in ("received", "stored", "already_stored", "dropped")}
        row["reasons"] = {reason: events for reason, events in of.reasons.items() if events}
    return list(rows.values())


@dataclass(frozen=True, slots=True)
class Account:
    """One source between the collectors and the store, in events."""

    source: str
    received: int
    retried: int  # of the dead letters: they came once, and come in again
    buffered: int  # on a collector's disk
    lost: int  # dropped by the collectors
    given: int  # by the collectors to the bus, and again by those who retried dead letters
    held: int  # on the bus
    taken: int  # by the store
    stored: int
    already_stored: int
    dropped: int

    @property
    def missing(self) -> int:
        """How many events are nowhere. Below zero while something moves, or where the bus had frames twice."""
        return self.given - self.taken - self.held

    @property
    def adds_up(self) -> bool:
        """Whether every event is somewhere, once."""
        stored = self.taken == self.stored + self.already_stored + self.dropped
        return -self.already_stored <= self.missing <= 0 and stored


def accounts(engine: Engine, bus: Bus) -> list[Account]:
    """Return an account for each source that the collectors have counted."""
    with frozen(engine) as connection:
        places = positions.load_in(connection, "store", EVENTS)
        found = ledger.sums_in(connection)
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    retried: dict[str, int] = defaultdict(int)
    repeated: dict[str, int] = defaultdict(int)
    buffered = _buffered(engine)
    for line in found:
        counts[line.source, line.stage, line.outcome] += line.events
        if line.stage == RETRY.stage:
            retried[line.source] += line.events
        if (line.stage, line.reason) == ("store", "already_stored"):
            repeated[line.source] += line.events
    held: dict[str, int] = defaultdict(int)
    while records := bus.read(EVENTS, places):
        for record in records:
            places[record.partition] = record.offset + 1
            held[record.source] += record.events
    sources = {source for source, stage, _ in counts if stage in ("collectors", "store")} | buffered.keys()
    return [
        _account(source, counts, retried[source], repeated[source], held[source], buffered[source])
        for source in sorted(sources - RESERVED_SOURCES)
    ]


def _account(
    source: str, counts: dict[tuple[str, str, str], int], retried: int, repeated: int, held: int, buffered: int
) -> Account:
    received, given = counts[source, "collectors", ledger.IN], counts[source, "collectors", ledger.OUT]
    taken = counts[source, "store", ledger.IN]
    if not received:  # another program puts its events on the bus itself
        received = given = taken + held - retried
    return Account(
        source,
        received=received + buffered,
        retried=retried,
        buffered=buffered,
        lost=counts[source, "collectors", ledger.DROPPED],
        given=given + retried,
        held=held,
        taken=taken,
        stored=counts[source, "store", ledger.OUT] - repeated,
        already_stored=repeated,
        dropped=counts[source, "store", ledger.DROPPED],
    )


def _buffered(engine: Engine) -> Counter[str]:
    """Return how many records of each source wait on the disks of the collectors, as these said last."""
    with engine.connect().execution_options(read_only=True) as connection:
        details = connection.scalars(select(stages.c.detail).where(stages.c.stage == "collectors")).all()
    found: Counter[str] = Counter()
    for detail in details:
        found.update(detail.get("buffered", {}))
    return found


@dataclass(slots=True)
class Minute:
    """One source in one minute, and `held` at its end: what had come so far and is neither stored nor dropped.

    received so far = stored + already_stored + held + dropped, each so far. What is retried of the dead letters is no
    longer dropped, and counts as a negative drop.
    """

    minute: int
    received: int = 0
    stored: int = 0
    already_stored: int = 0
    dropped: int = 0
    held: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, stage: str, outcome: str, reason: str, events: int) -> None:
        """Count one line of the ledger; what the detectors and the alert queue count is another matter."""
        if (stage, outcome) == ("collectors", ledger.IN):
            self.received += events
        elif (stage, outcome, reason) == ("store", ledger.OUT, ""):
            self.stored += events
        elif (stage, outcome) == ("store", ledger.OUT):
            self.already_stored += events
        elif (stage in ("collectors", "store") and outcome == ledger.DROPPED) or stage == RETRY.stage:
            lost = -events if stage == RETRY.stage else events
            self.dropped += lost
            self.reasons[reason] = self.reasons.get(reason, 0) + lost


def by_minute(engine: Engine, source: str, minutes: int) -> tuple[Minute, list[Minute]]:
    """Return a source's sums before the last `minutes` minutes, and each of these, the oldest first."""
    now = ledger.this_minute()
    first = now - min(minutes, ledger.KEEP_MINUTES) + 1
    before = Minute(first - 1)
    each = {minute: Minute(minute) for minute in range(first, now + 1)}
    for line in ledger.lines(engine, source, first - 1):
        each.get(line.last_minute, before).add(line.stage, line.outcome, line.reason, line.events)
    held = before.held = before.received - before.stored - before.already_stored - before.dropped
    for minute in each.values():
        held += minute.received - minute.stored - minute.already_stored - minute.dropped
        minute.held = held
    return before, list(each.values())

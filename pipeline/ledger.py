"""The ledger: counts of what each stage took in, gave out and dropped enter, sums that must add up leave.

A stage counts in a `Tally` and saves it in the transaction that saves its position, so a restart counts nothing twice.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, func, insert, select

from pipeline.settings import RESERVED_SOURCES
from pipeline.state import upsert
from pipeline.state.tables import ledger

IN, OUT, DROPPED = "in", "out", "dropped"
#: The reason of a whole frame that cannot be unpacked.
POISON_FRAME = "poison_frame"
#: How long minutes are kept apart, in minutes; older ones become one row a day.
KEEP_MINUTES = 48 * 60
_DAY = 24 * 60
#: Dead letters that are kept between two savings; a frame that is all rubbish must not fill the memory.
_MOST_LETTERS = 1_000
_KEY = (ledger.c.source, ledger.c.stage, ledger.c.outcome, ledger.c.reason)


def this_minute() -> int:
    """Return the minute that it is, since 1970."""
    return int(time.time() // 60)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line (or a whole frame) as it lay in a topic, and why nothing could be done with it."""

    topic: str
    source: str
    reason: str
    detail: str
    line: bytes


@dataclass(slots=True)
class Tally:
    """Counts since the last `save`, by source, outcome and reason; and what was dropped itself (`deadletters.py`)."""

    counts: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    letters: list[DeadLetter] = field(default_factory=list)

    def add(self, source: str, outcome: str, events: int = 1, reason: str = "") -> None:
        """Count `events`; a drop without a reason is a fault of the caller."""
        if outcome == DROPPED and not reason:
            raise ValueError("what is dropped is dropped for a reason")
        self.counts[source, outcome, reason] += events

    def drop(self, letter: DeadLetter, events: int = 1) -> None:
        """Count what is dropped, and keep it for a person to look at."""
        self.add(letter.source, DROPPED, events, letter.reason)
        if len(self.letters) < _MOST_LETTERS:
            self.letters.append(letter)

    def save(self, connection: Connection, stage: str, minute: int | None = None) -> None:
        """Add the counts to the ledger, in the caller's transaction, to this minute or the one that is named.

        `clear` them when it has committed.
        """
        minute = this_minute() if minute is None else minute
        rows = [
            {"minute": minute, "stage": stage, "source": source, "outcome": outcome, "reason": reason, "events": events}
            for (source, outcome, reason), events in sorted(self.counts.items())  # all in one order: no deadlock
            if events
        ]
        upsert(connection, ledger, rows, key=["minute", "stage", "source", "outcome", "reason"], add=("events",))

    def clear(self) -> None:
        """Start again from zero."""
        self.counts.clear()
        self.letters.clear()


@dataclass(frozen=True, slots=True)
class Line:
    """One sum of the ledger. `last_minute` is minutes since 1970."""

    stage: str
    source: str
    outcome: str
    reason: str
    events: int
    last_minute: int


def sums(engine: Engine) -> list[Line]:
    """Return the ledger summed over all of time, in a fixed order."""
    with engine.connect().execution_options(read_only=True) as connection:
        return sums_in(connection)


def sums_in(connection: Connection) -> list[Line]:
    """Return the same, as the transaction sees it."""
    query = select(*_KEY, func.sum(ledger.c.events), func.max(ledger.c.minute)).group_by(*_KEY).order_by(*_KEY)
    return [
        Line(stage, source, outcome, reason, int(events), last)  # PostgreSQL sums up to a decimal
        for source, stage, outcome, reason, events, last in connection.execute(query)
    ]


def lines(engine: Engine, source: str, before: int) -> list[Line]:
    """Return a source's lines of the ledger: sums of all up to the minute `before`, the later ones as they are."""
    key = (ledger.c.stage, ledger.c.outcome, ledger.c.reason)
    of_source = select(*key, ledger.c.minute, ledger.c.events).where(ledger.c.source == source)
    summed = select(*key, func.sum(ledger.c.events)).where(ledger.c.source == source, ledger.c.minute <= before)
    with engine.connect().execution_options(read_only=True) as connection:
        earlier = connection.execute(summed.group_by(*key)).all()
        later = connection.execute(of_source.where(ledger.c.minute > before)).all()
    return [Line(stage, source, outcome, reason, int(events), before) for stage, outcome, reason, events in earlier] + [
        Line(stage, source, outcome, reason, events, minute) for stage, outcome, reason, minute, events in later
    ]


def received(connection: Connection, minutes: int) -> dict[tuple[int, str], int]:
    """Return how many events came in each of the last minutes (since 1970) from each source, the pipeline's own left
    out."""
    columns = ledger.c
    query = select(columns.minute, columns.source, func.sum(columns.events).label("events")).where(
        columns.minute > this_minute() - minutes, columns.stage == "collectors", columns.outcome == IN,
        columns.source.not_in(sorted(RESERVED_SOURCES)),
    )  # fmt: skip
    rows = connection.execute(query.group_by(columns.minute, columns.source))
    return {(row.minute, row.source): int(row.events) for row in rows}


def roll_up(engine: Engine) -> int:
    """Merge the oldest day of minutes that are past `KEEP_MINUTES`; return how many rows went.

    What is left of a day is its last minute with all of the day's events, so no sum and no last minute changes. One day
    a call: a ledger of years that was never merged must not hold up the stages that write to it.
    """
    day = ledger.c.minute // _DAY
    before = (int(time.time() // 60) - KEEP_MINUTES) // _DAY * _DAY
    oldest = (
        select(day).where(ledger.c.minute < before).group_by(day, *_KEY).having(func.count() > 1).order_by(day).limit(1)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        found = connection.scalar(oldest)
    if found is None:
        return 0
    with engine.begin() as connection:
        within = ledger.c.minute.between(found * _DAY, found * _DAY + _DAY - 1)
        merged = (
            select(*_KEY, func.max(ledger.c.minute).label("minute"), func.sum(ledger.c.events).label("events"))
            .where(within)
            .group_by(*_KEY)
        )
        rows = [dict(row) for row in connection.execute(merged).mappings()]
        gone = connection.execute(delete(ledger).where(within)).rowcount
        connection.execute(insert(ledger), rows)
    return gone - len(rows)

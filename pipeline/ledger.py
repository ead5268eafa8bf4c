"""The ledger: counts of what each stage took in, gave out and dropped enter, sums that must add up leave.

A stage counts in a `Tally` and saves it in the transaction that saves its position, so a restart counts nothing twice.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, func, select

from pipeline.state import upsert
from pipeline.state.tables import ledger

IN, OUT, DROPPED = "in", "out", "dropped"


@dataclass(slots=True)
class Tally:
    """Counts since the last `save`, by source, outcome and reason."""

    counts: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, source: str, outcome: str, events: int = 1, reason: str = "") -> None:
        """Count `events`; a drop without a reason is a fault of the caller."""
        if outcome == DROPPED and not reason:
            raise ValueError("what is dropped is dropped for a reason")
        self.counts[source, outcome, reason] += events

    def save(self, connection: Connection, stage: str) -> None:
        """Add the counts to the ledger, in the caller's transaction. `clear` them when it has committed."""
        minute = int(time.time() // 60)
        rows = [
            {"minute": minute, "stage": stage, "source": source, "outcome": outcome, "reason": reason, "events": events}
            for (source, outcome, reason), events in self.counts.items()
            if events
        ]
        upsert(connection, ledger, rows, key=["minute", "stage", "source", "outcome", "reason"], add=("events",))

    def clear(self) -> None:
        """Start again from zero."""
        self.counts.clear()


@dataclass(frozen=True, slots=True)
class Line:
    """One sum of the ledger. `last_minute` is minutes since 1970."""

    stage: str
    source: str
    outcome: str
    reason: str
    events: int
    last_minute: int


def sums(engine: Engine, sources: Iterable[str] | None = None, since_minute: int = 0) -> list[Line]:
    """Return the ledger summed over time, in a fixed order."""
    query = (
        select(
            ledger.c.stage, ledger.c.source, ledger.c.outcome, ledger.c.reason,
            func.sum(ledger.c.events), func.max(ledger.c.minute),
        )
        .where(ledger.c.minute >= since_minute)
        .group_by(ledger.c.stage, ledger.c.source, ledger.c.outcome, ledger.c.reason)
        .order_by(ledger.c.source, ledger.c.stage, ledger.c.outcome, ledger.c.reason)
    )  # fmt: skip
    if sources is not None:
        query = query.where(ledger.c.source.in_(list(sources)))
    with engine.connect().execution_options(read_only=True) as connection:
        return [Line(*row) for row in connection.execute(query)]

"""How often each rule has matched: counts enter with the position of the events, sums by rule leave."""

import time
from collections import Counter

from sqlalchemy import Connection, Engine, delete, func, select

from pipeline.state import upsert
from pipeline.state.tables import rule_hits

#: How long counts are kept, in days.
KEPT_DAYS = 400
_DAY_SECONDS = 86_400
#: As much of a rule's id as is kept.
_MAX_ID = 200


def add(connection: Connection, hits: Counter[tuple[str, bool]]) -> None:
    """Add counts (by rule, and whether it raised an alert) to today's, in the caller's transaction."""
    day = today()
    rows: dict[str, dict[str, int | str]] = {}
    for (identifier, alerted), count in sorted(hits.items()):  # all in one order: no deadlock
        row = rows.setdefault(
            identifier[:_MAX_ID], {"rule_id": identifier[:_MAX_ID], "day": day, "alerts": 0, "observed": 0}
        )
        row["alerts" if alerted else "observed"] = count
    upsert(connection, rule_hits, list(rows.values()), key=["rule_id", "day"], add=("alerts", "observed"))
    old = rule_hits.c.rule_id.in_(list(rows)) & (rule_hits.c.day < day - KEPT_DAYS)
    connection.execute(delete(rule_hits).where(old))


def of_rules(engine: Engine, days: int) -> dict[str, tuple[int, int]]:
    """Return for each rule that matched in these days (today is one) its alerts, and matches that were only counted."""
    query = (
        select(rule_hits.c.rule_id, func.sum(rule_hits.c.alerts), func.sum(rule_hits.c.observed))
        .where(rule_hits.c.day > today() - days)
        .group_by(rule_hits.c.rule_id)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        return {identifier: (int(alerts), int(observed)) for identifier, alerts, observed in connection.execute(query)}


def today() -> int:
    """Return the day that it is, since 1970, in UTC."""
    return int(time.time() // _DAY_SECONDS)

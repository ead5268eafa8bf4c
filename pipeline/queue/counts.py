"""How many groups there are of each status and level: what became of some enters, the numbers follow.

They are kept, not counted, in the transactions that change groups (one at a time, `grouping.lock`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select

from pipeline.state import upsert
from pipeline.state.tables import alert_groups, group_counts

#: A status and a level.
Kind = tuple[str, str]


def of(connection: Connection, groups: Iterable[str]) -> Counter[Kind]:
    """Return how many of these groups are of which kind."""
    query = select(alert_groups.c.status, alert_groups.c.level).where(alert_groups.c.id.in_(list(groups)))
    return Counter((row.status, row.level) for row in connection.execute(query))


def follow(connection: Connection, before: Mapping[Kind, int], after: Mapping[Kind, int]) -> None:
    """Groups of these kinds have become groups of those."""
    moved = Counter(after)
    moved.subtract(before)
    rows = [{"status": kind[0], "level": kind[1], "number": number} for kind, number in moved.items() if number]
    upsert(connection, group_counts, rows, ["status", "level"], add=("number",))


def kept(connection: Connection) -> list[Any]:
    """Return the numbers, as rows with `status`, `level` and `groups`."""
    columns = group_counts.c
    query = select(columns.status, columns.level, columns.number.label("groups")).where(columns.number > 0)
    return list(connection.execute(query).all())


def recount(connection: Connection) -> None:
    """Count all groups anew; the caller holds the lock."""
    columns = alert_groups.c
    counted = select(columns.status, columns.level, func.count()).group_by(columns.status, columns.level)
    connection.execute(delete(group_counts))
    connection.execute(group_counts.insert().from_select(["status", "level", "number"], counted))

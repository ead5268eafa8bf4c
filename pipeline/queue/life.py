"""The life of alerts: somebody takes them, says what they turned out to be, or gives them back; each change is audited.

A change of many alerts is made in parts, each with its line in the audit and in the history of the groups: a kill in
between leaves none half changed.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, select, update

from pipeline.access import note as audit
from pipeline.identity.views import EVERYTHING, Sight
from pipeline.messages import HaidangError
from pipeline.queue import (
    ACKNOWLEDGED,
    CLOSED,
    ESCALATED,
    FALSE_POSITIVE,
    INDEX,
    NEW,
    NO_GROUP,
    OPEN,
    STATUSES,
    TRUE_POSITIVE,
    grouping,
)
from pipeline.state.tables import alert_groups, alerts, group_history, outbox

#: What somebody may make of an alert, and which of it needs a note.
CHANGES = (NEW, ACKNOWLEDGED, TRUE_POSITIVE, FALSE_POSITIVE)
_PART = 2000
_MAX_NOTE = 5000


@dataclass(frozen=True, slots=True)
class Fits:
    """Which alerts: of these ids (alerts or groups), or all that fit the rest; times in microseconds since 1970."""

    ids: Sequence[str] = ()
    level: str = ""
    rule: str = ""
    statuses: Sequence[str] = OPEN
    since: int | None = None
    until: int | None = None
    groups: Sequence[str] | None = None
    #: Instead of all that: the alerts of the groups that fit these.
    of_groups: Sequence[ColumnElement[bool]] | None = None
    sight: Sight = EVERYTHING

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return it as conditions on the table."""
        columns = alerts.c
        found = self.sight.of_alerts()
        if self.level:
            found.append(columns.level == self.level)
        if self.rule:
            found.append((columns.rule_id == self.rule) | (columns.rule_name == self.rule))
        if self.statuses:
            found.append(columns.status.in_(self.statuses))
        if self.groups is not None:
            found.append(columns.group_id.in_(self.groups))
        if self.since is not None:
            found.append(columns.time >= self.since)
        if self.until is not None:
            found.append(columns.time <= self.until)
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody says of alerts."""

    status: str
    note: str
    who: str
    address: str


def change(engine: Engine, fits: Fits, status: str, note: str, who: str, address: str) -> int:
    """Give alerts a status; return how many changed. Whoever acknowledges or judges one owns it.

    Raises:
        HaidangError: a status that nobody may give, a verdict without a note, ids that are not there.
    """
    note = note.strip()[:_MAX_NOTE]
    if status not in CHANGES:
        raise HaidangError("queue.no_status", value=status, expected=", ".join(CHANGES))
    if status in CLOSED and not note:
        raise HaidangError("queue.no_note", status=status)
    return _give(engine, fits, Change(status, note, who, address))


def groups_of(engine: Engine, ids: Sequence[str]) -> Sequence[Any]:
    """Return the groups of these ids (of alerts or of groups).

    Raises:
        HaidangError: one is not there, or in no group yet.
    """
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Any] = {}
    with engine.connect().execution_options(read_only=True) as connection:
        for start in range(0, len(wanted), _PART):
            part = wanted[start : start + _PART]
            of_alerts = dict(
                connection.execute(select(alerts.c.id, alerts.c.group_id).where(alerts.c.id.in_(part))).all()
            )
            groups = {of_alerts.get(each, each): each for each in part}
            for row in connection.execute(select(alert_groups).where(alert_groups.c.id.in_(groups))):
                found[row.id] = row
            if missing := [asked for group, asked in groups.items() if group not in found]:
                raise HaidangError("queue.no_alert", id=missing[0][:100], count=len(missing))
    return list(found.values())


def escalate(engine: Engine, groups: Sequence[str], case: int, who: str, address: str) -> int:
    """Say that the alerts of groups are in a case; return how many changed."""
    fits = Fits(statuses=(NEW, ACKNOWLEDGED, TRUE_POSITIVE, FALSE_POSITIVE), groups=groups)
    return _give(engine, fits, Change(ESCALATED, f"#{case}", who, address))


def _give(engine: Engine, fits: Fits, change: Change) -> int:
    changed = 0
    for part in _parts(engine, fits):
        with engine.begin() as connection:
            grouping.lock(connection)
            count = _change(connection, part, change)
            if count:
                told = {"status": change.status, "note": change.note, "count": count, "alerts": list(part[:100])}
                audit(connection, change.who, change.address, "alerts_changed", **told)
            changed += count
    return changed


def _parts(engine: Engine, fits: Fits) -> Iterator[Sequence[str]]:
    """Yield the ids of the alerts that fit, in parts."""
    if fits.ids:
        wanted = list(dict.fromkeys(fits.ids))
        with engine.connect().execution_options(read_only=True) as connection:
            known = _known(connection, alerts.c.id, wanted, fits.sight.of_alerts())
            others = [each for each in wanted if each not in known]
            groups = _known(connection, alert_groups.c.id, others, fits.sight.of_groups())
        if missing := [each for each in wanted if each not in known and each not in groups]:
            raise HaidangError("queue.no_alert", id=missing[0][:100], count=len(missing))
        single = [each for each in wanted if each in known]
        yield from (single[start : start + _PART] for start in range(0, len(single), _PART))
        for group in groups:
            yield from _all(engine, [alerts.c.group_id == group])
        return
    if fits.of_groups is not None:
        # all at once: what is changed in one part may decide which groups fit
        which = select(alert_groups.c.id).where(*fits.of_groups)
        query = select(alerts.c.id).where(alerts.c.group_id.in_(which), *fits.sight.of_alerts())
        with engine.connect().execution_options(read_only=True) as connection:
            held = list(connection.scalars(query.order_by(alerts.c.group_id, alerts.c.id)))
        yield from (held[start : start + _PART] for start in range(0, len(held), _PART))
        return
    yield from _all(engine, fits.conditions())


def _known(
    connection: Connection, column: "Column[str]", ids: Sequence[str], fits: Sequence[ColumnElement[bool]]
) -> set[str]:
    """Return those of the ids that are there and fit."""
    parts = (ids[start : start + _PART] for start in range(0, len(ids), _PART))
    queries = (select(column).where(column.in_(part), *fits) for part in parts)
    return {identifier for query in queries for identifier in connection.scalars(query)}


def _all(engine: Engine, conditions: Sequence[ColumnElement[bool]]) -> Iterator[Sequence[str]]:
    """Yield the ids of all alerts that fit, in parts."""
    last = ""
    while True:  # by id: what is changed on the way neither moves nor hides the rest
        query = select(alerts.c.id).where(*conditions, alerts.c.id > last).order_by(alerts.c.id).limit(_PART)
        with engine.connect().execution_options(read_only=True) as connection:
            part = connection.scalars(query).all()
        if not part:
            return
        yield part
        last = part[-1]


def _change(connection: Connection, ids: Sequence[str], change: Change) -> int:
    columns = alerts.c
    owner = "" if change.status == NEW else change.who
    values: dict[str, Any] = {"status": change.status, "changed": time.time(), "owner": owner}
    if change.note:
        values["note"] = change.note
    different = (columns.status != change.status) | (columns.owner != owner) | (columns.note != change.note)
    before = select(columns.id, columns.group_id, columns.status).where(columns.id.in_(ids), different)
    found = connection.execute(before).all()
    if found:
        changed = [row.id for row in found]
        kept_out = [row.id for row in found if row.group_id == NO_GROUP]
        if kept_out:  # the response stage puts them into groups
            connection.execute(update(alerts).where(columns.id.in_(kept_out)).values(group_id="", suppression=""))
        connection.execute(update(alerts).where(columns.id.in_(changed)).values(values))
        connection.execute(outbox.insert(), [{"kind": INDEX, "body": identifier} for identifier in changed])
        _tell_groups(connection, Counter((row.group_id, row.status) for row in found), change, owner)
    return len(found)


def _tell_groups(connection: Connection, found: Mapping[tuple[str, str], int], change: Change, owner: str) -> None:
    """Write the change into the groups and their history."""
    moved = [(group, before, number) for (group, before), number in found.items() if group not in ("", NO_GROUP)]
    grouping.count(connection, moved, change.status, owner, change.note)
    alerts_of: Counter[str] = Counter()
    for group, _, number in moved:
        alerts_of[group] += number
    if alerts_of:
        query = select(alert_groups.c.id, alert_groups.c.rule_id).where(alert_groups.c.id.in_(alerts_of))
        lines = [
            {
                "group_id": row.id, "time": time.time(), "who": change.who, "address": change.address,
                "action": change.status, "rule_id": row.rule_id, "alerts": alerts_of[row.id], "note": change.note,
            }
            for row in connection.execute(query)
        ]  # fmt: skip
        connection.execute(group_history.insert(), lines)


def statuses_of(text: str) -> Sequence[str]:
    """Return the statuses that a word means: one of them, `open`, or `all`.

    Raises:
        HaidangError: it means none.
    """
    if text == "open":
        return OPEN
    if text == "all":
        return ()
    if text not in STATUSES:
        raise HaidangError("queue.no_status", value=text[:50], expected=", ".join(("open", "all", *STATUSES)))
    return (text,)

"""New alerts enter, each in the group that it belongs to; groups with their numbers, status and risk leave.

A group is the alerts of one rule about one entity, of one source and unit, of which none comes longer after the one
before than `group_hours`, by the time of the events: whatever the order in which they come, the same groups come of it.
What comes into a group that somebody works on is his, too; into one that was closed, it opens it again.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, case, delete, literal, select, update

from pipeline import shares
from pipeline.event import event_id
from pipeline.own_alerts import SEVERITY
from pipeline.queue import ACKNOWLEDGED, CLOSED, ESCALATED, FALSE_POSITIVE, NEW, TRUE_POSITIVE, counts, risk
from pipeline.queue.entities import entities_of
from pipeline.queue.risk import Risk
from pipeline.state import upsert
from pipeline.state.tables import alert_groups, alerts, entity_risks, group_history

#: The statuses of a group, and of its alerts: it has the first of which it has an alert.
STATUSES = (NEW, ACKNOWLEDGED, ESCALATED, TRUE_POSITIVE, FALSE_POSITIVE)
#: What the pipeline writes into a group's history: it came, came back, or grew worse while somebody worked on it.
OPENED, REOPENED, RAISED = "opened", "reopened", "raised"
_HOUR = 3_600_000_000
#: Alerts that are put into groups together, when those of an older version are: as many as the stage saves at once, so
#: that it goes on without a pause as long as there are more.
_PART = 2000

Row = dict[str, Any]


def lock(connection: Connection) -> None:
    """Let one at a time change groups, until the transaction ends."""
    shares.take_turns(connection, "response", "queue")


def put(connection: Connection, rows: Sequence[Row], hours: float) -> dict[str, tuple[Risk, int]]:
    """Give new alerts (rows of the queue) their `group_id`, `status`, `owner`, and `opens`: whether somebody should
    hear of it. Return the risk of each entity that they are about, and at which time; the caller holds `lock`, and
    saves the alerts.
    """
    if not rows:
        return {}
    entities = {row["id"]: entities_of(row["document"]) for row in rows}
    shelf = _Shelf(connection, rows, entities, round(hours * _HOUR))
    for row in sorted(rows, key=lambda row: (row["time"], row["id"])):
        shelf.place(row, entities[row["id"]][0])
    risk.note(connection, ((row, entities[row["id"]]) for row in rows))
    moments: dict[str, int] = {}
    for row in rows:
        for entity in entities[row["id"]]:
            moments[entity] = max(row["time"], moments.get(entity, 0))
    found = risk.risks(connection, moments, shelf.statuses())
    shelf.save({entity: each.score for entity, each in found.items()})
    return {entity: (each, moments[entity]) for entity, each in found.items()}


def count(connection: Connection, changes: Iterable[tuple[str, str, int]], status: str, owner: str, note: str) -> None:
    """Follow alerts that people gave a status: the groups, the status that so many of their alerts had before."""
    moved: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STATUSES, 0))
    for group, status_before, number in changes:
        moved[group][status_before] -= number
        moved[group][status] += number
    before = counts.of(connection, moved)
    for group, deltas in moved.items():
        numbers = {name: alert_groups.c[name] + deltas[name] for name in STATUSES}
        values: Row = {**numbers, "owner": owner, "status": case(
            *((numbers[name] > 0, literal(name)) for name in STATUSES[:-1]), else_=literal(FALSE_POSITIVE)
        )}  # fmt: skip
        if note:
            values["note"] = note
        connection.execute(update(alert_groups).where(alert_groups.c.id == group).values(values))
    counts.follow(connection, before, counts.of(connection, moved))


def catch_up(engine: Engine, hours: float) -> int:
    """Put alerts into groups that are in none: those of a version that had none, and what was kept out and is wanted
    now. Return how many; it is called again until there are none.
    """
    query = select(alerts).where(alerts.c.group_id == "").order_by(alerts.c.time).limit(_PART)
    with engine.connect().execution_options(read_only=True) as connection:
        if connection.execute(query.limit(1)).first() is None:
            return 0
    with engine.begin() as connection:
        lock(connection)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        put(connection, rows, hours)
        for row in rows:
            changed = {"group_id": row["group_id"], "status": row["status"], "owner": row["owner"]}
            connection.execute(update(alerts).where(alerts.c.id == row["id"]).values(changed))
    return len(rows)


class _Shelf:
    """The groups that new alerts may belong to."""

    def __init__(
        self, connection: Connection, rows: Sequence[Row], entities: Mapping[str, Sequence[str]], gap: int
    ) -> None:
        self._connection = connection
        self._gap = gap
        self._now = time.time()
        self._history: list[Row] = []
        self._placed: list[Row] = []
        self._changed: dict[str, Row] = {}
        self._before: dict[str, counts.Kind] = {}
        self._merged: set[str] = set()
        self._groups: dict[str, list[Row]] = defaultdict(list)
        columns = alert_groups.c
        query = select(alert_groups).where(
            columns.same.in_({_same(row, entities[row["id"]][0]) for row in rows}),
            columns.last >= min(row["time"] for row in rows) - gap,
            columns.first <= max(row["time"] for row in rows) + gap,
        )
        for found in connection.execute(query).mappings().all():
            self._groups[found["same"]].append(dict(found))
            self._before[found["id"]] = (found["status"], found["level"])

    def place(self, row: Row, entity: str) -> None:
        """Put one alert into its group."""
        near = self._groups[_same(row, entity)]
        fit = [each for each in near if each["first"] - self._gap <= row["time"] <= each["last"] + self._gap]
        if fit:
            group = min(fit, key=lambda each: (each["first"], each["id"]))
            for other in fit:
                if other is not group:
                    near.remove(other)
                    self._merge(group, other)
        else:
            group = self._new(row, entity)
            near.append(group)
        row["opens"] = self._join(row, group, new=not fit)
        self._placed.append(row)
        self._changed[group["id"]] = group

    def statuses(self) -> dict[str, str]:
        """Return the status of each group that changed."""
        return {identifier: group["status"] for identifier, group in self._changed.items()}

    def save(self, risks: Mapping[str, int]) -> None:
        """Write the groups, each with the risk of its entity."""
        for group in self._changed.values():
            group["risk"] = risks[group["entity"]]
        upsert(self._connection, alert_groups, list(self._changed.values()), ["id"])
        gone = [kind for group, kind in self._before.items() if group in self._changed or group in self._merged]
        there = [(group["status"], group["level"]) for group in self._changed.values()]
        counts.follow(self._connection, Counter(gone), Counter(there))
        if self._history:
            self._connection.execute(group_history.insert(), self._history)

    def _new(self, row: Row, entity: str) -> Row:
        return {
            "id": event_id("group", row["rule_id"], entity, row["id"]), "same": _same(row, entity),
            "rule_id": row["rule_id"],
            "rule_name": row["rule_name"], "entity": entity, "source": _label(row, "labels.source"),
            "unit": _label(row, "organization.id"), "level": row["level"],
            "severity": SEVERITY.get(row["level"], 0), "first": row["time"], "last": row["time"], "opened": self._now,
            "reopened": 0, "status": row["status"], "owner": row.get("owner", ""), "note": row.get("note", ""),
            **dict.fromkeys(STATUSES, 0), "risk": 0, "latest": row["id"],
            "case_id": 0,
        }  # fmt: skip

    def _join(self, row: Row, group: Row, new: bool) -> bool:
        """Count an alert in its group; say whether somebody should hear of it."""
        worse = SEVERITY.get(row["level"], 0) > group["severity"]
        opens = new
        if new:
            self._write(group, OPENED)
        elif row["status"] != NEW:  # somebody has said already what it is: an alert of an older version
            pass
        elif group["status"] in CLOSED:
            opens = True
            group.update(reopened=group["reopened"] + 1, opened=self._now, owner="", case_id=0)
            self._write(group, REOPENED)
        elif group["status"] in (NEW, ACKNOWLEDGED) and worse:
            opens = True
            group.update(opened=self._now)
            self._write(group, RAISED)
        elif group["status"] in (ACKNOWLEDGED, ESCALATED):
            row.update(status=group["status"], owner=group["owner"])
        row.update(group_id=group["id"], owner=row.get("owner", ""), case_id=group["case_id"])
        if worse:
            group.update(level=row["level"], severity=SEVERITY.get(row["level"], 0))
        if row["time"] >= group["last"]:
            group.update(last=row["time"], latest=row["id"])
        group["first"] = min(group["first"], row["time"])
        group[row["status"]] += 1
        group["status"] = next(name for name in STATUSES if group[name])
        return opens

    def _merge(self, group: Row, other: Row) -> None:
        """Make one group of two between which an alert has come."""
        for name in STATUSES:
            group[name] += other[name]
        group["status"] = next(name for name in STATUSES if group[name])
        if other["severity"] > group["severity"]:
            group.update(level=other["level"], severity=other["severity"])
        if other["last"] > group["last"]:
            group.update(last=other["last"], latest=other["latest"])
        group["reopened"] += other["reopened"]
        group["owner"] = group["owner"] or other["owner"]
        group["case_id"] = group["case_id"] or other["case_id"]
        group["note"] = group["note"] or other["note"]
        self._changed.pop(other["id"], None)
        self._merged.add(other["id"])
        for each in (*self._placed, *self._history):  # what is not saved yet
            if each["group_id"] == other["id"]:
                each["group_id"] = group["id"]
        for table in (alerts, group_history, entity_risks):
            change = update(table).where(table.c.group_id == other["id"]).values(group_id=group["id"])
            self._connection.execute(change)
        self._connection.execute(delete(alert_groups).where(alert_groups.c.id == other["id"]))

    def _write(self, group: Row, action: str) -> None:
        self._history.append({
            "group_id": group["id"], "time": self._now, "who": "", "address": "", "action": action,
            "rule_id": group["rule_id"], "alerts": 1, "note": "",
        })  # fmt: skip


def _same(row: Row, entity: str) -> str:
    """Return what all groups of an alert's rule, entity, source and unit share."""
    return event_id("same", row["rule_id"], entity, _label(row, "labels.source"), _label(row, "organization.id"))


def _label(row: Row, name: str) -> str:
    value = row["document"].get(name)
    return value[:200] if isinstance(value, str) else ""

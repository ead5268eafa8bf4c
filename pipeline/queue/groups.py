"""The queue as analysts see it: what they ask for enters, a page of groups and the counts of all that fit leave."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select

from pipeline.event import from_micros
from pipeline.identity.views import EVERYTHING, Sight
from pipeline.messages import HaidangError
from pipeline.queue import ESCALATED, OPEN, SUPPRESSED, counts, grouping, risk
from pipeline.queue.entities import KINDS
from pipeline.queue.showing import names_of, shown
from pipeline.state.tables import alert_groups, alerts, group_history

#: By what groups are sorted: the riskiest first, the last ones first, the ones that came into the queue last.
Sort = Literal["risk", "last", "opened"]
SORTS: tuple[Sort, ...] = ("risk", "last", "opened")
#: Alerts of a group that are shown with it, the newest first.
_MOST_ALERTS = 100
_MOST_HISTORY = 200
#: Of a group's last alert, what a list shows.
_SHOWN = (
    "rule.name_vi", "rule.description", "rule.description_vi", "rule.response", "rule.response_vi", "tags",
    "host.name", "user.name", "user.domain", "source.ip", "destination.ip", "organization.id", "labels.source",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Which groups, in which order; times are of their last alert, in microseconds since 1970."""

    statuses: Sequence[str] = OPEN
    level: str = ""
    rule: str = ""
    entity: str = ""
    owner: str = ""
    since: int | None = None
    until: int | None = None
    sort: Sort = "risk"
    limit: int = 50
    offset: int = 0
    sight: Sight = EVERYTHING

    def others(self, connection: Connection) -> list[ColumnElement[bool]]:
        """Return all conditions but status and level. A rule is meant by its id or, where that is none, its name."""
        columns = alert_groups.c
        found = self.sight.of_groups()
        if self.rule:
            is_id = connection.scalar(select(columns.id).where(columns.rule_id == self.rule).limit(1)) is not None
            found.append(columns.rule_id == self.rule if is_id else columns.rule_name == self.rule)
        if self.entity:
            if self.entity.partition(":")[0] not in KINDS or not self.entity.partition(":")[2]:
                raise HaidangError("queue.no_entity", value=self.entity[:100], expected=", ".join(KINDS))
            found.append(columns.entity == self.entity)
        if self.owner:
            found.append(columns.owner == self.owner)
        if self.since is not None:
            found.append(columns.last >= self.since)
        if self.until is not None:
            found.append(columns.last <= self.until)
        return found


def conditions(connection: Connection, asked: Asked) -> list[ColumnElement[bool]]:
    """Return which groups are asked for, as conditions."""
    columns = alert_groups.c
    wanted = asked.others(connection)
    if asked.statuses:
        wanted.append(columns.status.in_(asked.statuses))
    if asked.level:
        wanted.append(columns.level == asked.level)
    return wanted


def page(connection: Connection, asked: Asked) -> dict[str, Any]:
    """Return `total`, the groups of each status and level, what was kept out, and a page of `groups`."""
    columns = alert_groups.c
    others = asked.others(connection)
    if others:
        counted = select(columns.status, columns.level, func.count().label("groups")).where(*others)
        numbers = list(connection.execute(counted.group_by(columns.status, columns.level)).all())
    else:
        numbers = counts.kept(connection)
    statuses: dict[str, int] = {}
    levels: dict[str, int] = {}
    for row in numbers:
        statuses[row.status] = statuses.get(row.status, 0) + row.groups
        if not asked.statuses or row.status in asked.statuses:
            levels[row.level] = levels.get(row.level, 0) + row.groups
    wanted = conditions(connection, asked)
    total = levels.get(asked.level, 0) if asked.level else sum(levels.values())
    groups = _sorted(connection, asked, wanted) if total > asked.offset else []
    return {
        "total": total, "statuses": statuses, "levels": levels, "kept_out": _kept_out(connection, asked),
        "groups": [_group(row, asked.sight) for row in groups],
    }  # fmt: skip


def standing(connection: Connection) -> dict[str, int]:
    """Return how many groups of each status that is still to be worked on there are."""
    found = counts.kept(connection)
    return {status: sum(row.groups for row in found if row.status == status) for status in (*OPEN, ESCALATED)}


def one(connection: Connection, identifier: str, sight: Sight = EVERYTHING) -> dict[str, Any] | None:
    """Return a group with its newest alerts, its history, and what the risk of its entity is made of; None where there
    is none in sight. Who does not see everything is told no risk: it is made of what others see.
    """
    row = connection.execute(_with_latest().where(alert_groups.c.id == identifier, *sight.of_groups())).first()
    if row is None:
        return None
    newest = select(alerts).where(alerts.c.group_id == identifier).order_by(alerts.c.time.desc(), alerts.c.id)
    newest = newest.limit(_MOST_ALERTS)
    told = {
        **_group(row, sight), "alerts": [short(each, sight) for each in connection.execute(newest)],
        "history": _history(connection, identifier), "case": None if sight.is_limited() else row.case_id or None,
    }  # fmt: skip
    if not sight.is_limited():
        told["risk"] = shown_risks(connection, risk.risks(connection, {row.entity: row.last}).items())[0]
    return told


def shown_risks(connection: Connection, found: Iterable[tuple[str, risk.Risk]]) -> list[dict[str, Any]]:
    """Return the risks of entities as answers have them."""
    risks = list(found)
    names = names_of(connection, (part.group for _, each in risks for part in each.parts))
    return [
        {
            "entity": entity, "risk": each.score, "tactics": each.tactics,
            "parts": [
                {
                    "rule": part.rule, "rule.name": part.name, **names.get(part.group, {}), "alerts": part.alerts,
                    "points": part.points, "group": part.group, "tactics": part.tactics,
                }
                for part in each.parts
            ],
        }
        for entity, each in risks
    ]  # fmt: skip


def short(row: Any, sight: Sight) -> dict[str, Any]:
    """Return an alert without its evidence, as far as it is in view."""
    return {name: value for name, value in sight.alert(shown(row)).items() if name != "alert.evidence"}


def _sorted(connection: Connection, asked: Asked, wanted: Sequence[ColumnElement[bool]]) -> Sequence[Any]:
    """Return the page's rows. Of several statuses each is read by its index, so far as the page may need it."""
    columns = alert_groups.c
    order = {"risk": (columns.risk, columns.last), "last": (columns.last,), "opened": (columns.opened,)}[asked.sort]
    down = [column.desc() for column in order]
    ids: list[Any] = []
    for status in asked.statuses or grouping.STATUSES:
        part = select(columns.id, *order).where(*wanted, columns.status == status).order_by(*down, columns.id)
        ids += connection.execute(part.limit(asked.offset + asked.limit)).all()
    ids.sort(key=lambda row: ([-value for value in row[1:]], row.id))
    on_page = [row.id for row in ids[asked.offset : asked.offset + asked.limit]]
    rows = {row.id: row for row in connection.execute(_with_latest().where(columns.id.in_(on_page)))}
    return [rows[identifier] for identifier in on_page]


def _with_latest() -> Any:
    return select(alert_groups, alerts.c.document).outerjoin(alerts, alerts.c.id == alert_groups.c.latest)


def _kept_out(connection: Connection, asked: Asked) -> int:
    """Return how many alerts of that time suppressions have kept out."""
    fits = [alerts.c.status == SUPPRESSED, *asked.sight.of_alerts()]
    if asked.since is not None:
        fits.append(alerts.c.time >= asked.since)
    if asked.until is not None:
        fits.append(alerts.c.time <= asked.until)
    return connection.scalar(select(func.count()).select_from(alerts).where(*fits)) or 0


def _group(row: Any, sight: Sight) -> dict[str, Any]:
    document: Mapping[str, Any] = row.document or {}
    numbers = {name: getattr(row, name) for name in grouping.STATUSES}
    return {
        "id": row.id, "status": row.status, "level": row.level, "entity": row.entity,
        "risk": None if sight.is_limited() else row.risk,
        "owner": row.owner, "note": row.note, "first": from_micros(row.first), "last": from_micros(row.last),
        "opened": from_micros(round(row.opened * 1e6)), "reopened": row.reopened, "count": sum(numbers.values()),
        "alerts_by_status": {name: number for name, number in numbers.items() if number},
        "latest": row.latest, "case": row.case_id or None, "rule.id": row.rule_id, "rule.name": row.rule_name,
        **{name: document[name] for name in _SHOWN if name in document},
    }  # fmt: skip


def _history(connection: Connection, identifier: str) -> list[dict[str, Any]]:
    columns = group_history.c
    query = select(group_history).where(columns.group_id == identifier).order_by(columns.id.desc())
    return [
        {
            "time": from_micros(round(row.time * 1e6)), "action": row.action, "who": row.who, "from": row.address,
            "alerts": row.alerts, "note": row.note,
        }
        for row in connection.execute(query.limit(_MOST_HISTORY))
    ]  # fmt: skip

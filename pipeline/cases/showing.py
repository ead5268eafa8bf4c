"""Cases as everybody sees them: a list, one with all that it holds, its timeline."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from pipeline.cases import ALERTS, CHANGE, EVENT, FILE, KINDS, NOTE, OBSERVABLE, TASK
from pipeline.cases.clocks import clocks_of
from pipeline.cases.markdown import to_html
from pipeline.event import from_micros
from pipeline.messages import HaidangError, say, spoken
from pipeline.queue.showing import names_of
from pipeline.settings import Cases
from pipeline.state.tables import alert_groups, case_entries, cases

#: What every entry has beside its own.
_OF_ENTRY = ("number", "time", "who", "from")
_PLURALS = {
    ALERTS: "alerts", EVENT: "events", NOTE: "notes", FILE: "files", OBSERVABLE: "observables", TASK: "tasks",
    CHANGE: "changes",
}  # fmt: skip


def listed(connection: Connection, settings: Cases, status: str, owner: str, limit: int, offset: int) -> dict[str, Any]:
    """Return cases, the ones that changed last first, and how many there are of each status."""
    fits = [cases.c.owner == owner] if owner else []
    by_status = select(cases.c.status, func.count().label("number")).where(*fits).group_by(cases.c.status)
    statuses = {row.status: row.number for row in connection.execute(by_status)}
    wanted = [*fits, cases.c.status == status] if status else fits
    query = select(cases).where(*wanted).order_by(cases.c.changed.desc(), cases.c.id.desc())
    rows = connection.execute(query.limit(limit).offset(offset)).all()
    found = {"total": statuses.get(status, 0) if status else sum(statuses.values()), "statuses": statuses}
    return {**found, "cases": [_case(row, settings) for row in rows]}


def one(connection: Connection, identifier: int, settings: Cases) -> dict[str, Any]:
    """Return a case with everything in it.

    Raises:
        HaidangError: there is none.
    """
    row = connection.execute(select(cases).where(cases.c.id == identifier)).first()
    if row is None:
        raise HaidangError("cases.none", case=identifier)
    groups = _groups(connection, identifier)
    names = names_of(connection, (group.id for group in groups))
    held: dict[str, list[dict[str, Any]]] = defaultdict(list)
    timeline = []
    query = select(case_entries).where(case_entries.c.case_id == identifier).order_by(case_entries.c.id)
    for entry in connection.execute(query):
        shown = _entry(entry)
        if entry.kind == ALERTS:
            shown |= names.get(entry.body["group"], {})
        if entry.kind == ALERTS and (group := _group_of(groups, entry.body)) is not None:
            shown |= {"status": group.status, "level": group.level, "risk": group.risk, "last": from_micros(group.last)}
        if not entry.removed:
            held[entry.kind].append(shown)
        timeline.append({
            "at": from_micros(entry.at), "kind": entry.kind, "number": entry.id, "who": entry.who,
            "removed": entry.removed, "what": _brief(entry.kind, shown),
        })  # fmt: skip
    timeline.sort(key=lambda each: (each["at"], each["number"]))
    return {
        **_case(row, settings), **{_PLURALS[kind]: held[kind] for kind in KINDS if kind != CHANGE},
        "timeline": timeline,
    }  # fmt: skip


def _groups(connection: Connection, case: int) -> list[Any]:
    """Return the groups that the case holds or held."""
    entries = select(case_entries.c.body).where(case_entries.c.case_id == case, case_entries.c.kind == ALERTS)
    ids = {body["group"] for body in connection.scalars(entries)}
    fits = (alert_groups.c.case_id == case) | alert_groups.c.id.in_(ids)
    return list(connection.execute(select(alert_groups).where(fits)).all())


def _group_of(groups: Sequence[Any], body: Mapping[str, Any]) -> Any:
    """Return the group of an entry; where it has become one with another, that one."""
    same = (group for group in groups if (group.rule_id, group.entity) == (body["rule.id"], body["entity"]))
    return next((group for group in groups if group.id == body["group"]), None) or next(same, None)


def _case(row: Any, settings: Cases) -> dict[str, Any]:
    moments = {
        name: getattr(row, name) for name in ("created", "detected", "notified", "reported", "closed", "changed")
    }
    return {
        "id": row.id, "title": row.title, "status": row.status, "level": row.level, "tlp": row.tlp, "pap": row.pap,
        "owner": row.owner, "creator": row.creator, "reportable": row.reportable, "verdict": row.verdict,
        "summary": row.summary, "summary_html": to_html(row.summary),
        **{name: from_micros(round(moment * 1e6)) if moment is not None else None for name, moment in moments.items()},
        "clocks": [clock.shown() for clock in clocks_of(row, time.time(), settings)],
    }  # fmt: skip


def _entry(entry: Any) -> dict[str, Any]:
    shown = {
        "number": entry.id, "time": from_micros(round(entry.time * 1e6)), "who": entry.who, "from": entry.address,
        **entry.body,
    }  # fmt: skip
    if entry.kind == NOTE:
        shown["html"] = to_html(entry.body["text"])
    return shown


def _brief(kind: str, body: Mapping[str, Any]) -> str:
    """Return one line on an entry, for the timeline."""
    if kind == ALERTS:
        return f"{spoken(body, 'rule.name')}: {body['entity'].partition(':')[2]}"
    if kind == EVENT:
        return str(body.get("message") or body.get("event.action") or body.get("event.dataset") or "")[:300]
    if kind == CHANGE:
        changed = (name for name in body if name not in _OF_ENTRY)
        return ", ".join(f"{say(f'cases.changed.{name}')}: {_said(name, body[name])}" for name in changed)[:1000]
    name = {NOTE: "text", TASK: "title", OBSERVABLE: "value", FILE: "name"}[kind]
    return str(body[name])[:300]


def _said(name: str, value: Any) -> str:
    """Return a value of a change as people read it."""
    if value is None:
        return say("cases.taken_back")
    if name in ("detected", "notified", "reported"):
        return datetime.fromtimestamp(value).astimezone().strftime("%d/%m/%Y %H:%M %z")
    if name == "status":
        return say(f"cases.status.{value}")
    if name == "verdict":
        return say(f"queue.status.{value}")
    if name == "level":
        return say(f"show.level.{value}")
    if isinstance(value, bool):
        return say("cases.yes" if value else "cases.no")
    return str(value)

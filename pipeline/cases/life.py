"""A case is opened, often from groups of alerts; it is changed, and closed with a verdict and a summary."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from pipeline.access import note as audit
from pipeline.cases import ALERTS as ALERTS_KIND
from pipeline.cases import CHANGE, CLOSED, LEVELS, NOTE, OPEN, PAP, TLP, entries
from pipeline.cases.entries import By
from pipeline.event import EARLIEST
from pipeline.messages import HaidangError, spoken
from pipeline.queue import CLOSED as CLOSED_ALERTS
from pipeline.queue import ESCALATED, grouping
from pipeline.queue import life as queue
from pipeline.queue.showing import names_of
from pipeline.state.tables import alert_groups, alerts, case_entries, cases, users

_MAX_TITLE = 300
_MAX_SUMMARY = 50_000
#: Alerts of a group in which observables are looked for, the newest.
_LOOK_AT = 200
#: Observables that a group of alerts brings by itself.
_MOST_OBSERVABLES = 200
#: How far clocks of others may be ahead of ours, in seconds.
_AHEAD_SECONDS = 86_400.0
#: People name moments by the minute, in seconds.
_MINUTE = 60.0
VERDICTS = CLOSED_ALERTS
#: What was told, and may be taken back.
_TAKEN_BACK = ("notified", "reported")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A case that somebody opens. Without a title it has that of its first alerts; `detected`: seconds since 1970;
    `owner`: whoever opens it, unless somebody else is named, or nobody ("")."""

    title: str = ""
    level: str = ""
    tlp: str = "amber"
    pap: str = "amber"
    reportable: bool = True
    detected: float | None = None
    alerts: Sequence[str] = field(default_factory=list)
    owner: str | None = None


def open_case(engine: Engine, wanted: Wanted, by: By) -> int:
    """Open a case with these alerts (ids of alerts or of groups); return its number.

    Raises:
        HaidangError: no title and no alerts, a level, TLP or PAP that is none, alerts that are not there or in a case.
    """
    groups = queue.groups_of(engine, wanted.alerts) if wanted.alerts else []
    title = wanted.title.strip()
    if not title and not groups:
        raise HaidangError("cases.no_title")
    highest = max(groups, key=lambda group: group.severity, default=None)
    level = wanted.level or (highest.level if highest is not None and highest.level in LEVELS else "medium")
    _free(groups)
    now = time.time()
    detected = wanted.detected if wanted.detected is not None else min((_detected(engine, groups), now))
    title = title or _title(engine, groups[0])
    with engine.begin() as connection:
        case = open_in(connection, replace(wanted, title=title, level=level, detected=detected), by)
    if groups:
        add_alerts(engine, case, [group.id for group in groups], by)
    return case


def open_in(connection: Connection, wanted: Wanted, by: By, note: str = "") -> int:
    """Open a case with no alerts yet, and a note where one is given, in the caller's transaction; return its number.

    Raises:
        HaidangError: a level, TLP or PAP that is none, or a moment that cannot be.
    """
    now = time.time()
    detected = wanted.detected if wanted.detected is not None else now
    level = wanted.level or "medium"
    owner = by.who if wanted.owner is None else wanted.owner
    _check({"level": level, "tlp": wanted.tlp, "pap": wanted.pap, "detected": detected})
    row = {
        "title": wanted.title.strip()[:_MAX_TITLE], "status": OPEN, "level": level, "tlp": wanted.tlp,
        "pap": wanted.pap, "owner": owner, "created": now, "creator": by.who, "detected": detected,
        "reportable": wanted.reportable, "verdict": "", "summary": "", "changed": now,
    }  # fmt: skip
    case: int = connection.execute(insert(cases).values(row).returning(cases.c.id)).scalar_one()
    audit(connection, by.who, by.address, "case_opened", case=case, title=row["title"], level=level)
    entries.write(connection, case, CHANGE, {"opened": row["title"]}, by)
    if note.strip():
        entries.put(connection, case, NOTE, {"text": note.strip()[:_MAX_SUMMARY]}, by)
    return case


def add_alerts(engine: Engine, case: int, ids: Sequence[str], by: By) -> int:
    """Bring alerts, and the groups in which they are, into a case; return how many alerts are in these groups.

    Raises:
        HaidangError: there is no such open case, or alerts are not there or in another case.
    """
    groups = queue.groups_of(engine, ids)
    _free(groups, case)
    for group in groups:
        if group.case_id == case:
            continue
        with engine.begin() as connection:
            entries.writable(connection, case)
            grouping.lock(connection)
            connection.execute(update(alert_groups).where(alert_groups.c.id == group.id).values(case_id=case))
            body = {
                "group": group.id, "rule.id": group.rule_id, "rule.name": group.rule_name, "entity": group.entity,
                "level": group.level, **names_of(connection, [group.id]).get(group.id, {}),
            }  # fmt: skip
            entries.put(connection, case, ALERTS_KIND, body, by, at=group.first)
        _bring(engine, case, group.id, by)
    return queue.escalate(engine, [group.id for group in groups], case, by.who, by.address)


def _title(engine: Engine, group: Any) -> str:
    """Return what a case about a group is called, in the language that is spoken."""
    with engine.connect().execution_options(read_only=True) as connection:
        names = names_of(connection, [group.id]).get(group.id, {})
    return f"{spoken({'rule.name': group.rule_name, **names}, 'rule.name')}: {group.entity.partition(':')[2]}"


def _bring(engine: Engine, case: int, group: str, by: By) -> None:
    """Bring what a group's alerts show, and what their rule says is to be done first."""
    query = select(alerts.c.document).where(alerts.c.group_id == group).order_by(alerts.c.time.desc()).limit(_LOOK_AT)
    with engine.connect().execution_options(read_only=True) as connection:
        documents = connection.scalars(query).all()
        known = entries.observables(connection, case)
        titles = connection.scalars(
            select(case_entries.c.body).where(case_entries.c.case_id == case, case_entries.c.kind == "task")
        ).all()
    found = dict.fromkeys(each for document in documents for each in entries.observed(document))
    for kind, value in list(found)[:_MOST_OBSERVABLES]:
        if (kind, value) not in known:
            entries.add_observable(engine, case, kind, value, "amber", "", by)
    steps = (spoken(document, "rule.response") for document in documents)
    first = next((step for step in steps if isinstance(step, str) and step.strip()), "")
    if first and first.strip()[:1000] not in {body["title"] for body in titles}:
        entries.add_task(engine, case, first[:1000], "", by)


def change(engine: Engine, case: int, changes: Mapping[str, Any], by: By) -> None:
    """Change what a case says of itself: title, level, tlp, pap, owner, reportable, detected, notified, reported.

    `notified` and `reported` are the moments (seconds since 1970) at which the law's notice and report were given; None
    takes them back.

    Raises:
        HaidangError: there is no such open case, or a value is none.
    """
    values = {name: value for name, value in changes.items() if value is not None or name in _TAKEN_BACK}
    _check(values)
    if not values:
        raise HaidangError("cases.nothing")
    if "title" in values:
        values["title"] = str(values["title"]).strip()[:_MAX_TITLE]
        if not values["title"]:
            raise HaidangError("cases.empty", name="title")
    with engine.begin() as connection:
        entries.writable(connection, case)
        if values.get("owner"):
            _known(connection, values["owner"])
        row = connection.execute(select(cases).where(cases.c.id == case)).mappings().one()
        _in_order({**row, **values})
        connection.execute(update(cases).where(cases.c.id == case).values(values))
        entries.change(connection, case, by, **values)


def _known(connection: Connection, owner: str) -> None:
    if connection.scalar(select(users.c.name).where(users.c.name == owner)) is None:
        raise HaidangError("cases.no_owner", value=owner[:100])


def _in_order(case: Mapping[str, Any]) -> None:
    """Hold that nothing was told before it was detected.

    Raises:
        HaidangError: it was.
    """
    for name in _TAKEN_BACK:
        if case[name] is not None and case[name] < case["detected"] - _MINUTE:
            when = {"value": _shown(case[name]), "detected": _shown(case["detected"])}
            raise HaidangError("cases.too_early", name=name, **when)


def _shown(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment).astimezone().isoformat(timespec="minutes")
    except (ValueError, OverflowError, OSError):  # of no year that there is
        return f"{moment:.0f}"


def close(engine: Engine, case: int, verdict: str, summary: str, by: By) -> None:
    """Close a case; its alerts have its verdict then.

    Raises:
        HaidangError: there is no such open case, no such verdict, or no summary.
    """
    summary = summary.strip()[:_MAX_SUMMARY]
    if verdict not in VERDICTS:
        raise HaidangError("cases.no_verdict", value=verdict[:50], expected=", ".join(VERDICTS))
    if not summary:
        raise HaidangError("cases.empty", name="summary")
    with engine.connect().execution_options(read_only=True) as connection:
        status = connection.scalar(select(cases.c.status).where(cases.c.id == case))
        groups = connection.scalars(select(alert_groups.c.id).where(alert_groups.c.case_id == case)).all()
    if status is None:
        raise HaidangError("cases.none", case=case)
    if status == CLOSED:
        raise HaidangError("cases.closed", case=case)
    if groups:  # first: a kill in between leaves a case that is closed again
        fits = queue.Fits(statuses=(ESCALATED,), groups=groups)
        queue.change(engine, fits, verdict, f"#{case}: {summary}"[:1000], by.who, by.address)
    with engine.begin() as connection:
        entries.writable(connection, case)
        values = {"status": CLOSED, "closed": time.time(), "verdict": verdict, "summary": summary}
        connection.execute(update(cases).where(cases.c.id == case).values(values))
        entries.change(connection, case, by, status=CLOSED, verdict=verdict, summary=summary)


def reopen(engine: Engine, case: int, reason: str, by: By) -> None:
    """Open a closed case again; its groups of alerts are in it again, unless they are in another one by now.

    Raises:
        HaidangError: there is no such closed case, or no reason.
    """
    reason = reason.strip()[:1000]
    if not reason:
        raise HaidangError("cases.empty", name="reason")
    with engine.begin() as connection:
        values = {"status": OPEN, "closed": None, "verdict": ""}
        found = connection.execute(
            update(cases).where(cases.c.id == case, cases.c.status == CLOSED).values(values)
        ).rowcount
        if not found:
            raise HaidangError("cases.not_closed", case=case)
        entries.put(connection, case, CHANGE, {"status": OPEN, "reason": reason}, by)
        grouping.lock(connection)
        query = select(case_entries.c.body).where(case_entries.c.case_id == case, case_entries.c.kind == ALERTS_KIND)
        wanted = {body["group"] for body in connection.scalars(query)}
        free = alert_groups.c.id.in_(wanted) & alert_groups.c.case_id.in_((0, case))
        groups = connection.scalars(select(alert_groups.c.id).where(free)).all()
        connection.execute(update(alert_groups).where(alert_groups.c.id.in_(groups)).values(case_id=case))
    if groups:
        queue.escalate(engine, groups, case, by.who, by.address)


def _detected(engine: Engine, groups: Sequence[Any]) -> float:
    """Return when the first of these alerts was raised."""
    with engine.connect().execution_options(read_only=True) as connection:
        query = select(func.min(alerts.c.created)).where(alerts.c.group_id.in_([group.id for group in groups]))
        return connection.scalar(query) or time.time()


def _free(groups: Sequence[Any], case: int = 0) -> None:
    taken = next((group for group in groups if group.case_id not in (0, case)), None)
    if taken is not None:
        raise HaidangError("cases.elsewhere", group=taken.id, case=taken.case_id)


def _check(values: Mapping[str, Any]) -> None:
    for name in ("detected", "notified", "reported"):
        if values.get(name) is not None and not EARLIEST.timestamp() <= values[name] <= time.time() + _AHEAD_SECONDS:
            raise HaidangError("cases.no_time", value=f"{name} {_shown(values[name])}")
    for name, allowed in (("level", LEVELS), ("tlp", TLP), ("pap", PAP)):
        if name in values and values[name] not in allowed:
            raise HaidangError(f"cases.no_{name}", value=str(values[name])[:50], expected=", ".join(allowed))

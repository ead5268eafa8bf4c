"""Alerts enter, the risk of whom they are about leaves: what one rule says seldom tells, several together do.

The risk of an entity at a moment is made of the 24 hours before: each rule gives the points of its level, more the more
often it fired (ten times: twice as many), and the sum grows by a quarter for each further tactic of ATT&CK. An alert
that turned out to be false gives nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, delete, func, select

from pipeline.event import Event, from_micros
from pipeline.messages import LANGUAGES, in_each_language
from pipeline.own_alerts import told_alert
from pipeline.queue import FALSE_POSITIVE
from pipeline.queue.entities import FIELDS
from pipeline.queue.showing import names_of
from pipeline.state import upsert
from pipeline.state.tables import alert_groups, entity_risks

HOURS = 24
#: Points of a rule that fired once, by its level.
POINTS: Mapping[str, int] = {"informational": 1, "low": 5, "medium": 20, "high": 50, "critical": 100}
_FOR_A_TACTIC = 0.25
_HOUR = 3_600_000_000
_KEEP_HOURS = 60 * HOURS
#: The risk of so many entities is weighed, for each that is wanted and at the least.
_CANDIDATES, _LEAST_CANDIDATES = 20, 2_000
#: ATT&CK's tactics (Enterprise, v15) as Sigma's tags write them, after `attack.`.
TACTICS = frozenset((
    "reconnaissance", "resource-development", "initial-access", "execution", "persistence", "privilege-escalation",
    "defense-evasion", "credential-access", "discovery", "lateral-movement", "collection", "command-and-control",
    "exfiltration", "impact",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """What one rule gives."""

    rule: str
    name: str
    alerts: int
    points: int
    tactics: tuple[str, ...]
    group: str


@dataclass(frozen=True, slots=True)
class Risk:
    """An entity's risk and what it is made of, the weightiest first."""

    score: int
    tactics: tuple[str, ...]
    parts: tuple[Part, ...]


NONE = Risk(0, (), ())


def tactics_of(alert: Event) -> list[str]:
    """Return the tactics that an alert's tags name."""
    tags = alert.get("tags")
    if not isinstance(tags, list):
        return []
    names = (tag[7:].replace("_", "-").lower() for tag in tags if isinstance(tag, str) and tag.startswith("attack."))
    return sorted({name for name in names if name in TACTICS})


def note(connection: Connection, seen: Iterable[tuple[Mapping[str, Any], Sequence[str]]]) -> None:
    """Add alerts: the rows of the queue, each with its entities. Those of our own, also on risk itself, add none."""
    rows: dict[tuple[str, int, str], dict[str, Any]] = {}
    for alert, entities in seen:
        if alert["rule_id"].startswith("haidang."):
            continue
        hour = alert["time"] // _HOUR
        for entity in entities:
            row = rows.setdefault((entity, hour, alert["rule_id"]), {
                "entity": entity, "hour": hour, "rule_id": alert["rule_id"], "group_id": alert["group_id"],
                "points": 0, "alerts": 0, "tactics": " ".join(tactics_of(alert["document"])),
            })  # fmt: skip
            row["alerts"] += 1
            row["points"] = max(row["points"], POINTS.get(alert["level"], 0))
    upsert(connection, entity_risks, list(rows.values()), ["entity", "hour", "rule_id"], add=("alerts",))


def risks(
    connection: Connection, moments: Mapping[str, int], statuses: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Risk]:
    """Return the risk of each entity at its moment (microseconds since 1970); `statuses`: of groups not saved yet."""
    if not moments:
        return {}
    hours = {entity: moment // _HOUR for entity, moment in moments.items()}
    columns = entity_risks.c
    query = (
        select(
            columns.entity, columns.hour, columns.rule_id, columns.group_id, columns.points, columns.alerts,
            columns.tactics, alert_groups.c.status, alert_groups.c.rule_name,
        )
        .outerjoin(alert_groups, alert_groups.c.id == columns.group_id)
        .where(
            columns.entity.in_(list(moments)),
            columns.hour.between(min(hours.values()) - HOURS + 1, max(hours.values())),
        )
    )  # fmt: skip
    held: dict[str, dict[str, _Tally]] = {}
    for entity, hour, rule, group, points, alerts, tactics, status, name in connection.execute(query).all():
        if hours[entity] - HOURS < hour <= hours[entity] and statuses.get(group, status) != FALSE_POSITIVE:
            tally = held.setdefault(entity, {}).setdefault(rule, _Tally(name or rule))
            tally.add(hour, group, points, alerts, tactics)
    return {entity: _risk(held[entity]) if entity in held else NONE for entity in moments}


class _Tally:
    """What one rule says about one entity."""

    __slots__ = ("alerts", "group", "hour", "name", "points", "tactics")

    def __init__(self, name: str) -> None:
        self.name = name
        self.hour = self.points = self.alerts = -1
        self.group = self.tactics = ""

    def add(self, hour: int, group: str, points: int, alerts: int, tactics: str) -> None:
        """Add an hour."""
        self.alerts = max(self.alerts, 0) + alerts
        self.points = max(self.points, points)
        if hour > self.hour:
            self.hour, self.group, self.tactics = hour, group, tactics or self.tactics


def is_high(entity: str, risk: Risk, limit: int) -> bool:
    """Say whether the risk of a host, a user or an address is an alert: one rule alone has alerts of its own."""
    return risk.score >= limit and len(risk.parts) > 1 and entity.partition(":")[0] in FIELDS


def alert_of(connection: Connection, entity: str, risk: Risk, moment: int, observer: str) -> Event:
    """Return the alert that says how much risk has come together; one for an entity and a day."""
    names = names_of(connection, (part.group for part in risk.parts))
    kind, _, name = entity.partition(":")
    values = {
        "name": name, "risk": risk.score, "rules": len(risk.parts), "alerts": sum(part.alerts for part in risk.parts),
        "tactics": _in_words(risk.tactics),
    }  # fmt: skip
    made = told_alert("queue.entity_risk", entity, str(moment // _HOUR // 24), observer, "high", **values)
    matches = [_reason(part, names.get(part.group, {})) for part in risk.parts[:20]]
    return {
        **made, "@timestamp": from_micros(moment), FIELDS[kind]: name, "alert.risk": risk.score,
        "alert.matches": matches, "tags": [f"attack.{tactic}" for tactic in risk.tactics],
    }  # fmt: skip


def _in_words(tactics: Sequence[str]) -> dict[str, str]:
    """Return tactics as people call them, in each language."""
    said = [in_each_language(f"queue.tactic.{tactic}") for tactic in tactics]
    return {language: ", ".join(each[language] for each in said) or "-" for language in LANGUAGES}


def _reason(part: Part, names: Mapping[str, str]) -> dict[str, Any]:
    """Return one rule and its points, as an alert says why it fired."""
    vietnamese = {"field_vi": names["rule.name_vi"]} if "rule.name_vi" in names else {}
    field = names.get("rule.name", part.name)
    return {"selection": "risk", "field": field, **vietnamese, "rule": part.rule, "value": part.points}


def highest(connection: Connection, moment: int, count: int) -> list[tuple[str, Risk]]:
    """Return the entities with the highest risk at a moment, and it. It is weighed of those alone whose rules give the
    most points, many more than are wanted: all may be more than one question can name."""
    hour = moment // _HOUR
    columns, status = entity_risks.c, alert_groups.c.status
    of_rules = (
        select(columns.entity, columns.rule_id, func.max(columns.points).label("points"))
        .outerjoin(alert_groups, alert_groups.c.id == columns.group_id)
        .where(columns.hour.between(hour - HOURS + 1, hour), status.is_(None) | (status != FALSE_POSITIVE))
        .group_by(columns.entity, columns.rule_id)
        .subquery()
    )
    points = func.sum(of_rules.c.points)
    query = select(of_rules.c.entity).group_by(of_rules.c.entity).order_by(points.desc(), of_rules.c.entity)
    names = connection.scalars(query.limit(max(count * _CANDIDATES, _LEAST_CANDIDATES))).all()
    found = risks(connection, dict.fromkeys(names, moment))
    return sorted(((name, each) for name, each in found.items() if each.score), key=_by_score)[:count]


def forget_old(connection: Connection, now: float) -> None:
    """Delete what no question asks for any more."""
    connection.execute(delete(entity_risks).where(entity_risks.c.hour < now // 3600 - _KEEP_HOURS))


def _by_score(item: tuple[str, Risk]) -> tuple[int, str]:
    return -item[1].score, item[0]


def _risk(held: Mapping[str, _Tally]) -> Risk:
    parts = []
    for rule, tally in held.items():
        points = round(tally.points * (1 + math.log10(tally.alerts)))
        parts.append(Part(rule, tally.name, tally.alerts, points, tuple(tally.tactics.split()), tally.group))
    parts.sort(key=lambda part: (-part.points, part.rule))
    tactics = tuple(sorted({tactic for part in parts for tactic in part.tactics}))
    total = sum(part.points for part in parts) * (1 + _FOR_A_TACTIC * max(0, len(tactics) - 1))
    return Risk(round(total), tactics, tuple(parts))

"""Alerts: a rule, its event and the reasons enter, an alert document (docs/alerts.md) leaves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from detectors.sigma import Match, Refused, Rule
from pipeline.event import Event, event_id, format_time

#: The events kept with an alert, at most.
MAX_EVIDENCE = 100
#: `event.severity` by the rule's level.
SEVERITY = {"informational": 10, "low": 25, "medium": 50, "high": 75, "critical": 99}
#: What an alert repeats of its event, so that alerts can be grouped and searched by who and where.
_ENTITY_FIELDS = (
    "host.name", "host.ip", "user.name", "user.domain", "source.ip", "source.port", "destination.ip", "destination.port",
    "process.name", "process.executable", "process.command_line", "url.original", "file.path", "organization.id",
    "labels.source", "labels.import_id", "log.file.path",
)  # fmt: skip
_DATASET = "haidang.alerts"


def alert(rule: Rule, events: Sequence[Event], matches: Sequence[Match]) -> Event:
    """Return the alert that `rule` raises on `events` (the last one made it fire).

    Its id is made of the rule and the event, so a replay repeats it.
    """
    last = events[-1]
    document: Event = {
        "@timestamp": last["@timestamp"],
        "event.id": event_id("alert", rule.id, last["event.id"]),
        "event.kind": "alert",
        "event.dataset": _DATASET,
        "event.created": format_time(datetime.now(UTC)),
        "event.severity": SEVERITY.get(rule.level, 50),
        "rule.id": rule.id,
        "rule.name": rule.title,
        "rule.level": rule.level,
        "rule.description": rule.description,
        "rule.author": rule.author,
        "rule.reference": list(rule.references),
        "tags": list(rule.tags),
        "alert.status": "new",
        "alert.count": len(events),
        "alert.matches": [{"selection": m.selection, "field": m.field, "value": m.value} for m in matches],
        "alert.evidence": list(events[:MAX_EVIDENCE]),
    }
    document.update({name: last[name] for name in _ENTITY_FIELDS if name in last})
    return document


def refused_alert(refused: Refused, observer: str) -> Event:
    """Return the alert that a rule cannot run: detection never fails in silence."""
    now = format_time(datetime.now(UTC))
    return {
        "@timestamp": now,
        "event.id": event_id("alert", "haidang.rule_refused", refused.path, refused.reason),
        "event.kind": "alert",
        "event.dataset": _DATASET,
        "event.created": now,
        "event.severity": SEVERITY["medium"],
        "rule.id": "haidang.rule_refused",
        "rule.name": "A detection rule cannot be loaded",
        "rule.level": "medium",
        "rule.description": f"{refused.path}: {refused.reason}",
        "alert.status": "new",
        "alert.count": 1,
        "alert.matches": [{"selection": "", "field": "rule", "value": refused.rule or refused.path}],
        "alert.evidence": [],
        "observer.name": observer,
        "labels.source": "haidang",
    }

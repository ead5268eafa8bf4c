"""Alerts: a rule, its event and the reasons enter, an alert document (docs/alerts.md) leaves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from detectors.sigma import Match, Refused, Rule
from pipeline.event import Event, event_id, format_time
from pipeline.own_alerts import DATASET, SEVERITY, own_alert

#: The events kept with an alert, at most.
MAX_EVIDENCE = 100
#: What an alert repeats of its event, so that alerts can be grouped and searched by who and where.
_ENTITY_FIELDS = (
    "host.name", "host.ip", "user.name", "user.domain",
    "source.ip", "source.port", "destination.ip", "destination.port",
    "process.name", "process.executable", "process.command_line", "url.original", "file.path", "organization.id",
    "labels.source", "labels.import_id", "log.file.path",
)  # fmt: skip
#: What an alert repeats of the keys that Sigma does not know: its words in Vietnamese, and what to do first.
_WORDS = (
    ("rule.name_vi", "title_vi"), ("rule.description_vi", "description_vi"),
    ("rule.response", "response"), ("rule.response_vi", "response_vi"),
)  # fmt: skip


def alert(rule: Rule, events: Sequence[Event], matches: Sequence[Match]) -> Event:
    """Return the alert that `rule` raises on `events` (the last one made it fire).

    Its id is made of the rule and the event, so a replay repeats it.
    """
    last = events[-1]
    document: Event = {
        "@timestamp": last["@timestamp"],
        "event.id": event_id("alert", rule.id, last["event.id"]),
        "event.kind": "alert",
        "event.dataset": DATASET,
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
    document.update({name: rule.extra[key] for name, key in _WORDS if isinstance(rule.extra.get(key), str)})
    document.update({name: last[name] for name in _ENTITY_FIELDS if name in last})
    return document


def refused_alert(refused: Refused, observer: str) -> Event:
    """Return the alert that a rule cannot be loaded: detection never fails in silence."""
    return own_alert(
        "detectors.rule_refused", refused.rule or refused.path, f"{refused.path}: {refused.reason}", observer
    )


def failed_alert(rule: Rule, event: Event, fault: Exception, observer: str) -> Event:
    """Return the alert that a rule failed on an event, once for each rule and kind of fault."""
    alert = own_alert("detectors.rule_failed", rule.title, f"{rule.path}: {type(fault).__name__}: {fault}", observer)
    alert["event.id"] = event_id("alert", "haidang.rule_failed", rule.id, type(fault).__name__)
    alert["alert.evidence"] = [event]
    return alert

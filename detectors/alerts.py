"""Alerts: a rule, its event and the reasons enter, an alert document (docs/alerts.md) leaves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from detectors.sigma import Match, Refused, Rule
from pipeline.event import Event, event_id, format_time
from pipeline.messages import LANGUAGES, say, speaking

#: The events kept with an alert, at most.
MAX_EVIDENCE = 100
#: `event.severity` by the rule's level.
SEVERITY = {"informational": 10, "low": 25, "medium": 50, "high": 75, "critical": 99}
#: What an alert repeats of its event, so that alerts can be grouped and searched by who and where.
_ENTITY_FIELDS = (
    "host.name", "host.ip", "user.name", "user.domain",
    "source.ip", "source.port", "destination.ip", "destination.port",
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
    for name, key in (("rule.name_vi", "title_vi"), ("rule.description_vi", "description_vi")):
        if isinstance(rule.extra.get(key), str):
            document[name] = rule.extra[key]
    document.update({name: last[name] for name in _ENTITY_FIELDS if name in last})
    return document


def refused_alert(refused: Refused, observer: str) -> Event:
    """Return the alert that a rule cannot be loaded: detection never fails in silence."""
    return _own_alert(
        "detectors.rule_refused", refused.rule or refused.path, f"{refused.path}: {refused.reason}", observer
    )


def failed_alert(rule: Rule, event: Event, fault: Exception, observer: str) -> Event:
    """Return the alert that a rule failed on an event, once for each rule and kind of fault."""
    alert = _own_alert("detectors.rule_failed", rule.title, f"{rule.path}: {type(fault).__name__}: {fault}", observer)
    alert["event.id"] = event_id("alert", "haidang.rule_failed", rule.id, type(fault).__name__)
    alert["alert.evidence"] = [event]
    return alert


def _own_alert(key: str, rule: str, reason: str, observer: str) -> Event:
    """Return an alert of ours, about detection itself, with its words in both languages."""
    now = format_time(datetime.now(UTC))
    identifier = f"haidang.{key.rpartition('.')[2]}"
    names = {}
    for language in LANGUAGES:
        with speaking(language):
            names[language] = say(key)
    return {
        "@timestamp": now,
        "event.id": event_id("alert", identifier, reason),
        "event.kind": "alert",
        "event.dataset": _DATASET,
        "event.created": now,
        "event.severity": SEVERITY["medium"],
        "rule.id": identifier,
        "rule.name": names["en"],
        "rule.name_vi": names["vi"],
        "rule.level": "medium",
        "rule.description": reason,
        "alert.status": "new",
        "alert.count": 1,
        "alert.matches": [{"selection": "", "field": "rule", "value": rule}],
        "alert.evidence": [],
        "observer.name": observer,
        "labels.source": "haidang",
    }

"""Alerts of ours: what is wrong with the pipeline itself enters, an alert document (docs/alerts.md) leaves."""

from datetime import UTC, datetime

from pipeline.event import Event, event_id, format_time
from pipeline.messages import LANGUAGES, say, speaking

#: `event.severity` by the rule's level.
SEVERITY = {"informational": 10, "low": 25, "medium": 50, "high": 75, "critical": 99}
DATASET = "haidang.alerts"


def own_alert(key: str, rule: str, reason: str, observer: str, level: str = "medium") -> Event:
    """Return an alert; `key` are its words in the catalogues, `rule` and `reason` what it is about and why.

    The same reason is the same alert, however often it is raised.
    """
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
        "event.dataset": DATASET,
        "event.created": now,
        "event.severity": SEVERITY[level],
        "rule.id": identifier,
        "rule.name": names["en"],
        "rule.name_vi": names["vi"],
        "rule.level": level,
        "rule.description": reason,
        "alert.status": "new",
        "alert.count": 1,
        "alert.matches": [{"selection": "", "field": "rule", "value": rule}],
        "alert.evidence": [],
        "observer.name": observer,
        "labels.source": "haidang",
    }

"""Alerts of ours: what is wrong with the pipeline itself enters, an alert document (docs/alerts.md) leaves."""

from datetime import UTC, datetime
from typing import Any

from pipeline.event import Event, event_id, format_time
from pipeline.messages import in_each_language

#: `event.severity` by the rule's level.
SEVERITY = {"informational": 10, "low": 25, "medium": 50, "high": 75, "critical": 99}
DATASET = "haidang.alerts"


def own_alert(key: str, rule: str, reason: str, observer: str, level: str = "medium") -> Event:
    """Return an alert; `key` are its words in the catalogues, `rule` and `reason` what it is about and why.

    The same reason is the same alert, however often it is raised.
    """
    return {**_alert(key, rule, (reason,), observer, level), "rule.description": reason}


def told_alert(key: str, about: str, occasion: str, observer: str, level: str = "medium", **values: Any) -> Event:
    """Return an alert whose reason is in the catalogues, too, as `<key>_why` with its `values`.

    It is the same alert only for the same `about` and `occasion`.
    """
    why = in_each_language(f"{key}_why", **values)
    described = {"rule.description": why["en"], "rule.description_vi": why["vi"]}
    return {**_alert(key, about, (about, occasion), observer, level), **described}


def _alert(key: str, rule: str, identity: tuple[str, ...], observer: str, level: str) -> Event:
    now = format_time(datetime.now(UTC))
    identifier = f"haidang.{key.rpartition('.')[2]}"
    names = in_each_language(key)
    return {
        "@timestamp": now,
        "event.id": event_id("alert", identifier, *identity),
        "event.kind": "alert",
        "event.dataset": DATASET,
        "event.created": now,
        "event.severity": SEVERITY[level],
        "rule.id": identifier,
        "rule.name": names["en"],
        "rule.name_vi": names["vi"],
        "rule.level": level,
        "alert.status": "new",
        "alert.count": 1,
        "alert.matches": [{"selection": "", "field": "rule", "value": rule}],
        "alert.evidence": [],
        "observer.name": observer,
        "labels.source": "haidang",
    }

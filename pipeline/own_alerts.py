"""Alerts of ours: what is wrong with the pipeline itself enters, an alert document (docs/alerts.md) leaves."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.bus import ALERTS, Bus, SlowDown
from pipeline.event import Event, encode, event_id, format_time
from pipeline.frame import pack
from pipeline.logs import log
from pipeline.messages import in_each_language

#: `event.severity` by the rule's level.
SEVERITY = {"informational": 10, "low": 25, "medium": 50, "high": 75, "critical": 99}
DATASET = "haidang.alerts"


def own_alert(key: str, rule: str, reason: str, observer: str, level: str = "medium", once: str = "") -> Event:
    """Return an alert; `key` are its words in the catalogues, `rule` and `reason` what it is about and why.

    The same `once` (the reason, where it is left out) is the same alert, however often it is raised.
    """
    return {**_alert(key, rule, (once or reason,), observer, level), "rule.description": reason}


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


class Teller:
    """Raises alerts of which the same are found again and again: each once in the life of a process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._told: set[str] = set()

    def tell(self, alerts: Sequence[Event]) -> None:
        """Bring those to their topic that were not told yet."""
        new = [alert for alert in alerts if alert["event.id"] not in self._told]
        if publish(self._bus, new):
            self._told.update(alert["event.id"] for alert in new)


def publish(bus: Bus, alerts: Sequence[Event]) -> bool:
    """Bring alerts to their topic; False where it does not take them now: the caller's next look raises them again."""
    try:
        if alerts:
            bus.publish(ALERTS, list(pack("haidang", [encode(alert) for alert in alerts])))
    except (SlowDown, sqlite3.OperationalError, OSError) as error:
        log("alerts").error("not_raised", alerts=[alert["rule.id"] for alert in alerts], reason=str(error))
        return False
    return True

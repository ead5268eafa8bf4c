"""Alerts that a network sensor raised by itself enter as events, alerts (docs/alerts.md) leave.

Such events are `network.alert` (our packet rules), `suricata.alert` and `zeek.notice`. What one source and one
destination do against one rule within an hour is one alert, whoever raises it and however often it is read: its id is
made of these.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from detectors.alerts import document, entities, match
from detectors.sigma.rule import About
from pipeline.event import Event, event_id, to_micros
from pipeline.messages import in_each_language

#: Alerts that are remembered, so that what goes on is not raised again and again.
MAX_REMEMBERED = 100_000
#: What every line of such an event holds.
MARK = b'"event.kind":"alert"'
_HOUR = 3_600_000_000
#: Levels by what the rule's author says of it (ET's `signature_severity`), else by its priority, 1 the worst.
_SEVERITIES = {"critical": "critical", "major": "high", "minor": "medium", "informational": "informational"}
_PRIORITIES = {"1": "high", "2": "medium", "3": "low"}
_SENSORS = {"network.alert": "packet", "suricata.alert": "suricata", "zeek.notice": "zeek"}


class SensorAlerts:
    """Makes alerts of the events of these data sets."""

    def __init__(self, datasets: Iterable[str]) -> None:
        self._datasets = frozenset(datasets) & _SENSORS.keys()
        self._told: OrderedDict[str, None] = OrderedDict()

    def candidates(self, lines: Iterable[bytes]) -> list[tuple[int, bytes]]:
        """Return the lines worth parsing, with their numbers from 0."""
        if not self._datasets:
            return []
        return [(number, line) for number, line in enumerate(lines) if MARK in line]

    def alert(self, event: Event) -> Event | None:
        """Return the alert of an event; None where it is none, or was raised before."""
        if event.get("event.kind") != "alert" or event.get("event.dataset") not in self._datasets:
            return None
        made = alert_of(event)
        name = made["event.id"]
        if name in self._told:
            self._told.move_to_end(name)
            return None
        self._told[name] = None
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return made


def alert_of(event: Event) -> Event:
    """Return the alert of one event."""
    rule = _about(event)
    sides = str(event.get("source.ip", "")), str(event.get("destination.ip", ""))
    hour = to_micros(event["@timestamp"]) // _HOUR
    made = document(rule, event["@timestamp"], event_id("alert", rule.id, *sides, hour), 1)
    made["alert.matches"] = [match("packet", *each) for each in _found(event)]
    made["alert.evidence"] = [event]
    made.update(entities(event))
    return made


def _about(event: Event) -> About:
    sensor = _SENSORS[event["event.dataset"]]
    title = _text(event.get("rule.name")) or _text(event.get("rule.id")) or sensor
    words = in_each_language(
        f"detectors.of_{sensor}", rule=title, category=_text(event.get("rule.category")) or "-",
        said=_text(event.get("rule.description")) or "-",
    )  # fmt: skip
    return About(
        id=_identifier(event, sensor), title=title, level=_level(event), status="", description=words["en"],
        tags=tuple(_tags(event)), references=tuple(_texts(event.get("rule.reference"))),
        falsepositives=(), author="", path="",
        extra={"description_vi": words["vi"], "title_vi": event.get("packet_rule.title_vi")},
    )  # fmt: skip


def _identifier(event: Event, sensor: str) -> str:
    number = _text(event.get("rule.id")) or "unknown"
    generator = _text(event.get("rule.ruleset") or event.get("suricata.eve.alert.gid") or 1)
    if sensor == "packet" and generator == "1":
        return f"packet.{number}"
    return f"{sensor}.{number}" if sensor == "zeek" else f"{sensor}.{generator}.{number}"


def _level(event: Event) -> str:
    said = event.get("packet_rule.severity") or event.get("suricata.eve.alert.metadata.signature_severity")
    level = _SEVERITIES.get(next(iter(_texts(said)), "").lower())
    return level or _PRIORITIES.get(_text(event.get("event.severity", 3)), "informational")


def _tags(event: Event) -> list[str]:
    """Return the techniques of MITRE ATT&CK that a rule of ET names."""
    named = event.get("packet_rule.techniques") or event.get("suricata.eve.alert.metadata.mitre_technique_id")
    return [f"attack.{each.lower()}" for each in _texts(named)]


def _found(event: Event) -> list[tuple[str, str]]:
    """Return what was found where, or the rule's name where the sensor does not say it."""
    found = event.get("packet_rule.matches")
    if not isinstance(found, list) or not found:
        return [("rule.name", _text(event.get("rule.name")))]
    return [
        (_text(each.get("buffer")), f"{_text(each.get('content'))} @ {each.get('offset')}")
        for each in found
        if isinstance(each, dict)
    ]


def _texts(value: Any) -> list[str]:
    """Return the texts of a field that may hold one or several."""
    return [each for each in map(_text, value if isinstance(value, list) else [value]) if each]


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""

"""Alerts: a rule, its event and the reasons enter, an alert document (docs/alerts.md) leaves."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from detectors.sigma import Correlation, Match, Refused, Rule
from detectors.sigma.correlation import Key, Number, shown
from detectors.sigma.rule import About
from pipeline.event import Event, decode, event_id, format_time, from_micros
from pipeline.messages import said, speaking
from pipeline.own_alerts import DATASET, SEVERITY, own_alert

#: The events kept with an alert, at most.
MAX_EVIDENCE = 100
#: What an alert repeats of its event, so that alerts can be grouped and searched by who and where.
ENTITY_FIELDS = (
    "host.name", "host.ip", "user.name", "user.domain",
    "source.ip", "source.port", "destination.ip", "destination.port",
    "process.name", "process.executable", "process.command_line", "url.original", "file.path", "organization.id",
    "labels.source", "log.file.path",
)  # fmt: skip
#: What an alert repeats of the keys that Sigma does not know: its words in Vietnamese, and what to do first.
_WORDS = (
    ("rule.name_vi", "title_vi"), ("rule.description_vi", "description_vi"),
    ("rule.response", "response"), ("rule.response_vi", "response_vi"),
)  # fmt: skip


class Burst(NamedTuple):
    """What a correlation has found: the window that ends at `time`, with its first and last event and how many.

    Times in microseconds since 1970; `of_parts` are the events of each rule that it refers to; `evidence` the events
    as JSON, the first of them and the last.
    """

    rule: Correlation
    key: Key
    time: int
    first: int
    last: int
    events: int
    measured: Number
    of_parts: tuple[int, ...]
    evidence: tuple[bytes, ...]

    @property
    def id(self) -> str:
        """The id of its alert, made of the rule, the group and the window."""
        return event_id("alert", self.rule.id, *self.key, self.time)


def alert(rule: Rule, events: Sequence[Event], matches: Sequence[Match]) -> Event:
    """Return the alert that `rule` raises on `events` (the last one made it fire).

    Its id is made of the rule and the event, so a replay repeats it.
    """
    last = events[-1]
    made = document(rule, last["@timestamp"], event_id("alert", rule.id, last["event.id"]), len(events))
    made["alert.matches"] = [match(m.selection, m.field, m.value) for m in matches]
    made["alert.evidence"] = list(events[:MAX_EVIDENCE])
    made.update(entities(last))
    return made


def correlation_alert(burst: Burst) -> Event:
    """Return the alert of a correlation.

    Of who and where it says what all of its events agree on.
    """
    rule = burst.rule
    made = document(rule, from_micros(burst.time), burst.id, burst.events)
    what = f"{rule.type}({', '.join(rule.fields)})" if rule.fields else rule.type
    asked = f"{shown(burst.measured)} ({rule.condition}) in {rule.timespan}"
    made["alert.matches"] = [
        match("correlation", what, asked),
        *(match("group-by", name, value) for name, value in zip(rule.group_by, burst.key, strict=True)),
        *(match("rule", part.rule.title, str(n)) for part, n in zip(rule.parts, burst.of_parts, strict=True) if n),
        match("time", "first", from_micros(burst.first)),
        match("time", "last", from_micros(burst.last)),
    ]
    evidence = [decode(line) for line in burst.evidence]
    made["alert.evidence"] = evidence
    for name in ENTITY_FIELDS:
        if evidence and name in evidence[0] and all(event.get(name) == evidence[0][name] for event in evidence):
            made[name] = evidence[0][name]
    return made


def entities(event: Event) -> Event:
    """Return what an alert repeats of its event: who and where."""
    return {name: event[name] for name in ENTITY_FIELDS if name in event}


def match(selection: str, field: str, value: str) -> dict[str, str]:
    """Return one reason of an alert."""
    return {"selection": selection, "field": field, "value": value}


def document(rule: About, time: str, identifier: str, count: int) -> dict[str, Any]:
    """Return an alert without its reasons and its evidence."""
    made: Event = {
        "@timestamp": time,
        "event.id": identifier,
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
        "alert.count": count,
    }
    made.update({name: rule.extra[key] for name, key in _WORDS if isinstance(rule.extra.get(key), str)})
    return made


def refused_alert(refused: Refused, observer: str) -> Event:
    """Return the alert that a rule cannot be loaded: detection never fails in silence."""
    alert = own_alert(
        "detectors.rule_refused", refused.rule or refused.path, f"{refused.place}: {refused.reason}", observer
    )
    with speaking("vi"):
        return {**alert, "rule.description_vi": f"{refused.place}: {said(refused.reason)}"}


def failed_alert(rule: Rule, event: Event, fault: Exception, observer: str) -> Event:
    """Return the alert that a rule failed on an event, once for each rule and kind of fault."""
    alert = own_alert("detectors.rule_failed", rule.title, f"{rule.path}: {type(fault).__name__}: {fault}", observer)
    alert["event.id"] = event_id("alert", "haidang.rule_failed", rule.id, type(fault).__name__)
    alert["alert.evidence"] = [event]
    return alert

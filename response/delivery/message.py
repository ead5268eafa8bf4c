"""A message: its row and its alerts enter, what every channel makes its own of leaves: a title and lines of text.

What comes from logs is never trusted here: it is cut, and control characters are shown, so no channel gets a line more
than was meant. Escaping for HTML, JSON and the like is the channel's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cached_property
from typing import Any
from urllib.parse import quote

from pipeline.delivery import DIGEST, ESCALATION, HEARTBEAT, TEST
from pipeline.event import Event, parse_time
from pipeline.messages import say
from pipeline.own_alerts import DATASET
from pipeline.settings.delivery import LEVELS

#: Alerts that a digest names one by one; the others are counted by rule.
_NAMED = 50
#: The longest value, and the longest explanation, in characters.
_LONGEST_VALUE, _LONGEST_TEXT = 300, 2000
#: Evidence that a program gets with an alert.
_EVIDENCE = 5
_LONGEST_EVIDENCE = 4000
#: Who and where, in this order, where an alert says it.
_FIELDS = (
    "host.name", "user.name", "source.ip", "source.port", "destination.ip", "destination.port", "destination.domain",
    "process.name", "process.executable", "url.original", "file.path", "organization.id", "labels.source",
)  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One message, in the language of its channel (`pipeline.messages.speaking`)."""

    row: Any
    alerts: Sequence[Event]
    language: str
    zone: tzinfo | None = None
    link: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id that never changes, however often it is sent."""
        identifier: str = self.row.id
        return identifier

    @property
    def kind(self) -> str:
        """What it is (`pipeline.delivery`)."""
        kind: str = self.row.kind
        return kind

    @property
    def level(self) -> str:
        """The level of its alert, or the highest of its alerts."""
        level: str = self.row.level
        return level

    def title(self) -> str:
        """Say in one line what it is about."""
        return self._title

    @cached_property
    def _title(self) -> str:
        if self.kind == HEARTBEAT:
            return say("delivery.heartbeat_title", observer=self.facts.get("observer", "-"))
        level = level_name(self.level).upper()
        if self.kind == DIGEST:
            return say("delivery.digest_title", level=level, count=len(self.alerts))
        alert = self.alerts[0]
        rule = one_line(spoken(alert, "rule.name", self.language))
        about = next(iter(whom(alert)), "")
        text = say("delivery.title", level=level, rule=rule, about=about) if about else f"[{level}] {rule}"
        marks = {ESCALATION: "delivery.title_escalated", TEST: "delivery.title_test"}
        return f"{say(marks[self.kind])} {text}" if self.kind in marks else text

    def lines(self) -> list[str]:
        """Say it in plain lines."""
        return self._lines

    @cached_property
    def _lines(self) -> list[str]:
        if self.kind == HEARTBEAT:
            return heartbeat_lines(self.facts)
        if self.kind == DIGEST:
            return self._digest()
        lines = []
        if self.kind == TEST:
            lines.append(say("delivery.is_test"))
        if self.kind == ESCALATION:
            lines.append(say("delivery.is_escalated", minutes=round(self.row.body.get("minutes", 0))))
        alert = self.alerts[0]
        if why := spoken(alert, "rule.description", self.language):
            lines += ["", one_line(why, _LONGEST_TEXT)]
        lines += ["", *(f"{name}: {value}" for name, value in self.fields(alert))]
        if steps := spoken(alert, "rule.response", self.language):
            lines += ["", say("delivery.first_steps", steps=one_line(steps, _LONGEST_TEXT))]
        if self.link:
            lines += ["", say("delivery.look", link=self.address())]
        footer = say("delivery.footer", alert=one_line(alert["event.id"]), rule=one_line(alert["rule.id"]))
        return [*lines, "", footer]

    def fields(self, alert: Event) -> list[tuple[str, str]]:
        """Return when, where and who, each with its name in the channel's language."""
        found = [
            (say("delivery.time"), self.time(alert)),
            (say("delivery.level"), level_name(alert.get("rule.level", ""))),
            (say("delivery.rule"), one_line(spoken(alert, "rule.name", self.language) or alert["rule.id"])),
        ]
        if about := own_about(alert):
            found.append((say("delivery.about"), about))
        found += [(say(f"delivery.field.{name.replace('.', '_')}"), value) for name, value in named(alert)]
        if alert.get("alert.count", 1) != 1:
            found.append((say("delivery.events"), one_line(alert["alert.count"])))
        return found

    def time(self, alert: Event) -> str:
        """Write when it was, in the site's zone."""
        try:
            return parse_time(alert["@timestamp"]).astimezone(self.zone).strftime("%d/%m/%Y %H:%M:%S %z")
        except (ValueError, OverflowError, KeyError):
            return "-"

    def address(self) -> str:
        """Return where people find it: the page opens an alert, and lists those of a digest by their highest level."""
        if self.kind != DIGEST:
            return f"{self.link.rstrip('/')}/#alert/{quote(self.alerts[0]['event.id'], safe='')}"
        level = f"&level={self.level}" if self.level in LEVELS else ""
        return f"{self.link.rstrip('/')}/#view=alerts{level}"

    def _digest(self) -> list[str]:
        ordered = sorted(self.alerts, key=lambda alert: -_rank(alert.get("rule.level", "")))
        lines = [say("delivery.is_digest", count=len(ordered)), ""]
        for alert in ordered[:_NAMED]:
            rule = one_line(spoken(alert, "rule.name", self.language))
            about = ", ".join(whom(alert)[:5])
            lines.append(f"[{level_name(alert['rule.level']).upper()}] {self.time(alert)} {rule} {about}".rstrip())
        counted = Counter(one_line(spoken(alert, "rule.name", self.language)) for alert in ordered[_NAMED:])
        lines += [say("delivery.more_of", count=count, rule=rule) for rule, count in counted.most_common()]
        if self.link:
            lines += ["", say("delivery.look", link=self.address())]
        return lines


def heartbeat_lines(facts: Mapping[str, Any]) -> list[str]:
    """Say that all works, or what does not, and what was in the last day."""
    channels = ", ".join(facts.get("failing") or ()) or "-"
    quiet = ", ".join(facts.get("quiet") or ()) or "-"
    silent = ", ".join(facts.get("silent") or ()) or "-"
    return [
        say("delivery.heartbeat", since=facts.get("since", "-"), until=facts.get("until", "-")),
        "",
        say("delivery.heartbeat_alerts", count=facts.get("alerts", 0), open=facts.get("open", 0)),
        say("delivery.heartbeat_messages", sent=facts.get("sent", 0), waiting=facts.get("waiting", 0),
            dead=facts.get("dead", 0)),
        say("delivery.heartbeat_channels", channels=channels),
        say("delivery.heartbeat_sources", sources=quiet),
        say("delivery.heartbeat_stages", stages=silent),
        say("delivery.heartbeat_letters", count=facts.get("dead_letters", 0)),
    ]  # fmt: skip


def whom(alert: Event) -> list[str]:
    """Return which machines, people and addresses an alert is about; of our own alerts first which channel, source or
    stage."""
    values = [value for _, value in named(alert)]
    about = own_about(alert)
    return [about, *values] if about else values


def named(alert: Event) -> list[tuple[str, str]]:
    """Return the same with the names of their fields, as an alert has them."""
    return [(name, one_line(alert[name])) for name in _FIELDS if alert.get(name)]


def own_about(alert: Event) -> str:
    """Return what an alert of ours about Hải Đăng itself is about (`pipeline.own_alerts`)."""
    matches = alert.get("alert.matches")
    if alert.get("event.dataset") != DATASET or not isinstance(matches, list) or not matches:
        return ""
    return one_line(matches[0].get("value") or "") if isinstance(matches[0], dict) else ""


def for_programs(alert: Event) -> Event:
    """Return an alert as programs get it: with a bounded part of its evidence."""
    evidence = alert.get("alert.evidence") or []
    kept = [each for each in evidence[:_EVIDENCE] if len(repr(each)) <= _LONGEST_EVIDENCE]
    return {**alert, "alert.evidence": kept}


def spoken(alert: Event, name: str, language: str) -> str:
    """Return a text of an alert in a language, where it has it."""
    return str(alert.get(f"{name}_{language}") or alert.get(name) or "")


def level_name(level: str) -> str:
    """Return a level in the language that is spoken."""
    return say(f"show.level.{level}") if level in LEVELS else one_line(level, 20)


def one_line(value: Any, most: int = _LONGEST_VALUE) -> str:
    """Return a value as one line of at most so many characters; control characters become spaces."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    plain = "".join(sign if sign.isprintable() else " " for sign in text[: most + 1])
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)

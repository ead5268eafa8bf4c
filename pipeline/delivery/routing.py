"""Routing: alerts enter, a message for each channel that gets one leaves, in the transaction of the alerts' rows."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from pipeline.delivery import ALERT, ESCALATION, TEST, TEST_CHANNEL, TEST_RULE, WAITING
from pipeline.event import Event, event_id
from pipeline.queue import SUPPRESSED
from pipeline.queue.suppressions import has, of_rule
from pipeline.settings import Settings
from pipeline.settings.delivery import DAYS, FOR_PROGRAMS, LEVELS, Route, Shift, hours_of
from pipeline.state import insert_new
from pipeline.state.tables import deliveries

#: What every id of a message begins with, as Standard Webhooks has it.
_PREFIX = "msg_"


def message_id(*parts: str) -> str:
    """Return the id of a message: of the same parts always the same."""
    return _PREFIX + event_id("message", *parts)


def zone_of(settings: Settings) -> tzinfo | None:
    """Return the zone of hours and days; None for this machine's."""
    return None if settings.delivery.timezone == "local" else ZoneInfo(settings.delivery.timezone)


class Routing:
    """The routes of the settings. `clock` gives seconds since 1970."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._routes = settings.routes
        self._roster = settings.roster
        self._kinds = {channel.name: channel.kind for channel in settings.channels}
        self._zone = zone_of(settings)
        self._clock = clock

    def enqueue(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put down the messages about new alerts, in the transaction of their rows."""
        if not self._kinds:
            return
        now = self._clock()
        here = datetime.fromtimestamp(now, self._zone)
        messages: dict[str, dict[str, Any]] = {}
        for row in rows:
            if row["status"] != SUPPRESSED:
                for made in self._messages(row, now, here):
                    messages.setdefault(made["id"], made)
        insert_new(connection, deliveries, list(messages.values()), key=["id"])

    def _messages(self, row: Mapping[str, Any], now: float, here: datetime) -> Iterable[dict[str, Any]]:
        alert = row["document"]
        if alert["rule.id"] == TEST_RULE:
            if (only := alert.get(TEST_CHANNEL)) in self._kinds:
                yield message(TEST, only, row, "", now)
            return
        for route in self._routes:
            if not takes(route, alert, row["source"], here):
                continue
            for channel in self._channels(route, here):
                if self._wants(route, channel, row):
                    yield message(ALERT, channel, row, route.name, now)
            for channel in route.escalate_to:
                if row.get("opens", True):
                    yield message(ESCALATION, channel, row, route.name, now, route.escalate_minutes)

    def _channels(self, route: Route, here: datetime) -> list[str]:
        if not route.on_duty:
            return route.channels
        return on_duty(self._roster, route.on_duty, here) or route.channels

    def _wants(self, route: Route, channel: str, row: Mapping[str, Any]) -> bool:
        """Say whether a channel gets each alert, or this one opens a group."""
        each = route.each if route.each != "auto" else "alert" if self._kinds[channel] in FOR_PROGRAMS else "group"
        return each == "alert" or bool(row.get("opens", True))


def message(
    kind: str, channel: str, row: Mapping[str, Any], route: str, now: float, wait_minutes: float = 0
) -> dict[str, Any]:
    """Return the row of a message about an alert."""
    return new_row(
        message_id(kind, channel, row["id"]), kind, channel, now,
        level=row["level"], alert=row["id"], thread=_thread(row), route=route,
        body={"minutes": wait_minutes} if wait_minutes else {}, due=now + wait_minutes * 60,
    )  # fmt: skip


def new_row(identifier: str, kind: str, channel: str, now: float, **more: Any) -> dict[str, Any]:
    """Return the row of a message that waits to be sent, now and about no alert where nothing else is said."""
    return {
        "id": identifier, "channel": channel, "kind": kind, "status": WAITING, "level": "informational", "alert": "",
        "thread": "", "digest": "", "route": "", "body": {}, "created": now, "due": now, "planned": now,
        "attempts": 0, "tried": 0.0, "ended": 0.0, "answer": "", **more,
    }  # fmt: skip


def _thread(row: Mapping[str, Any]) -> str:
    """Return what the messages about the same have in common: the case, else the group."""
    case = row.get("case_id") or row["document"].get("alert.case")
    return f"case-{case}"[:24] if isinstance(case, int) else str(row.get("group_id") or row["id"])[:24]


def takes(route: Route, alert: Event, source: str, here: datetime) -> bool:
    """Say whether a route takes an alert at this moment."""
    return (
        is_at_least(alert["rule.level"], route.level)
        and (not route.rules or any(of_rule(alert, rule) for rule in route.rules))
        and (not route.tags or any(has(alert.get("tags"), tag) for tag in route.tags))
        and (not route.sources or source in route.sources)
        and all(has(alert.get(name), wanted) for name, wanted in route.where.items())
        and begun(route.hours, route.days, here) is not None
    )


def is_at_least(level: str, least: str) -> bool:
    """Say whether a level is this one or above; one that nobody knows is above all: better told than not."""
    return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(least)


def begun(hours: str, days: Sequence[str], here: datetime) -> date | None:
    """Return the day on which hours began that hold now, one of `days`; None where none do.

    Hours such as `22:00-06:00` go on until the next morning, and are of the day before then.
    """
    ends = hours_of(hours)
    today = here.date()
    if ends is None:
        day: date | None = today
    else:
        first, last, now = *ends, here.time()
        if first < last:
            day = today if first <= now < last else None
        else:
            day = today if now >= first else today - timedelta(days=1) if now < last else None
    return day if day is not None and (not days or DAYS[day.weekday()] in days) else None


def on_duty(roster: Sequence[Shift], name: str, here: datetime) -> list[str]:
    """Return the channels of whoever is on duty now, in the order of the settings."""
    found: dict[str, None] = {}
    for shift in roster:
        if shift.roster == name and (day := begun(shift.hours, shift.days, here)) is not None:
            days = (day - shift.first).days if shift.first else 0
            if days >= 0 and days % shift.every_days == 0:
                found.update(dict.fromkeys(shift.channels))
    return list(found)

"""Kinds of reports enter, the time that one is about leaves: whole days in the zone of the site."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as clock
from typing import Any

from pipeline.event import event_id, format_time
from pipeline.messages import HaidangError
from sharing.reports import DAILY, HALF_YEARLY, KINDS, WEEKLY

_HALF = 6


@dataclass(frozen=True, slots=True)
class Period:
    """A time, from its beginning to (not including) its end, in the zone in which it is told."""

    kind: str
    since: datetime
    until: datetime

    @property
    def id(self) -> str:
        """The same for the same period."""
        return event_id("report", self.kind, self.since.isoformat(), self.until.isoformat())

    @property
    def last_day(self) -> date:
        """The last day that is in it."""
        return self.until.date() - timedelta(days=1)

    def before(self) -> "Period":
        """Return the period before, of the same length."""
        if self.kind == HALF_YEARLY:
            return last(self.kind, self.since)
        return Period(self.kind, self.since - (self.until - self.since), self.since)

    @property
    def range(self) -> dict[str, Any]:
        """The condition of a search for it."""
        return {"range": {"@timestamp": {"gte": format_time(self.since), "lt": format_time(self.until)}}}


def wanted(kind: str, first: date | None, final: date | None, now: datetime) -> Period:
    """Return the period that somebody asks for: from the first to the final day, or the last whole one.

    Raises:
        HaidangError: only one of the days is given, they are the wrong way round, or nothing of it has been yet.
    """
    if first is None and final is None:
        return last(kind, now)
    if first is None or final is None:
        raise HaidangError("reports.both_days")
    if first > final:
        raise HaidangError("reports.no_period", since=f"{first:%d/%m/%Y}", until=f"{final:%d/%m/%Y}")
    if first > now.date():
        raise HaidangError("reports.in_future", since=f"{first:%d/%m/%Y}", today=f"{now:%d/%m/%Y}")
    return between(kind, first, final + timedelta(days=1), now.tzinfo)


def last(kind: str, now: datetime) -> Period:
    """Return the last whole period of a kind before a moment, in the moment's zone.

    Raises:
        HaidangError: there is no such kind.
    """
    day, zone = now.date(), now.tzinfo
    if kind == DAILY:
        return between(kind, day - timedelta(days=1), day, zone)
    if kind == WEEKLY:
        monday = day - timedelta(days=day.weekday())
        return between(kind, monday - timedelta(days=7), monday, zone)
    if kind != HALF_YEARLY:
        raise HaidangError("reports.no_kind", value=kind[:50], expected=", ".join(KINDS))
    if day.month > _HALF:
        return between(kind, date(day.year, 1, 1), date(day.year, 7, 1), zone)
    return between(kind, date(day.year - 1, 7, 1), date(day.year, 1, 1), zone)


def between(kind: str, first: date, end: date, zone: tzinfo | None) -> Period:
    """Return the period from the first day to (not including) the end."""
    since, until = (datetime.combine(day, clock(0), zone) for day in (first, end))
    return Period(kind, since.astimezone(zone), until.astimezone(zone))

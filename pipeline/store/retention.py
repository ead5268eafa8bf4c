"""Retention: the store's indexes and the settings enter, what may go goes, and what should not go yet is said.

An index goes when it is older than `[store] retention_days`, or when all are larger than `[store] max_gb`, the oldest
first. To make room, nothing goes that is younger than the months that the site's level demands (docs/operations.md).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.event import Event
from pipeline.own_alerts import own_alert
from pipeline.settings import Settings
from pipeline.store import Index, Writer

#: Days of the months for which a system of each level keeps its logs: 1, 3, 6 and 12 months from level 2 to 5.
DAYS_OF_LEVEL = {1: 0, 2: 31, 3: 92, 4: 184, 5: 366}


@dataclass(slots=True)
class Outcome:
    """The indexes that went, and the bytes above the limit of what may not go yet."""

    removed: list[Index] = field(default_factory=list)
    too_much: int = 0


def days_of_level(settings: Settings) -> int:
    """Return for how many days the site's level demands that events are kept; 0 where it demands nothing."""
    return DAYS_OF_LEVEL[settings.level] if settings.level is not None else 0


def is_too_short(settings: Settings) -> bool:
    """Say whether events are to be kept for less long than the site's level demands."""
    return settings.store.retention_days < days_of_level(settings)


def expire(writer: Writer, settings: Settings, now: datetime) -> Outcome:
    """Delete the indexes that may go."""
    outcome = Outcome()
    kept = writer.indexes()
    too_old = _micros(now, settings.store.retention_days)
    may_go = _micros(now, max(days_of_level(settings), 1))  # today's is never deleted
    limit = settings.store.max_gb * 1_000_000_000
    size = sum(index.size for index in kept)
    for index in kept:
        too_large = bool(limit) and size > limit
        if index.latest <= too_old or (too_large and index.latest <= may_go):
            writer.remove(index.name)
            outcome.removed.append(index)
            size -= index.size
    outcome.too_much = int(max(0, size - limit)) if limit else 0
    return outcome


def retention_alerts(settings: Settings, outcome: Outcome, now: datetime) -> list[Event]:
    """Return what somebody must know: events that go too early by the settings, and room that is missing."""
    alerts = []
    days = days_of_level(settings)
    if is_too_short(settings):
        reason = f"[store] retention_days = {settings.store.retention_days}, level {settings.level}: {days}"
        alerts.append(own_alert("retention.too_short", "store.retention_days", reason, settings.observer))
    if outcome.too_much:
        reason = f"[store] max_gb = {settings.store.max_gb:g}, level {settings.level}: {days} days, "
        reason += f"{outcome.too_much / 1e9:.1f} GB more"
        once = f"{settings.observer} {now:%Y-%m-%d}"
        alerts.append(own_alert("retention.too_much", "store.max_gb", reason, settings.observer, "high", once))
    return alerts


def _micros(now: datetime, days: int) -> int:
    """Return the moment that lies so many days back, in microseconds since 1970."""
    return int((now - timedelta(days=days)).timestamp()) * 1_000_000

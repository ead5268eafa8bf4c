"""The division of events by time: a moment enters, the name of the index that holds it leaves, and back."""

from datetime import UTC, datetime, timedelta

#: An event this much older than now goes to the index of its month: history is sparse, and an index costs files.
_DAYS_APART = timedelta(days=31)
DAY_MICROS = 86_400_000_000


def index_name(micros: int, now: datetime, existing: set[str]) -> str:
    """Return the index that an event of this time belongs to: `2026.11.24`, or `2024.03` for history.

    An event always finds the index that holds its equals: a day that has an index of its own keeps it.
    """
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    day = moment.strftime("%Y.%m.%d")
    return day if day in existing or now - moment < _DAYS_APART else moment.strftime("%Y.%m")


def covers(name: str) -> tuple[int, int] | None:
    """Return the microseconds [from, to) that an index may hold, or None for one that is not cut by time."""
    parts = name.split(".")
    if not all(part.isdigit() for part in parts):
        return None
    start = datetime(int(parts[0]), int(parts[1]), int(parts[2]) if len(parts) == 3 else 1, tzinfo=UTC)
    end = start + timedelta(days=1) if len(parts) == 3 else (start + timedelta(days=32)).replace(day=1)
    return int(start.timestamp()) * 1_000_000, int(end.timestamp()) * 1_000_000

"""Time stamps of logs in, UTC text of the event contract out ("2026-11-24T05:17:44.123Z").

Every function gives None for what is no time stamp; none raises.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}

AHEAD_SECONDS = 86_400
"""A stamp without a year may be this far ahead of its receipt (clocks and zones that are off)."""

YEAR_SECONDS = 365 * 86_400

LEAP_YEARS_BACK = 8
"""The longest way from a 29 February to the one before (1896 to 1904)."""

CACHED_SECONDS = 4096
"""Distinct second strings kept: several sources some minutes apart."""

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d{0,9})?"
    r" ?(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_LEADING = re.compile(
    r"\[?(\d{4})[-/](\d\d)[-/](\d\d)[T ]"
    r"(\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d)?)(?!\d)",
    re.ASCII,
)
_MONTH_FIRST = re.compile(
    r"([A-Z][a-z]{2}) {1,2}(\d{1,2})(?: (\d{4}))?,? (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?: (\d{4}))?(?: (Z|UTC|GMT|[+-]\d\d:?\d\d))?",
    re.ASCII,
)
_EPOCH = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?", re.ASCII)


def to_text(moment: datetime) -> str:
    """An aware moment → UTC text with milliseconds, or microseconds where it has them."""
    utc = moment.astimezone(UTC)
    spec = "microseconds" if utc.microsecond % 1000 else "milliseconds"
    return utc.isoformat(timespec=spec)[:-6] + "Z"


def from_iso(text: str, timezone: tzinfo) -> str | None:
    """ISO 8601 / RFC 3339, "T" or a space, an optional fraction and offset."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, offset = match.groups()
    second = _utc_second(day, time, offset, timezone)
    if second is None:
        return None
    return f"{second}.{fraction.ljust(3, '0')}Z" if fraction else second + ".000Z"


@lru_cache(maxsize=CACHED_SECONDS)
def _utc_second(day: str, time: str, offset: str | None, timezone: tzinfo) -> str | None:
    try:
        if offset is None:
            moment = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=timezone)
        elif offset in ("Z", "z", "UTC", "GMT"):
            moment = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(f"{day}T{time}{offset}")
        return moment.astimezone(UTC).isoformat()[:19]
    except (ValueError, OverflowError):
        return None


def from_epoch(value: float | int | str) -> str | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if _EPOCH.fullmatch(value) is None:
            return None
        value = float(value) if "." in value else int(value)
    size = abs(value)
    try:
        if size < 1e11:
            return to_text(_at(int(value * 1_000_000)))
        if size < 1e14:
            return to_text(_at(int(value * 1000)))
        return to_text(_at(int(value) if size < 1e17 else int(value) // 1000))
    except (ValueError, OverflowError):
        return None


def from_month_first(text: str, timezone: tzinfo, received: datetime) -> str | None:
    """ "Nov 24 05:17:44", with or without a year (behind the day or the time), fraction and zone;
    a missing year is chosen by `nearest_year`."""
    match = _MONTH_FIRST.fullmatch(text)
    if match is None:
        return None
    month, day, year, hour, minute, second, fraction, late_year, offset = match.groups()
    try:
        zone = timezone if offset is None else _zone(offset)
        if year is None and late_year is None:
            whole = nearest_year(f"{month} {int(day):2d} {hour}:{minute}:{second}", zone, received)
        else:
            moment = datetime(
                int(year or late_year),
                MONTHS[month],
                int(day),
                int(hour),
                int(minute),
                int(second),
                tzinfo=zone,
            )
            whole = to_text(moment)
    except (KeyError, ValueError, OverflowError):
        return None
    if whole is None or fraction is None:
        return whole
    return f"{whole[:19]}.{fraction.ljust(3, '0')}Z"


def leading(text: str, timezone: tzinfo) -> str | None:
    """The stamp that a program's own log line begins with: "2026-11-24 05:17:44,123 INFO …",
    "[2026-11-24T05:17:44Z] …", "2026/11/24 05:17:44 …"."""
    match = _LEADING.match(text)
    if match is None:
        return None
    year, month, day, rest = match.groups()
    return from_iso(f"{year}-{month}-{day} {rest}", timezone)


def nearest_year(stamp: str, timezone: tzinfo, received: datetime) -> str | None:
    """RFC 3164's "Nov 24 05:17:44" → the last such moment not more than a day after `received`.

    A 29 February goes back to the last leap year."""
    year, limit = _anchor(received)
    found = _in_year(stamp, year, timezone)
    ahead = found is not None and found[1] > limit
    if ahead:
        found = _in_year(stamp, year - 1, timezone)
    if found is not None and limit - YEAR_SECONDS < found[1] <= limit:
        return found[0]
    for candidate in range(year - 1 if ahead else year + 1, year - LEAP_YEARS_BACK - 1, -1):
        found = _in_year(stamp, candidate, timezone)
        if found is not None and found[1] <= limit:
            return found[0]
    return None


@lru_cache(maxsize=64)
def _anchor(received: datetime) -> tuple[int, float]:
    """Year and latest credible moment; records that come together share their time of receipt."""
    return received.year, received.timestamp() + AHEAD_SECONDS


@lru_cache(maxsize=CACHED_SECONDS)
def _in_year(stamp: str, year: int, timezone: tzinfo) -> tuple[str, float] | None:
    """The stamp in one year → (text, seconds since 1970)."""
    try:
        moment = datetime(
            year,
            MONTHS[stamp[:3]],
            int(stamp[4:6]),
            int(stamp[7:9]),
            int(stamp[10:12]),
            int(stamp[13:15]),
            tzinfo=timezone,
        )
        return to_text(moment), moment.timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _at(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _zone(offset: str) -> tzinfo:
    """ "+07:00", "+0700", "+07", "Z", "UTC" → tzinfo; ValueError for an offset of a day or more."""
    match = _OFFSET.fullmatch(offset)
    if match is None:
        return UTC
    sign, hours, minutes = match.groups()
    return datetime.fromisoformat(f"2000-01-01T00:00:00{sign}{hours}:{minutes or '00'}").tzinfo or UTC

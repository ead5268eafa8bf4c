"""Times as an answer writes them: microseconds and a format's name or pattern enter, a text leaves.

Formats are those of Elasticsearch's `format`: names, or patterns of Java's `DateTimeFormatter` made of year, month,
day, hour, minute, second and millisecond.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from pipeline.event import from_micros
from pipeline.store import SearchError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Names under which ISO 8601 goes, as every event has it.
_ISO = frozenset((
    "strict_date_optional_time", "date_optional_time", "strict_date_optional_time_nanos", "date_time",
    "strict_date_time", "iso8601",
))  # fmt: skip
_LETTERS = {
    "yyyy": "%Y", "uuuu": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%f",
}  # fmt: skip
_TOKEN = re.compile(r"([A-Za-z])\1*|'([^']*)'|[^A-Za-z']+")
_LONGEST = 100


def check_format(form: Any, place: str) -> None:
    """Look at a format.

    Raises:
        SearchError: it is none that is known.
    """
    if form is None:
        return
    if not isinstance(form, str) or _writer(form) is None:
        known = "epoch_millis, epoch_second, strict_date_optional_time, yyyy-MM-dd HH:mm:ss.SSS"
        raise SearchError("search.unknown_key", place=f"{place}.format", value=repr(form)[:_LONGEST], known=known)


def written(micros: int, form: str | None = None, zone: tzinfo = UTC) -> str:
    """Return a moment in a format that was looked at; ISO 8601 in UTC without one."""
    writer = None if form is None else _writer(form)
    return from_micros(micros) if writer is None else writer(micros, zone)


@lru_cache(maxsize=256)
def _writer(form: str) -> Callable[[int, tzinfo], str] | None:
    first = form.partition("||")[0]  # of several, times are written in the first
    if first == "epoch_millis":
        return lambda micros, _zone: str(micros // 1000)
    if first == "epoch_second":
        return lambda micros, _zone: str(micros // 1_000_000)
    if first in _ISO:
        return lambda micros, zone: (
            from_micros(micros) if zone is UTC else _at(micros, zone).isoformat("T", "milliseconds")
        )
    if len(first) > _LONGEST:
        return None
    parts = []
    position = 0
    for token in _TOKEN.finditer(first):
        text = token.group()
        if token.start() != position or (token[1] and text not in _LETTERS):
            return None
        parts.append(_LETTERS.get(text) or (token[2] if text.startswith("'") else text).replace("%", "%%"))
        position = token.end()
    if position != len(first) or not parts:
        return None
    return lambda micros, zone: "".join(_part(part, _at(micros, zone)) for part in parts)


def _at(micros: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=micros)).astimezone(zone)


def _part(part: str, moment: datetime) -> str:
    text = moment.strftime(part)
    return text[:3] if part == "%f" else text.rjust(4, "0") if part == "%Y" else text

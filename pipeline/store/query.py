"""The tree of conditions that a search is: the classes of its nodes, and how fields and values become them.

Comparing texts ignores case and diacritics; an address field takes a block of addresses. `query_dsl.py` and
`query_string.py` make trees of what people and programs write.
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.event import to_micros
from pipeline.store import SearchError

Value = str | int | float | bool

TIME = "@timestamp"
#: Fields whose words, not whole values, are indexed.
TEXT_FIELDS = frozenset({"message", "event.original"})
#: Milliseconds as a text: Elasticsearch takes one of more than four digits for them, and four for a year.
MILLIS = re.compile(r"-?\d{5,15}(\.\d{1,3})?")
_NOW = re.compile(r"now(?:([+-])(\d{1,6})([smhdw]))?")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Condition:
    """A node of the tree; see the classes below."""


@dataclass(frozen=True, slots=True)
class All(Condition):
    """Every event."""


@dataclass(frozen=True, slots=True)
class Nothing(Condition):
    """No event."""


@dataclass(frozen=True, slots=True)
class Equals(Condition):
    """`field` has one of `values` (a list: any element)."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Within(Condition):
    """`field` lies between the bounds; None is no bound. For `@timestamp` the bounds are microseconds since 1970."""

    field: str
    low: Value | None = None
    high: Value | None = None
    include_low: bool = True
    include_high: bool = True


@dataclass(frozen=True, slots=True)
class InNetwork(Condition):
    """`field` is an address of the block (`10.0.0.0/8`, `2001:db8::/32`)."""

    field: str
    network: str


@dataclass(frozen=True, slots=True)
class Exists(Condition):
    """`field` has a value, or with `below` a field below it: of an event with `a.b` alone, `a` has one only then."""

    field: str
    below: bool = True


@dataclass(frozen=True, slots=True)
class Like(Condition):
    """The whole value of `field` (None: a word of the text) fits the pattern of `*` and `?`; `\\` escapes."""

    field: str | None
    pattern: str


@dataclass(frozen=True, slots=True)
class Phrase(Condition):
    """The words of `text` stand in the event's text, one after the other."""

    text: str


@dataclass(frozen=True, slots=True)
class Identifiers(Condition):
    """`event.id` is one of these."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Combined(Condition):
    """All of `must`, none of `must_not`, and at least `least` of `should`."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()
    least: int = 0


def time_span(condition: Condition) -> tuple[int | None, int | None]:
    """Return the microseconds [from, to] outside of which the condition matches nothing; None is no bound."""
    if isinstance(condition, Within) and condition.field == TIME:
        low, high = condition.low, condition.high
        return (int(low) if low is not None else None, int(high) if high is not None else None)
    if isinstance(condition, Combined):
        spans = [time_span(part) for part in condition.must]
        lows = [low for low, _ in spans if low is not None]
        highs = [high for _, high in spans if high is not None]
        return (max(lows, default=None), min(highs, default=None))
    return (None, None)


def equals(name: str, values: tuple[Value, ...]) -> Condition:
    """Return the condition that `name` is one of `values`, by the nature of the field."""
    if name == TIME:
        return any_of(tuple(Within(TIME, moment(value, TIME), moment(value, TIME)) for value in values))
    if name == "event.id":
        return Identifiers(tuple(str(value) for value in values))
    if name in TEXT_FIELDS:
        return any_of(tuple(Phrase(str(value)) for value in values))
    networks = tuple(InNetwork(name, str(value)) for value in values if is_network(value))
    if networks:
        others = tuple(value for value in values if not is_network(value))
        return any_of((*networks, *([Equals(name, others)] if others else [])))
    return Equals(name, values)


def is_network(value: Value) -> bool:
    """Say whether a value is a block of addresses."""
    if not isinstance(value, str) or "/" not in value:
        return False
    try:
        ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name, such as Asia/Ho_Chi_Minh, or its distance from UTC, such as +07:00.

    Raises:
        SearchError: there is none.
    """
    if name in ("UTC", "utc", "Z"):
        return UTC
    try:
        if name[:1] in ("+", "-"):
            return datetime.strptime(name, "%z").tzinfo or UTC
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SearchError("search.unknown_zone", value=name[:100]) from error


def moment(value: Any, place: str) -> int:
    """Return a time as microseconds since 1970: ISO 8601 text, `now`, `now-15m` (s m h d w), or milliseconds.

    Raises:
        SearchError: it is neither.
    """
    if isinstance(value, str) and MILLIS.fullmatch(value):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return round(value * 1000)
        except (ValueError, OverflowError) as error:
            raise SearchError("search.not_a_time", place=place, value=shortened(value)) from error
    relative = _NOW.fullmatch(str(value))
    if relative:
        sign, count, unit = relative.groups()
        offset = int(count) * _UNIT_SECONDS[unit] if sign else 0
        return int((time.time() + (offset if sign == "+" else -offset)) * 1_000_000)
    try:
        return to_micros(str(value))
    except ValueError as error:
        raise SearchError("search.not_a_time", place=place, value=shortened(value)) from error


def within(name: str, low: Any, high: Any, include_low: bool, include_high: bool, place: str) -> Condition:
    """Return the condition that `name` lies between two bounds; of `@timestamp` they are times."""
    if name == TIME:
        low = None if low is None else moment(low, place) + (0 if include_low else 1 + _rest(low))
        high = None if high is None else moment(high, place) + (_rest(high) if include_high else -1)
        return Within(TIME, low, high)
    return Within(name, low, high, include_low, include_high)


def _rest(value: Any) -> int:
    """Return the microseconds after its first that a bound in whole milliseconds stands for."""
    whole = isinstance(value, int) or (isinstance(value, str) and value.lstrip("-").isdigit() and len(value) > 4)
    return 999 if whole else 0


def like(name: str, pattern: str) -> Condition:
    """Return the condition that a value (or, of a text field, a word) fits a pattern."""
    return Like(None if name in TEXT_FIELDS else name, pattern)


def escape(text: str) -> str:
    """Return a pattern that only `text` fits."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def any_of(parts: tuple[Condition, ...]) -> Condition:
    """Return the condition that one of several holds."""
    return parts[0] if len(parts) == 1 else Combined(should=parts, least=1)


def shortened(value: Any) -> str:
    """Return a value as people see it in a fault."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "…"

"""The query DSL: Elasticsearch's query JSON enters, a checked tree of plain conditions leaves.

The subset (names and meaning as in Elasticsearch 8's Query DSL reference): `match_all`, `match_none`, `term`, `terms`,
`range`, `exists`, `prefix`, `wildcard`, `ids`, `match`, `match_phrase`, `bool`, `query_string`. Comparing texts
ignores case and diacritics; `term` on an address field takes a CIDR block.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.event import to_micros
from pipeline.store import SearchError

Value = str | int | float | bool

#: How deep conditions may nest, and how many there may be in one query.
MAX_DEPTH = 30
MAX_CONDITIONS = 2_000
TIME = "@timestamp"
#: Fields whose words, not whole values, are indexed.
TEXT_FIELDS = frozenset({"message", "event.original"})


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


@dataclass(slots=True)
class _Limits:
    left: int = MAX_CONDITIONS
    places: list[str] = field(default_factory=list)

    def enter(self, place: str) -> None:
        self.left -= 1
        self.places.append(place)
        if self.left < 0:
            raise SearchError("search.too_many_conditions", limit=MAX_CONDITIONS)
        if len(self.places) > MAX_DEPTH:
            raise SearchError("search.too_deep", limit=MAX_DEPTH)

    def leave(self) -> None:
        self.places.pop()

    @property
    def place(self) -> str:
        return ".".join(self.places)


def parse_query(body: Any) -> Condition:
    """Read a query of the DSL; a condition is returned as it is.

    Raises:
        SearchError: names the place, what stands there and what is expected.
    """
    return body if isinstance(body, Condition) else _parse(body, _Limits())


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


def _parse(body: Any, limits: _Limits) -> Condition:
    if not isinstance(body, dict) or len(body) != 1:
        raise SearchError(
            "search.one_query", place=limits.place or "query", value=_short(body), known=", ".join(_PARSERS)
        )
    ((kind, content),) = body.items()
    parser = _PARSERS.get(kind)
    if parser is None:
        raise SearchError("search.unknown_query", place=limits.place or "query", value=kind, known=", ".join(_PARSERS))
    limits.enter(kind)
    condition = parser(content, limits)
    limits.leave()
    return condition


def _field_and_value(content: Any, limits: _Limits, inner: str) -> tuple[str, Any, dict[str, Any]]:
    """Read `{"field": value}` or `{"field": {inner: value, option: …}}`."""
    if not isinstance(content, dict) or len(content) != 1:
        raise SearchError("search.one_field", place=limits.place, value=_short(content))
    ((name, value),) = content.items()
    if isinstance(value, dict):
        if inner not in value:
            raise SearchError("search.missing", place=f"{limits.place}.{name}", name=inner)
        return name, value[inner], {key: item for key, item in value.items() if key != inner}
    return name, value, {}


def equals(name: str, values: tuple[Value, ...]) -> Condition:
    """Return the condition that `name` is one of `values`, by the nature of the field."""
    if name == TIME:
        return _any(tuple(Within(TIME, moment(value, TIME), moment(value, TIME)) for value in values))
    if name == "event.id":
        return Identifiers(tuple(str(value) for value in values))
    if name in TEXT_FIELDS:
        return _any(tuple(Phrase(str(value)) for value in values))
    networks = tuple(InNetwork(name, str(value)) for value in values if is_network(value))
    if networks:
        others = tuple(value for value in values if not is_network(value))
        return _any((*networks, *([Equals(name, others)] if others else [])))
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


_NOW = re.compile(r"now(?:([+-])(\d{1,6})([smhdw]))?")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


#: Milliseconds as a text: Elasticsearch takes one of more than four digits for them, and four for a year.
_MILLIS = re.compile(r"-?\d{5,15}(\.\d{1,3})?")
#: What `format` of a range may say of its bounds; several are parted by `||`.
_MILLIS_FORMAT, _SECONDS_FORMAT = "epoch_millis", "epoch_second"
_FORMATS = (
    _MILLIS_FORMAT, _SECONDS_FORMAT, "strict_date_optional_time", "strict_date_optional_time_nanos",
    "date_optional_time", "date_time", "strict_date_time",
)  # fmt: skip


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
    if isinstance(value, str) and _MILLIS.fullmatch(value):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return round(value * 1000)
        except (ValueError, OverflowError) as error:
            raise SearchError("search.not_a_time", place=place, value=_short(value)) from error
    relative = _NOW.fullmatch(str(value))
    if relative:
        sign, count, unit = relative.groups()
        offset = int(count) * _UNIT_SECONDS[unit] if sign else 0
        return int((time.time() + (offset if sign == "+" else -offset)) * 1_000_000)
    try:
        return to_micros(str(value))
    except ValueError as error:
        raise SearchError("search.not_a_time", place=place, value=_short(value)) from error


def _term(content: Any, limits: _Limits) -> Condition:
    name, value, _ = _field_and_value(content, limits, "value")
    return equals(name, (_scalar(value, limits),))


def _terms(content: Any, limits: _Limits) -> Condition:
    name, values, _ = _field_and_value(content, limits, "values")
    if not isinstance(values, list) or len(values) > 65_536:
        raise SearchError("search.want_list", place=f"{limits.place}.{name}", value=_short(values))
    return equals(name, tuple(_scalar(value, limits) for value in values)) if values else Nothing()


def _range(content: Any, limits: _Limits) -> Condition:
    if not isinstance(content, dict) or len(content) != 1 or not isinstance(next(iter(content.values())), dict):
        raise SearchError("search.one_field", place=limits.place, value=_short(content))
    ((name, bounds),) = content.items()
    known = {"gt", "gte", "lt", "lte", "from", "to", "format", "time_zone", "boost"}
    _known_keys(bounds, known, f"{limits.place}.{name}")
    for value in bounds.values():
        if value is not None:
            _scalar(value, limits)
    if name == TIME:
        bounds = _in_format(bounds, limits.place)
    low = bounds.get("gte", bounds.get("gt", bounds.get("from")))
    high = bounds.get("lte", bounds.get("lt", bounds.get("to")))
    return within(name, low, high, "gt" not in bounds, "lt" not in bounds, limits.place)


def _in_format(bounds: dict[str, Any], place: str) -> dict[str, Any]:
    """Return bounds of a time as `moment` reads them, from what `format` and `time_zone` say of them."""
    formats = str(bounds.get("format") or "").split("||")
    if formats != [""] and (unknown := set(formats) - set(_FORMATS)):
        value = sorted(unknown)[0][:100]
        raise SearchError("search.unknown_key", place=f"{place}.format", value=value, known=", ".join(_FORMATS))
    zone = zone_of(str(bounds["time_zone"])) if bounds.get("time_zone") else None
    told = {name: value for name, value in bounds.items() if name not in ("format", "time_zone", "boost")}
    if formats == [_SECONDS_FORMAT]:
        told = {name: _seconds(value, place) for name, value in told.items()}
    elif zone is not None:
        told = {name: _local(value, zone) for name, value in told.items()}
    return told


def _seconds(value: Any, place: str) -> Any:
    try:
        return None if value is None else float(value) * 1000
    except (ValueError, OverflowError) as error:
        raise SearchError("search.not_a_time", place=place, value=_short(value)) from error


def _local(value: Any, zone: tzinfo) -> Any:
    """Return an ISO 8601 text without a distance from UTC as one with the zone's."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) and not _MILLIS.fullmatch(value) else None
    except ValueError:
        return value
    return value if read is None or read.tzinfo else read.replace(tzinfo=zone).isoformat()


def _known_keys(content: dict[str, Any], known: Iterable[str], place: str) -> None:
    for key in content:
        if key not in known:
            raise SearchError("search.unknown_key", place=place, value=str(key)[:100], known=", ".join(sorted(known)))


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


def _exists(content: Any, limits: _Limits) -> Condition:
    name = content.get("field") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise SearchError("search.missing", place=limits.place, name="field")
    return All() if name in (TIME, "event.id") else Exists(name)


def _prefix(content: Any, limits: _Limits) -> Condition:
    name, value, _ = _field_and_value(content, limits, "value")
    return like(name, escape(str(value)) + "*")


def _wildcard(content: Any, limits: _Limits) -> Condition:
    name, value, options = _field_and_value(content, limits, "value" if "wildcard" not in str(content) else "wildcard")
    del options
    return like(name, str(value))


def like(name: str, pattern: str) -> Condition:
    """Return the condition that a value (or, of a text field, a word) fits a pattern."""
    return Like(None if name in TEXT_FIELDS else name, pattern)


def escape(text: str) -> str:
    """Return a pattern that only `text` fits."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def _ids(content: Any, limits: _Limits) -> Condition:
    values = content.get("values") if isinstance(content, dict) else None
    if not isinstance(values, list):
        raise SearchError("search.missing", place=limits.place, name="values")
    return Identifiers(tuple(str(value) for value in values))


def _match(content: Any, limits: _Limits) -> Condition:
    name, value, options = _field_and_value(content, limits, "query")
    if name not in TEXT_FIELDS and name != "*":
        return equals(name, (_scalar(value, limits),))
    parts = tuple(Phrase(word) for word in str(value).split())
    if str(options.get("operator", "or")).lower() == "and":
        return Combined(must=parts)
    return _any(parts)


def _match_phrase(content: Any, limits: _Limits) -> Condition:
    name, value, _ = _field_and_value(content, limits, "query")
    return equals(name, (_scalar(value, limits),))


def _bool(content: Any, limits: _Limits) -> Condition:
    if not isinstance(content, dict):
        raise SearchError("search.want_object", place=limits.place, value=_short(content))
    _known_keys(content, ("must", "filter", "should", "must_not", "minimum_should_match", "boost"), limits.place)
    must = tuple(_clauses(content, "must", limits)) + tuple(_clauses(content, "filter", limits))
    should = tuple(_clauses(content, "should", limits))
    must_not = tuple(_clauses(content, "must_not", limits))
    least = content.get("minimum_should_match", 1 if should and not must else 0)
    if not isinstance(least, int) or isinstance(least, bool) or least < 0:
        raise SearchError("search.want_count", place=f"{limits.place}.minimum_should_match", value=_short(least))
    return Combined(must, should, must_not, least)


def _clauses(content: dict[str, Any], name: str, limits: _Limits) -> Iterator[Condition]:
    clauses = content.get(name, [])
    for number, clause in enumerate(clauses if isinstance(clauses, list) else [clauses]):
        limits.enter(f"{name}[{number}]")
        yield _parse(clause, limits)
        limits.leave()


#: Options of a query text that change nothing here, or say what is so anyway.
_TEXT_OPTIONS = frozenset((
    "query", "analyze_wildcard", "allow_leading_wildcard", "lenient", "boost", "default_operator", "default_field",
    "fields",
))  # fmt: skip


def _query_string(content: Any, limits: _Limits) -> Condition:
    from pipeline.store.query_string import parse_text

    text = content.get("query") if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise SearchError("search.missing", place=limits.place, name="query")
    _known_keys(content, _TEXT_OPTIONS, limits.place)
    for name, good in (("default_operator", ("AND", "and")), ("default_field", ("*",)), ("fields", (["*"],))):
        if name in content and content[name] not in good:
            value = _short(content[name])
            raise SearchError("search.unknown_key", place=f"{limits.place}.{name}", value=value, known=str(good[0]))
    return parse_text(text)


def _any(parts: tuple[Condition, ...]) -> Condition:
    return parts[0] if len(parts) == 1 else Combined(should=parts, least=1)


def _scalar(value: Any, limits: _Limits) -> Value:
    if isinstance(value, (str, int, float, bool)):
        return value
    raise SearchError("search.want_scalar", place=limits.place, value=_short(value))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "…"


_PARSERS: dict[str, Callable[[Any, _Limits], Condition]] = {
    "match_all": lambda _content, _limits: All(),
    "match_none": lambda _content, _limits: Nothing(),
    "term": _term,
    "terms": _terms,
    "range": _range,
    "exists": _exists,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "ids": _ids,
    "match": _match,
    "match_phrase": _match_phrase,
    "bool": _bool,
    "query_string": _query_string,
}

"""The query DSL: Elasticsearch's query JSON enters, a checked tree of conditions (`query.py`) leaves.

The subset (names and meaning as in Elasticsearch 8's Query DSL reference): `match_all`, `match_none`, `term`, `terms`,
`range`, `exists`, `prefix`, `wildcard`, `ids`, `match`, `match_phrase`, `bool`, `query_string`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.query_string import parse_text

#: How deep conditions may nest, and how many there may be in one query.
MAX_DEPTH = 30
MAX_CONDITIONS = 2_000
#: What `format` of a range may say of its bounds; several are parted by `||`.
_MILLIS_FORMAT, _SECONDS_FORMAT = "epoch_millis", "epoch_second"
_FORMATS = (
    _MILLIS_FORMAT, _SECONDS_FORMAT, "strict_date_optional_time", "strict_date_optional_time_nanos",
    "date_optional_time", "date_time", "strict_date_time",
)  # fmt: skip
#: Options of a query text that change nothing here, or say what is so anyway.
_TEXT_OPTIONS = frozenset((
    "query", "analyze_wildcard", "allow_leading_wildcard", "lenient", "boost", "default_operator", "default_field",
    "fields",
))  # fmt: skip


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


def parse_query(body: Any) -> q.Condition:
    """Read a query of the DSL; a condition is returned as it is.

    Raises:
        SearchError: names the place, what stands there and what is expected.
    """
    return body if isinstance(body, q.Condition) else _parse(body, _Limits())


def _parse(body: Any, limits: _Limits) -> q.Condition:
    if not isinstance(body, dict) or len(body) != 1:
        raise SearchError(
            "search.one_query", place=limits.place or "query", value=q.shortened(body), known=", ".join(_PARSERS)
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
        raise SearchError("search.one_field", place=limits.place, value=q.shortened(content))
    ((name, value),) = content.items()
    if isinstance(value, dict):
        if inner not in value:
            raise SearchError("search.missing", place=f"{limits.place}.{name}", name=inner)
        return name, value[inner], {key: item for key, item in value.items() if key != inner}
    return name, value, {}


def _term(content: Any, limits: _Limits) -> q.Condition:
    name, value, _ = _field_and_value(content, limits, "value")
    return q.equals(name, (_scalar(value, limits),))


def _terms(content: Any, limits: _Limits) -> q.Condition:
    name, values, _ = _field_and_value(content, limits, "values")
    if not isinstance(values, list) or len(values) > 65_536:
        raise SearchError("search.want_list", place=f"{limits.place}.{name}", value=q.shortened(values))
    return q.equals(name, tuple(_scalar(value, limits) for value in values)) if values else q.Nothing()


def _range(content: Any, limits: _Limits) -> q.Condition:
    if not isinstance(content, dict) or len(content) != 1 or not isinstance(next(iter(content.values())), dict):
        raise SearchError("search.one_field", place=limits.place, value=q.shortened(content))
    ((name, bounds),) = content.items()
    known = {"gt", "gte", "lt", "lte", "from", "to", "format", "time_zone", "boost"}
    _known_keys(bounds, known, f"{limits.place}.{name}")
    for value in bounds.values():
        if value is not None:
            _scalar(value, limits)
    if name == q.TIME:
        bounds = _in_format(bounds, limits.place)
    low = bounds.get("gte", bounds.get("gt", bounds.get("from")))
    high = bounds.get("lte", bounds.get("lt", bounds.get("to")))
    return q.within(name, low, high, "gt" not in bounds, "lt" not in bounds, limits.place)


def _in_format(bounds: dict[str, Any], place: str) -> dict[str, Any]:
    """Return bounds of a time as `moment` reads them, from what `format` and `time_zone` say of them."""
    formats = str(bounds.get("format") or "").split("||")
    if formats != [""] and (unknown := set(formats) - set(_FORMATS)):
        value = sorted(unknown)[0][:100]
        raise SearchError("search.unknown_key", place=f"{place}.format", value=value, known=", ".join(_FORMATS))
    zone = q.zone_of(str(bounds["time_zone"])) if bounds.get("time_zone") else None
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
        raise SearchError("search.not_a_time", place=place, value=q.shortened(value)) from error


def _local(value: Any, zone: tzinfo) -> Any:
    """Return an ISO 8601 text without a distance from UTC as one with the zone's."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) and not q.MILLIS.fullmatch(value) else None
    except ValueError:
        return value
    return value if read is None or read.tzinfo else read.replace(tzinfo=zone).isoformat()


def _known_keys(content: dict[str, Any], known: Iterable[str], place: str) -> None:
    for key in content:
        if key not in known:
            raise SearchError("search.unknown_key", place=place, value=str(key)[:100], known=", ".join(sorted(known)))


def _exists(content: Any, limits: _Limits) -> q.Condition:
    name = content.get("field") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise SearchError("search.missing", place=limits.place, name="field")
    return q.All() if name in (q.TIME, "event.id") else q.Exists(name)


def _prefix(content: Any, limits: _Limits) -> q.Condition:
    name, value, _ = _field_and_value(content, limits, "value")
    return q.like(name, q.escape(str(value)) + "*")


def _wildcard(content: Any, limits: _Limits) -> q.Condition:
    name, value, options = _field_and_value(content, limits, "value" if "wildcard" not in str(content) else "wildcard")
    del options
    return q.like(name, str(value))


def _ids(content: Any, limits: _Limits) -> q.Condition:
    values = content.get("values") if isinstance(content, dict) else None
    if not isinstance(values, list):
        raise SearchError("search.missing", place=limits.place, name="values")
    return q.Identifiers(tuple(str(value) for value in values))


def _match(content: Any, limits: _Limits) -> q.Condition:
    name, value, options = _field_and_value(content, limits, "query")
    if name not in q.TEXT_FIELDS and name != "*":
        return q.equals(name, (_scalar(value, limits),))
    parts = tuple(q.Phrase(word) for word in str(value).split())
    if str(options.get("operator", "or")).lower() == "and":
        return q.Combined(must=parts)
    return q.any_of(parts)


def _match_phrase(content: Any, limits: _Limits) -> q.Condition:
    name, value, _ = _field_and_value(content, limits, "query")
    return q.equals(name, (_scalar(value, limits),))


def _bool(content: Any, limits: _Limits) -> q.Condition:
    if not isinstance(content, dict):
        raise SearchError("search.want_object", place=limits.place, value=q.shortened(content))
    _known_keys(content, ("must", "filter", "should", "must_not", "minimum_should_match", "boost"), limits.place)
    must = tuple(_clauses(content, "must", limits)) + tuple(_clauses(content, "filter", limits))
    should = tuple(_clauses(content, "should", limits))
    must_not = tuple(_clauses(content, "must_not", limits))
    least = content.get("minimum_should_match", 1 if should and not must else 0)
    if not isinstance(least, int) or isinstance(least, bool) or least < 0:
        raise SearchError("search.want_count", place=f"{limits.place}.minimum_should_match", value=q.shortened(least))
    return q.Combined(must, should, must_not, least)


def _clauses(content: dict[str, Any], name: str, limits: _Limits) -> Iterator[q.Condition]:
    clauses = content.get(name, [])
    for number, clause in enumerate(clauses if isinstance(clauses, list) else [clauses]):
        limits.enter(f"{name}[{number}]")
        yield _parse(clause, limits)
        limits.leave()


def _query_string(content: Any, limits: _Limits) -> q.Condition:
    text = content.get("query") if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise SearchError("search.missing", place=limits.place, name="query")
    _known_keys(content, _TEXT_OPTIONS, limits.place)
    for name, good in (("default_operator", ("AND", "and")), ("default_field", ("*",)), ("fields", (["*"],))):
        if name in content and content[name] not in good:
            value = q.shortened(content[name])
            raise SearchError("search.unknown_key", place=f"{limits.place}.{name}", value=value, known=str(good[0]))
    return parse_text(text)


def _scalar(value: Any, limits: _Limits) -> q.Value:
    if isinstance(value, (str, int, float, bool)):
        return value
    raise SearchError("search.want_scalar", place=limits.place, value=q.shortened(value))


_PARSERS: dict[str, Callable[[Any, _Limits], q.Condition]] = {
    "match_all": lambda _content, _limits: q.All(),
    "match_none": lambda _content, _limits: q.Nothing(),
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

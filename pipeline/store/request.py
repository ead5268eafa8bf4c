"""A search body (Elasticsearch's `_search` JSON) enters, a checked request leaves; and events become hits."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pipeline.event import Event, to_micros
from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.aggregations import Aggregation, parse_aggregations
from pipeline.store.query_dsl import parse_query
from pipeline.store.times import check_format, written

#: As Elasticsearch's `index.max_result_window`.
MAX_WINDOW = 10_000
_KEYS = {
    "query", "size", "from", "sort", "aggs", "aggregations", "track_total_hits", "_source", "timeout", "search_after",
    "fields", "docvalue_fields", "script_fields", "stored_fields", "highlight", "runtime_mappings",
}  # fmt: skip
_SORT_KEYS = frozenset(("order", "unmapped_type", "missing", "format", "numeric_type"))
#: What sorts by nothing that an event has: how well it fits (all fit alike), and its place in the index.
_SCORE, _PLACE = "_score", "_doc"


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key; where a field is missing, the event comes last."""

    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Fields whose values a hit tells beside its event: a name or pattern, and the format of times."""

    pattern: str
    form: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    `fields` limits what of each event is returned; None is everything. `after`: only hits from this moment on
    (microseconds since 1970, in the order asked); `offset` then counts from it. `placed`: hits tell their place among
    those of their moment, as `search_after` needs it. `choices`: values told beside the event.
    """

    condition: q.Condition
    size: int
    offset: int
    order: tuple[Order, ...]
    aggregations: tuple[Aggregation, ...]
    fields: tuple[str, ...] | None
    without: tuple[str, ...] = ()
    after: int | None = None
    passed: int = 0
    placed: bool = False
    choices: tuple[Choice, ...] = ()

    @property
    def page(self) -> q.Condition:
        """What a hit must fit; totals and aggregations are of all that fit `condition`."""
        if self.after is None:
            return self.condition
        low, high = (None, self.after) if self.order[0].descending else (self.after, None)
        return q.Combined(must=(self.condition, q.Within(q.TIME, low, high)))


def parse_request(body: dict[str, Any]) -> Request:
    """Read a search body.

    Raises:
        SearchError: names the place, what stands there and what is expected.
    """
    for key in body:
        if key not in _KEYS:
            raise SearchError("search.unknown_key", place="body", value=str(key)[:100], known=", ".join(sorted(_KEYS)))
    for key in ("script_fields", "runtime_mappings"):
        if body.get(key):
            raise SearchError("search.no_scripts", place=key)
    size = _count(body.get("size", 10), "size")
    offset = _count(body.get("from", 0), "from")
    aggregations = body.get("aggs", body.get("aggregations"))
    fields, without = _source(body.get("_source", True))
    request = Request(
        condition=parse_query(body["query"]) if "query" in body else q.All(),
        size=size,
        offset=offset,
        order=parse_order(body.get("sort")),
        aggregations=parse_aggregations(aggregations) if aggregations else (),
        fields=fields,
        without=without,
        placed=_is_placed(body.get("sort")),
        choices=(*_choices(body.get("fields"), "fields"), *_choices(body.get("docvalue_fields"), "docvalue_fields")),
    )
    if body.get("search_after") is not None:
        request = _continued(request, body["search_after"])
    if request.size + request.offset > MAX_WINDOW:
        raise SearchError("search.window", value=request.size + request.offset, limit=MAX_WINDOW)
    return request


def of_top_hits(options: Mapping[str, Any], condition: q.Condition, size: int = 3) -> Request:
    """Return the request that a `top_hits` or `top_metrics` stands for, in each of its buckets."""
    fields, without = _source(options.get("_source", True))
    size, offset = _count(options.get("size", size), "size"), _count(options.get("from", 0), "from")
    return Request(condition, size, offset, parse_order(options.get("sort")), (), fields, without)


def parse_order(sort: Any) -> tuple[Order, ...]:
    """Read `sort`: `"field"`, `{"field": "asc"}`, `{"field": {"order": "asc"}}` or a list; newest first without."""
    found = [Order(name, descending) for name, descending in _sort_keys(sort) if name not in (_SCORE, _PLACE)]
    return tuple(found) or (Order(q.TIME, True),)


def _sort_keys(sort: Any) -> list[tuple[str, bool]]:
    found = []
    for item in [] if sort is None else sort if isinstance(sort, list) else [sort]:
        if isinstance(item, str):
            found.append((item, item == _SCORE))
        elif isinstance(item, dict) and item:
            found += [(name, _is_descending(name, how)) for name, how in item.items()]
        else:
            raise SearchError("search.want_sort", place="sort", value=repr(item)[:100])
    return found


def _is_descending(name: str, how: Any) -> bool:
    options = how if isinstance(how, dict) else {"order": how}
    for key in options:
        if key not in _SORT_KEYS:
            known = ", ".join(sorted(_SORT_KEYS))
            raise SearchError("search.unknown_key", place=f"sort.{name}", value=str(key)[:100], known=known)
    if options.get("missing", "_last") != "_last":
        value = repr(options["missing"])[:100]
        raise SearchError("search.unknown_key", place=f"sort.{name}.missing", value=value, known="_last")
    direction = options.get("order", "desc" if name == _SCORE else "asc")
    if direction not in ("asc", "desc"):
        raise SearchError("search.want_direction", place=f"sort.{name}", value=repr(direction)[:100])
    return bool(direction == "desc")


def _is_placed(sort: Any) -> bool:
    """Whether hits are sorted by the time, and by their place where they share it."""
    return [name for name, _ in _sort_keys(sort)] == [q.TIME, _PLACE]


def _continued(request: Request, after: Any) -> Request:
    """Return the request for what comes after a hit, whose `sort` was the time and its place."""
    good = isinstance(after, list) and len(after) == 2 and request.placed
    place = after[1] if good else None
    if isinstance(place, float) and place.is_integer():
        place = int(place)
    if not isinstance(place, int) or isinstance(place, bool) or place < 0:
        raise SearchError("search.want_after", value=repr(after)[:100])
    if request.offset:
        raise SearchError("search.want_count", place="from", value=f"{request.offset} (search_after)")
    return replace(request, after=q.moment(after[0], "search_after"), offset=place + 1, passed=place + 1)


def hits_of(request: Request, events: Sequence[tuple[str, Event]], skipped: int) -> list[dict[str, Any]]:
    """Return hits as Elasticsearch's JSON has them, from events with the names of their collections, in order.

    `skipped`: how many of the first one's moment came before it.
    """
    hits, place, last = [], skipped - 1, None
    for collection, event in events:
        sort = [_sort_value(event, item.field) for item in request.order]
        if request.placed:
            place = place + 1 if last in (None, sort[0]) else 0
            last = sort[0]
            sort.append(place)
        hit = {"_index": collection, "_id": event["event.id"], "_source": _shown(event, request), "sort": sort}
        if request.choices:
            hit["fields"] = _told(event, request.choices)
        hits.append(hit)
    return hits


def _sort_value(event: Event, name: str) -> Any:
    """Return what a hit was sorted by; of a time, milliseconds since 1970."""
    if name != q.TIME:
        return event.get(name)
    micros = to_micros(event[q.TIME])
    return micros / 1000 if micros % 1000 else micros // 1000


def skipped_before(request: Request, first: Event, count: Callable[[q.Condition], int]) -> int:
    """Return how many events of the first hit's moment come before it; `count` says how many events fit."""
    micros = to_micros(first[q.TIME])
    if request.after is not None:
        return request.passed if micros == request.after else 0
    if not request.placed or not request.offset:
        return 0
    low, high = (micros + 1, None) if request.order[0].descending else (None, micros - 1)
    return request.offset - count(q.Combined(must=(request.condition, q.Within(q.TIME, low, high))))


def _shown(event: Event, request: Request) -> Event:
    shown = only(event, request.fields)
    if not request.without:
        return shown
    hidden = only(event, request.without)
    return {name: value for name, value in shown.items() if name not in hidden}


def only(event: dict[str, Any], fields: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the named fields of an event (a name, or a pattern such as `name.*`), or all."""
    if fields is None:
        return event
    fits = _pattern(fields)
    return {name: value for name, value in event.items() if name in fields or fits.fullmatch(name)}


def _told(event: Event, choices: tuple[Choice, ...]) -> dict[str, list[Any]]:
    """Return the values that a hit tells beside its event, each a list."""
    told: dict[str, list[Any]] = {}
    for choice in choices:
        for name, value in only(event, (choice.pattern,)).items():
            if name == q.TIME:
                told[name] = [written(to_micros(value), choice.form)]
            elif value is not None:
                told[name] = value if isinstance(value, list) else [value]
    return told


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of names in which `*` stands for any signs."""
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names if "*" in name) or r"(?!)")


def _source(source: Any) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return what of an event is told (None: all), and what is not."""
    if isinstance(source, dict):
        keys = {"includes": source.get("includes", source.get("include")), "excludes": source.get("excludes", [])}
        unknown = set(source) - {"includes", "include", "excludes"}
        if unknown:
            value = str(sorted(map(str, unknown))[0])[:100]
            raise SearchError("search.unknown_key", place="_source", value=value, known="includes, excludes")
        return (_names(keys["includes"]) if keys["includes"] else None), _names(keys["excludes"])
    if source is True:
        return None, ()
    return (() if source is False else _names(source)), ()


def _names(source: Any) -> tuple[str, ...]:
    names = source if isinstance(source, list) else [source]
    if not all(isinstance(name, str) for name in names):
        raise SearchError("search.want_list", place="_source", value=repr(source)[:100])
    return tuple(names)


def _choices(asked: Any, place: str) -> tuple[Choice, ...]:
    found = []
    for item in [] if asked is None else asked if isinstance(asked, list) else [asked]:
        content: Mapping[str, Any] = {"field": item} if isinstance(item, str) else item
        if not isinstance(content, dict) or not isinstance(content.get("field"), str):
            raise SearchError("search.missing", place=place, name="field")
        for key in content:
            if key not in ("field", "format", "include_unmapped"):
                value = str(key)[:100]
                raise SearchError("search.unknown_key", place=place, value=value, known="field, format")
        if content["field"] == q.TIME:
            check_format(content.get("format"), place)
        found.append(Choice(content["field"], content.get("format")))
    return tuple(found)


def _count(value: Any, place: str) -> int:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SearchError("search.want_count", place=place, value=repr(value)[:100])
    return value

"""A search body (Elasticsearch's `_search` JSON) enters, a checked request leaves."""

from dataclasses import dataclass
from typing import Any

from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.aggregations import Aggregation, parse_aggregations

#: As Elasticsearch's `index.max_result_window`.
MAX_WINDOW = 10_000
_KEYS = {"query", "size", "from", "sort", "aggs", "aggregations", "track_total_hits", "_source", "timeout"}


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key; where a field is missing, the event comes last."""

    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `fields` limits what of each event is returned; None is everything."""

    condition: q.Condition
    size: int
    offset: int
    order: tuple[Order, ...]
    aggregations: tuple[Aggregation, ...]
    fields: tuple[str, ...] | None


def parse_request(body: dict[str, Any]) -> Request:
    """Read a search body.

    Raises:
        SearchError: names the place, what stands there and what is expected.
    """
    for key in body:
        if key not in _KEYS:
            raise SearchError("search.unknown_key", place="body", value=key, known=", ".join(sorted(_KEYS)))
    size = _count(body.get("size", 10), "size")
    offset = _count(body.get("from", 0), "from")
    if size + offset > MAX_WINDOW:
        raise SearchError("search.window", value=size + offset, limit=MAX_WINDOW)
    aggregations = body.get("aggs", body.get("aggregations"))
    return Request(
        condition=q.parse_query(body["query"]) if "query" in body else q.All(),
        size=size,
        offset=offset,
        order=parse_order(body.get("sort")),
        aggregations=parse_aggregations(aggregations) if aggregations else (),
        fields=_fields(body.get("_source", True)),
    )


def parse_order(sort: Any) -> tuple[Order, ...]:
    """Read `sort`: `"field"`, `{"field": "asc"}`, `{"field": {"order": "asc"}}` or a list; newest first without."""
    if sort is None:
        return (Order(q.TIME, True),)
    found = []
    for item in sort if isinstance(sort, list) else [sort]:
        if isinstance(item, str):
            found.append(Order(item, item == "_score"))
        elif isinstance(item, dict) and len(item) == 1:
            ((name, how),) = item.items()
            direction = how.get("order", "asc") if isinstance(how, dict) else how
            if direction not in ("asc", "desc"):
                raise SearchError("search.want_direction", place=f"sort.{name}", value=repr(direction))
            found.append(Order(name, direction == "desc"))
        else:
            raise SearchError("search.want_sort", place="sort", value=repr(item)[:100])
    return tuple(order for order in found if order.field not in ("_score", "_doc")) or (Order(q.TIME, True),)


def only(event: dict[str, Any], fields: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the named fields of an event (a name, or `name.*`), or all."""
    if fields is None:
        return event
    starts = tuple(name[:-1] for name in fields if name.endswith("*"))
    return {name: value for name, value in event.items() if name in fields or (starts and name.startswith(starts))}


def _fields(source: Any) -> tuple[str, ...] | None:
    if source is True:
        return None
    if source is False:
        return ()
    names = source if isinstance(source, list) else [source]
    if not all(isinstance(name, str) for name in names):
        raise SearchError("search.want_list", place="_source", value=repr(source)[:100])
    return tuple(names)


def _count(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SearchError("search.want_count", place=place, value=repr(value)[:100])
    return value

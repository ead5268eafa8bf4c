"""The embedded store's reading end: search bodies enter, events and aggregations of all indexes leave."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import tantivy
from tantivy import Order as Direction

from pipeline.event import Event
from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.request import Order, Request, only, parse_order, parse_request
from pipeline.store.tantivy_aggregate import Aggregator
from pipeline.store.tantivy_query import IndexQuery, column, count_of
from pipeline.store.tantivy_schema import covers, open_index

#: Distinct values looked at when sorting by a field other than the time.
_SORT_VALUES = 10_000
_Part = tuple[IndexQuery, tantivy.Searcher]
_Row = tuple[tuple[Any, ...], Event]


class TantivyReader:
    """`Reader` on Tantivy indexes in `folder`. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, tuple[int, tantivy.Index]] = {}
        self._lock = threading.Lock()

    def search(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        request = parse_request(body)
        parts = self._parts(collection, q.time_span(request.condition))
        try:
            answer = _hits(parts, request)
            if request.aggregations:
                top_hits = lambda condition, options: _top_hits(parts, condition, options)  # noqa: E731
                answer["aggregations"] = Aggregator(parts, top_hits).run(request.aggregations, request.condition)
        except ValueError as error:  # Tantivy's own refusals
            raise SearchError("search.refused", reason=error) from error
        return {"took": round((time.perf_counter() - started) * 1000), "timed_out": False, **answer}

    def get(self, collection: str, identifier: str) -> Event | None:
        answer = self.search(collection, {"query": {"ids": {"values": [identifier]}}, "size": 1})
        hits = answer["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    def close(self) -> None:
        with self._lock:
            self._open.clear()

    def _parts(self, collection: str, span: tuple[int | None, int | None]) -> list[_Part]:
        """Return the indexes that may hold events of the span, newest first, each as of its last commit."""
        low, high = span
        parts = []
        with self._lock:
            for path in sorted((self._folder / collection).glob("*"), reverse=True):
                held = covers(path.name)
                if held is not None and ((low is not None and held[1] <= low) or (high is not None and held[0] > high)):
                    continue
                index = self._index(path)
                if index is not None:
                    searcher = index.searcher()
                    if searcher.num_docs:
                        parts.append((IndexQuery(index, searcher), searcher))
        return parts

    def _index(self, path: Path) -> tantivy.Index | None:
        try:
            changed = (path / "meta.json").stat().st_mtime_ns
        except OSError:  # being made, or just expired
            self._open.pop(path, None)
            return None
        known = self._open.get(path)
        if known is None:
            index = open_index(path)
            index.config_reader("manual")
        else:
            index = known[1]
        if known is None or known[0] != changed:
            index.reload()
            self._open[path] = (changed, index)
        return index


def _hits(parts: Sequence[_Part], request: Request) -> dict[str, Any]:
    wanted = request.offset + request.size
    total = 0
    rows: list[_Row] = []
    by_time = len(request.order) == 1 and request.order[0].field == q.TIME
    for query, searcher in parts:
        if by_time:
            count, found = _newest(query, searcher, request.condition, wanted, request.order[0].descending)
        else:
            count, found = _sorted_by_field(query, searcher, request.condition, wanted, request.order)
        total += count
        rows += found
    for number, order in reversed(list(enumerate(request.order))):
        rows.sort(key=lambda row: _rank(row[0][number], order.descending), reverse=order.descending)
    hits = [
        {"_id": event["event.id"], "_source": only(event, request.fields), "sort": list(sort)}
        for sort, event in rows[request.offset : wanted]
    ]
    return {"hits": {"total": {"value": total, "relation": "eq"}, "hits": hits}}


def _top_hits(parts: Sequence[_Part], condition: q.Condition, options: dict[str, Any]) -> dict[str, Any]:
    request = Request(
        condition, int(options.get("size", 3)), int(options.get("from", 0)), parse_order(options.get("sort")), (), None
    )
    return _hits(parts, request)


def _newest(
    query: IndexQuery, searcher: tantivy.Searcher, condition: q.Condition, wanted: int, descending: bool
) -> tuple[int, list[_Row]]:
    direction = Direction.Desc if descending else Direction.Asc
    result = searcher.search(query.translate(condition), limit=max(wanted, 1), order_by_field="t", order=direction)
    rows: list[_Row] = []
    for micros, address in result.hits[:wanted]:
        event: Event = orjson.loads(bytes(searcher.doc(address).get_first("src") or b"{}"))
        rows.append(((micros // 1000,), event))
    return count_of(result), rows


def _sorted_by_field(
    query: IndexQuery, searcher: tantivy.Searcher, condition: q.Condition, wanted: int, order: Sequence[Order]
) -> tuple[int, list[_Row]]:
    count = count_of(searcher.search(query.translate(condition), limit=1))
    events = _in_order(query, searcher, condition, wanted, order) if wanted else []
    return count, [(_sort_values(event, order), event) for event in events]


def _in_order(
    query: IndexQuery, searcher: tantivy.Searcher, condition: q.Condition, wanted: int, order: Sequence[Order]
) -> list[Event]:
    """Tantivy sorts by the time alone, so: walk the values of the first field in order, and take each value's events."""
    if not order or order[0].field == q.TIME:
        return [event for _, event in _newest(query, searcher, condition, wanted, not order or order[0].descending)[1]]
    first = order[0]
    direction = "desc" if first.descending else "asc"
    terms = {"field": column(first.field), "size": min(wanted, _SORT_VALUES), "order": {"_key": direction}}
    events: list[Event] = []
    for bucket in searcher.aggregate(query.translate(condition), {"a": {"terms": terms}})["a"]["buckets"]:
        if len(events) >= wanted:
            return events
        value = q.equals(first.field, (bucket.get("key_as_string", bucket["key"]),))
        both = q.Combined(must=(condition, value))
        events += _in_order(query, searcher, both, wanted - len(events), order[1:])
    if len(events) < wanted:
        without = q.Combined(must=(condition,), must_not=(q.Exists(first.field),))
        events += _in_order(query, searcher, without, wanted - len(events), order[1:])
    return events


def _sort_values(event: Event, order: Sequence[Order]) -> tuple[Any, ...]:
    return tuple(event.get(item.field) for item in order)


def _rank(value: Any, descending: bool) -> tuple[int, Any]:
    """Order values of mixed types; what is missing comes last in either direction."""
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return (-1 if descending else 2, 0)
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))

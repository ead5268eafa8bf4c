"""One embedded index as of its last commit: conditions enter, counts, events and raw aggregations leave."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import tantivy
from tantivy import Occur, Query
from tantivy import Order as Direction

from pipeline.event import Event
from pipeline.store import query as q
from pipeline.store.blocks import BlockReader
from pipeline.store.request import Order
from pipeline.store.tantivy_kinds import MOST_KINDS, Kinds
from pipeline.store.tantivy_query import IndexQuery, count_of, of_kinds
from pipeline.store.tantivy_schema import column

#: Distinct values looked at when sorting by a field other than the time.
_SORT_VALUES = 10_000
#: Places of events that are looked up at once, and lines that are read at once.
_PLACES = 50_000
_LINES = 2_000


class Part:
    """What a search asks of one index."""

    def __init__(self, index: tantivy.Index, blocks: BlockReader, kinds: Kinds, collection: str) -> None:
        self._searcher = index.searcher()
        self._blocks = blocks
        self._query = IndexQuery(index, self._searcher, kinds.fitting)
        self.kinds = kinds
        self.collection = collection
        self.events = self._searcher.num_docs

    def count(self, condition: q.Condition) -> int:
        """Return how many events fit."""
        if isinstance(condition, q.All):
            return int(self.events)
        return count_of(self._searcher.search(self._query.translate(condition), limit=1))

    def aggregate(
        self,
        condition: q.Condition,
        body: dict[str, Any],
        among: Sequence[int] | None = None,
        except_for: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Return Tantivy's own answer to an aggregation body with its own field names.

        `among` and `except_for`: only events of these kinds, and none of those.
        """
        query = self._query.translate(condition)
        if among is not None:
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, of_kinds(among))])
        if except_for:
            query = Query.boolean_query([(Occur.Must, query), (Occur.MustNot, of_kinds(except_for))])
        answer: dict[str, Any] = self._searcher.aggregate(query, body)
        return answer

    def count_by_kind(self, condition: q.Condition) -> dict[int, int]:
        """Return how many events fit, for each kind that has some."""
        buckets = self.aggregate(condition, {"a": {"terms": {"field": "k", "size": MOST_KINDS}}})["a"]["buckets"]
        return {int(bucket["key"]): bucket["doc_count"] for bucket in buckets}

    def newest(self, condition: q.Condition, wanted: int, descending: bool = True) -> tuple[int, list[Event]]:
        """Return how many events fit, and the newest (or oldest) `wanted` of them."""
        found = self._searcher.search(
            self._query.translate(condition),
            limit=max(wanted, 1),
            order_by_field="t",
            order=Direction.Desc if descending else Direction.Asc,
        )
        places = [address for _, address in found.hits[:wanted]]
        lines = self._searcher.fast_field_values("at", places) if places else []
        return count_of(found), [orjson.loads(self._blocks.line(int(line or 0))) for line in lines]

    def lines(self, condition: q.Condition, newest: bool = False) -> Iterator[tuple[list[int], list[bytes]]]:
        """Yield times (microseconds since 1970) and lines of all events that fit, the oldest (or newest) first."""
        low, high = q.time_span(condition)
        while True:
            left = q.Combined(must=(condition, q.Within(q.TIME, low, high)))
            times, places = self._first(left, _PLACES, newest)
            more = len(times) == _PLACES
            if more:  # of the last microsecond there may be others
                last = times[-1]
                whole = times.index(last)
                after = last
                if not whole:
                    only = q.Combined(must=(condition, q.Within(q.TIME, last, last)))
                    times, places = self._first(only, self.count(only), newest)
                    whole = len(times)
                    after = last - 1 if newest else last + 1
                low, high = (low, after) if newest else (after, high)
                times, places = times[:whole], places[:whole]
            for start in range(0, len(times), _LINES):
                addresses = places[start : start + _LINES]
                yield times[start : start + _LINES], [self._blocks.line(address) for address in addresses]
            if not more:
                return

    def _first(self, condition: q.Condition, most: int, newest: bool) -> tuple[list[int], list[int]]:
        """Return times and places of lines of the oldest (or newest) events that fit."""
        order = Direction.Desc if newest else Direction.Asc
        found = self._searcher.search(
            self._query.translate(condition), limit=most, count=False, order_by_field="t", order=order
        )
        addresses = [address for _, address in found.hits]
        numbers = self._searcher.fast_field_values("at", addresses) if addresses else []
        return [int(time) for time, _ in found.hits], [int(number or 0) for number in numbers]

    def ordered(self, condition: q.Condition, wanted: int, order: Sequence[Order]) -> list[Event]:
        """Return the first `wanted` events in this order.

        Tantivy sorts by the time alone, so: walk the values of the first field in order, and take each value's events.
        """
        if not order or order[0].field == q.TIME:
            return self.newest(condition, wanted, not order or order[0].descending)[1]
        first = order[0]
        events: list[Event] = []
        for value in self._values_in_order(first, condition, min(wanted, _SORT_VALUES)):
            if len(events) >= wanted:
                return events
            both = q.Combined(must=(condition, q.equals(first.field, (value,))))
            events += self.ordered(both, wanted - len(events), order[1:])
        if len(events) < wanted:
            without = q.Combined(must=(condition,), must_not=(q.Exists(first.field),))
            events += self.ordered(without, wanted - len(events), order[1:])
        return events

    def _values_in_order(self, order: Order, condition: q.Condition, size: int) -> list[q.Value]:
        direction = "desc" if order.descending else "asc"
        terms = {"field": column(order.field), "size": size, "order": {"_key": direction}}
        buckets = self.aggregate(condition, {"a": {"terms": terms}})["a"]["buckets"]
        values = [bucket.get("key_as_string", bucket["key"]) for bucket in buckets]
        if order.field not in self.kinds.fields:
            return values
        numbers = self.count_by_kind(condition)
        more = {value for number in numbers for value in self.kinds.values(number, order.field)}
        return sorted({*values, *more}, key=lambda value: (isinstance(value, str), value), reverse=order.descending)

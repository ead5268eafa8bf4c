"""The embedded store's reading end: search bodies enter, events and aggregations of all indexes leave."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

import tantivy

from pipeline.event import Event
from pipeline.store import Field, SearchError
from pipeline.store import query as q
from pipeline.store.blocks import BlockReader
from pipeline.store.days import covers
from pipeline.store.fields import listed
from pipeline.store.pipelines import add
from pipeline.store.query_dsl import parse_query
from pipeline.store.request import Order, Request, hits_of, parse_request, skipped_before
from pipeline.store.tantivy_aggregate import Aggregator
from pipeline.store.tantivy_fields import FieldNames
from pipeline.store.tantivy_kinds import Kinds
from pipeline.store.tantivy_part import Part
from pipeline.store.tantivy_schema import blocks_path, kinds_path, open_index

_Row = tuple[tuple[Any, ...], str, Event]
#: Lines that leave together, where several indexes are read at once.
_TOGETHER = 2_000
#: What an index may hold that is not cut by time, in microseconds since 1970.
_EVER = (-(2**63), 2**63 - 1)


class TantivyReader:
    """`Reader` on Tantivy indexes in `folder`. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, _Open] = {}
        self._lock = threading.Lock()
        self._names = FieldNames()

    def search(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        request = parse_request(body)
        with self._lock:  # the parts share their block readers
            parts = self._parts(collection, q.time_span(request.condition))
            try:
                answer = _hits(parts, request)
                if request.aggregations:
                    aggregator = Aggregator(parts, _hits)
                    answer["aggregations"] = aggregator.run(request.aggregations, request.condition)
                    add(request.aggregations, answer["aggregations"])
            except ValueError as error:  # Tantivy's own refusals
                raise SearchError("search.refused", reason=error) from error
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # a fault in Tantivy: this search's alone
                    raise
                raise SearchError("search.refused", reason=error) from error
        return {"took": round((time.perf_counter() - started) * 1000), "timed_out": False, **answer}

    def get(self, collection: str, identifier: str) -> Event | None:
        answer = self.search(collection, {"query": {"ids": {"values": [identifier]}}, "size": 1})
        hits = answer["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    def lines(self, collection: str, query: Any, newest: bool = False) -> Iterator[list[bytes]]:
        condition = parse_query(query)
        in_turn = list(_in_turn(_within(self._folder / collection, q.time_span(condition))))
        for paths in reversed(in_turn) if newest else in_turn:
            with ExitStack() as open_ones:  # of its own: what is read here for long keeps no search waiting
                parts = []
                for path in paths:
                    try:
                        opened = _Open(path)
                    except OSError:  # being made, or just expired
                        continue
                    open_ones.enter_context(closing(opened.blocks))
                    parts.append(Part(opened.index, opened.blocks, opened.kinds, collection))
                try:
                    yield from _merged([part.lines(condition, newest) for part in parts], newest)
                except ValueError as error:
                    raise SearchError("search.refused", reason=error) from error

    def fields(self, collection: str) -> list[Field]:
        return listed(self._names.of(self._folder / collection))

    def close(self) -> None:
        with self._lock:
            for opened in self._open.values():
                opened.blocks.close()
            self._open.clear()

    def _parts(self, collection: str, span: tuple[int | None, int | None]) -> list[Part]:
        """Return the indexes that may hold events of the span, newest first, each as of its last commit."""
        parts = []
        for name in collection.split(","):
            for path in sorted(_within(self._folder / name, span), reverse=True):
                opened = self._opened(path)
                if opened is not None:
                    part = Part(opened.index, opened.blocks, opened.kinds, name)
                    if part.events:
                        parts.append(part)
        return parts

    def _opened(self, path: Path) -> "_Open | None":
        try:
            changed = (path / "meta.json").stat().st_mtime_ns
            opened = self._open.get(path) or _Open(path)
        except OSError:  # being made, or just expired
            gone = self._open.pop(path, None)
            if gone is not None:
                gone.blocks.close()
            return None
        if opened.changed != changed:
            opened.reload()
            opened.changed = changed
        self._open[path] = opened
        return opened


def _within(folder: Path, span: tuple[int | None, int | None]) -> Iterator[Path]:
    """Yield the indexes that may hold events of the span."""
    low, high = span
    for path in folder.glob("*"):
        held = covers(path.name)
        if held is None or not ((low is not None and held[1] <= low) or (high is not None and held[0] > high)):
            yield path


def _in_turn(paths: Iterator[Path]) -> Iterator[list[Path]]:
    """Yield indexes, the oldest first; together those whose times overlap: a month, and days of it."""
    together: list[Path] = []
    end = _EVER[0]
    for (start, until), path in sorted((covers(path.name) or _EVER, path) for path in paths):
        if together and start >= end:
            yield together
            together = []
        together.append(path)
        end = max(end, until)
    if together:
        yield together


def _merged(pages: Sequence[Iterator[tuple[list[int], list[bytes]]]], newest: bool) -> Iterator[list[bytes]]:
    """Yield the lines of several indexes by time, some together."""
    if len(pages) == 1:
        yield from (lines for _, lines in pages[0])
        return
    together: list[bytes] = []
    for _, line in merge(*map(_one_by_one, pages), key=itemgetter(0), reverse=newest):
        together.append(line)
        if len(together) >= _TOGETHER:
            yield together
            together = []
    if together:
        yield together


def _one_by_one(pages: Iterator[tuple[list[int], list[bytes]]]) -> Iterator[tuple[int, bytes]]:
    for times, lines in pages:
        yield from zip(times, lines, strict=True)


class _Open:
    """An index that stays open between searches."""

    def __init__(self, path: Path) -> None:
        self.index: tantivy.Index = open_index(path)
        self.index.config_reader("manual")
        self.blocks = BlockReader(blocks_path(path))
        self.kinds = Kinds(kinds_path(path))
        self.changed = 0

    def reload(self) -> None:
        """See the last commit."""
        self.index.reload()
        self.kinds = self.kinds.newer()


def _hits(parts: Sequence[Part], request: Request) -> dict[str, Any]:
    wanted = request.offset + request.size
    total, condition = 0, request.page
    rows: list[_Row] = []
    by_time = len(request.order) == 1 and request.order[0].field == q.TIME
    for part in parts:
        if not wanted or not by_time or request.after is not None:
            total += part.count(request.condition)
        if not wanted:
            continue
        if by_time:
            count, events = part.newest(condition, wanted, request.order[0].descending)
            total += count if request.after is None else 0
        else:
            events = part.ordered(condition, wanted, request.order)
        rows += [(tuple(event.get(item.field) for item in request.order), part.collection, event) for event in events]
    for number, order in reversed(list(enumerate(request.order))):
        rows = _sorted(rows, number, order)
    found = [(collection, event) for _, collection, event in rows[request.offset : wanted]]
    skipped = 0
    if found:
        skipped = skipped_before(request, found[0][1], lambda fits: sum(part.count(fits) for part in parts))
    return {"hits": {"total": {"value": total, "relation": "eq"}, "hits": hits_of(request, found, skipped)}}


def _sorted(rows: list[_Row], number: int, order: Order) -> list[_Row]:
    return sorted(rows, key=lambda row: _rank(row[0][number], order.descending), reverse=order.descending)


def _rank(value: Any, descending: bool) -> tuple[int, Any]:
    """Order values of mixed types; what is missing comes last in either direction."""
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return (-1 if descending else 2, 0)
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))

"""Aggregations over several embedded indexes: a checked tree enters, Elasticsearch's answer leaves.

What Tantivy can do itself is one call for each index, merged (`_native`). What it cannot (filters, top hits, the
distinct values and percentiles of several indexes) is composed: the buckets first, then a search in each.

A field of the kind (`tantivy_kinds.py`) has its values in two places: the call asks for both, and what it says of the
kinds' numbers is told by their values (`_name`) and merged like the answer of another index.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise, product
from typing import Any

from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.aggregations import (
    MAX_BUCKETS,
    Aggregation,
    calendar_unit,
    extended,
    fixed_micros,
    key_text,
    merge_stats,
    order_buckets,
    percents,
    top_metrics,
)
from pipeline.store.request import Request, of_top_hits
from pipeline.store.tantivy_kinds import MOST_KINDS, Kinds
from pipeline.store.tantivy_part import Part
from pipeline.store.tantivy_schema import column

#: Tantivy answers each of these in one call, also below buckets.
_NATIVE = {
    "terms",
    "multi_terms",
    "date_histogram",
    "histogram",
    "range",
    "avg",
    "sum",
    "min",
    "max",
    "stats",
    "extended_stats",
    "value_count",
}
#: These only for one index: their answers cannot be added up.
_NATIVE_ALONE = {"cardinality", "percentiles"}
_STATS = ("avg", "sum", "min", "max", "stats", "extended_stats")
#: Tantivy orders by no number of theirs.
_NO_ORDER = frozenset(("cardinality", "percentiles", "extended_stats"))
#: After an aggregation's name: the same by the kinds' numbers.
_BY_KIND = "\0by kind"
#: Buckets that are ordered by a number that only a search in each of them tells.
_MOST_ORDERED = 5_000
#: Steps of the scale on which percentiles of several indexes are read: an error of 0.01 % of the range.
_PERCENTILE_STEPS = 10_000

TopHits = Callable[[Sequence[Part], Request], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Answers aggregations over `parts`; `top_hits` is how the caller searches some of them."""

    parts: Sequence[Part]
    top_hits: TopHits

    def run(self, aggregations: Sequence[Aggregation], condition: q.Condition) -> dict[str, Any]:
        """Return `{name: answer}` over the events that fit `condition`."""
        native = [agg for agg in aggregations if self._is_native(agg)]
        answers = self._native_or_less(native, condition) if native else {}
        for agg in aggregations:
            if agg.name not in answers:
                answers[agg.name] = self._composed(agg, condition)
        return {agg.name: answers[agg.name] for agg in aggregations}

    def _is_native(self, agg: Aggregation) -> bool:
        able = agg.kind in _NATIVE or (agg.kind in _NATIVE_ALONE and len(self.parts) == 1)
        if agg.kind == "date_histogram" and calendar_unit(agg.options):
            return False
        if self._by_kind(agg):
            able = (
                agg.kind == "terms" and "missing" not in agg.options and _add_up(agg.below)
            ) or agg.kind == "value_count"
        elif _ordering(agg):
            by = [below for below in agg.below if below.name in _ordering(agg)]
            able = able and not any(self._by_kind(below) or below.kind in _NO_ORDER for below in by)
        return able and all(self._is_native(below) for below in agg.below)

    def _by_kind(self, agg: Aggregation) -> bool:
        """Say whether a field of the aggregation is one of some event's kind."""
        return any(name in part.kinds.fields for part in self.parts for name in _fields(agg))

    def _native_or_less(self, aggregations: Sequence[Aggregation], condition: q.Condition) -> dict[str, Any]:
        """Answer all at once, or where the kinds make that more buckets than Tantivy gives, those without kinds."""
        try:
            return self._native(aggregations, condition)
        except ValueError:
            less = [agg for agg in aggregations if not self._by_kind_anywhere(agg)]
            if len(less) == len(aggregations):
                raise
            return self._native(less, condition) if less else {}

    def _by_kind_anywhere(self, agg: Aggregation) -> bool:
        return self._by_kind(agg) or any(self._by_kind_anywhere(below) for below in agg.below)

    def _native(self, aggregations: Sequence[Aggregation], condition: q.Condition) -> dict[str, Any]:
        many = len(self.parts) > 1
        body = self._bodies(aggregations, many)
        parts = [part.aggregate(condition, body) for part in self.parts]
        for part, answer in zip(self.parts, parts, strict=True):
            _name(part.kinds, aggregations, answer)
        return {agg.name: _merge(agg, _pieces(agg, parts)) for agg in aggregations}

    def _bodies(self, aggregations: Sequence[Aggregation], many: bool) -> dict[str, Any]:
        bodies = {}
        for agg in aggregations:
            twice = self._by_kind(agg)
            below = self._bodies(agg.below, many or twice)
            bodies[agg.name] = _native_body(agg, many or twice, below)
            if twice:
                terms = {"terms": {"field": "k", "size": MOST_KINDS}}
                bodies[agg.name + _BY_KIND] = {**terms, "aggs": below} if below else terms
        return bodies

    def _composed(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        if agg.kind in ("filter", "missing"):
            extra = agg.conditions[0][1] if agg.conditions else q.Combined(must_not=(q.Exists(agg.field),))
            return self._bucket(agg, q.Combined(must=(condition, extra)))
        if agg.kind == "filters":
            named = {name: self._bucket(agg, q.Combined(must=(condition, extra))) for name, extra in agg.conditions}
            listed = isinstance(agg.options["filters"], list)
            return {"buckets": list(named.values()) if listed else named}
        if agg.kind == "top_hits":
            return {"hits": self.top_hits(self.parts, of_top_hits(agg.options, condition))["hits"]}
        if agg.kind == "top_metrics":
            hits = self.top_hits(self.parts, of_top_hits(agg.options, condition, 1))["hits"]["hits"]
            return {"top": top_metrics(agg.options, hits)}
        if agg.kind == "cardinality":
            return {"value": len(self._distinct(agg.field, condition))}
        if agg.kind == "percentiles":
            return self._percentiles(agg, condition)
        if agg.kind == "date_histogram" and calendar_unit(agg.options):
            return self._calendar(agg, condition)
        if agg.kind == "value_count":
            return dict(self._native([agg], condition)[agg.name])
        return self._buckets(agg, condition)

    def _buckets(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        """Answer an aggregation into buckets: first the buckets, then what lies below each."""
        ordering = _ordering(agg)
        first = replace(agg, below=tuple(below for below in agg.below if below.name in ordering))
        if ordering and self._is_native(first):  # what orders them in one call, the rest for those that are left
            ordered: dict[str, Any] = self._native([first], condition)[agg.name]
            rest = [below for below in agg.below if below.name not in ordering]
            for bucket in ordered["buckets"]:
                bucket.update(self.run(rest, q.Combined(must=(condition, _bucket_condition(agg, bucket)))))
            return ordered
        options = {**agg.options, "order": [{"_key": "asc"}], "size": _MOST_ORDERED} if ordering else agg.options
        answer = self._alone(Aggregation(agg.name, agg.kind, options), condition)
        if ordering and answer["sum_other_doc_count"]:
            raise SearchError("search.too_many_buckets", place=agg.name, limit=_MOST_ORDERED)
        held = self._of_one_part(agg, condition) if agg.kind == "date_histogram" else {}
        for bucket in answer["buckets"]:
            below = held.get(bucket["key"]) if held else None
            if not bucket["doc_count"]:
                below = Aggregator((), self.top_hits).run(agg.below, q.Nothing())
            elif below is None:
                below = self.run(agg.below, q.Combined(must=(condition, _bucket_condition(agg, bucket))))
            bucket.update(below)
        return _finish_terms(agg, answer["buckets"], [answer]) if ordering else answer

    def _of_one_part(self, agg: Aggregation, condition: q.Condition) -> dict[Any, dict[str, Any]]:
        """Return what lies below each bucket of time all of whose events are in one index: most are, for an index is of
        a day, and one index can be asked for all of its buckets at once."""
        if len(self.parts) < 2:
            return {}
        options = {**agg.options, "min_doc_count": 1}
        found: dict[Any, dict[str, Any]] = {}
        twice = set()
        for part in self.parts:
            told = Aggregator((part,), self.top_hits).run([replace(agg, options=options)], condition)[agg.name]
            for bucket in told["buckets"]:
                if bucket["key"] in found:
                    twice.add(bucket["key"])
                found[bucket["key"]] = {below.name: bucket[below.name] for below in agg.below}
        return {key: below for key, below in found.items() if key not in twice}

    def _alone(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        """Return the answer of one aggregation into buckets without anything below."""
        if not self._by_kind(agg):
            answer: dict[str, Any] = self._native([agg], condition)[agg.name]
            return answer
        return _merge(agg, [piece for part in self.parts for piece in _terms_of_part(part, agg, condition)])

    def _bucket(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        count = sum(part.count(condition) for part in self.parts)
        return {"doc_count": count, **self.run(agg.below, condition)}

    def _distinct(self, field: str, condition: q.Condition) -> set[Any]:
        body = {"a": {"terms": {"field": column(field), "size": MAX_BUCKETS}}}
        answers = [part.aggregate(condition, body) for part in self.parts]
        found = {bucket["key"] for answer in answers for bucket in answer["a"]["buckets"]}
        for part in self.parts:
            if field in part.kinds.fields:
                found.update(v for number in part.count_by_kind(condition) for v in part.kinds.values(number, field))
        return found

    def _percentiles(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        spread = self._native([Aggregation("a", "stats", {"field": agg.field})], condition)["a"]
        if not spread["count"]:
            return _of_nothing(agg)
        low, high = spread["min"], spread["max"]
        step = (high - low) / _PERCENTILE_STEPS or 1.0
        scale = Aggregation("a", "histogram", {"field": agg.field, "interval": step, "offset": low, "min_doc_count": 1})
        buckets = self._native([scale], condition)["a"]["buckets"]
        return {
            "values": {
                str(percent): _percentile(buckets, percent, step, low, high) for percent in percents(agg.options)
            }
        }

    def _calendar(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        spread = self._native([Aggregation("a", "stats", {"field": q.TIME})], condition)["a"]
        bounds = agg.options.get("extended_bounds") or {} if not int(agg.options.get("min_doc_count", 0)) else {}
        moments = [int(spread[name] * 1000) for name in ("min", "max") if spread["count"]]
        moments += [q.moment(bounds[name], f"extended_bounds.{name}") for name in ("min", "max") if name in bounds]
        if not moments:
            return {"buckets": []}
        zone = q.zone_of(agg.options.get("time_zone", "UTC"))
        low, high = min(moments), max(moments)
        edges = _calendar_edges(low, high, str(calendar_unit(agg.options)), zone)
        ranges = [{"from": low, "to": high} for low, high in pairwise(edges)]
        counted = Aggregation("a", "range", {"field": q.TIME, "ranges": ranges})
        buckets = []
        for bucket in self._native([counted], condition)["a"]["buckets"]:
            start = int(bucket["from"])  # exact: microseconds stay below 2^53
            if bucket["doc_count"] < int(agg.options.get("min_doc_count", 0)):
                continue
            inside = q.Combined(must=(condition, q.Within(q.TIME, start, int(bucket["to"]) - 1)))
            below = self.run(agg.below, inside) if agg.below else {}
            buckets.append(
                {
                    "key": start // 1000,
                    "key_as_string": key_text(agg.options, start),
                    "doc_count": bucket["doc_count"],
                    **below,
                }
            )
        return {"buckets": buckets}


def _native_body(agg: Aggregation, many: bool, below: dict[str, Any]) -> dict[str, Any]:
    options = dict(agg.options)
    kind = agg.kind
    if kind in _STATS:
        return {"extended_stats" if kind == "extended_stats" else "stats": {"field": column(agg.field)}}
    if kind == "date_histogram":
        interval = fixed_micros(options["fixed_interval"])
        body: dict[str, Any] = {
            "field": "t", "interval": interval, "offset": _offset(options) % interval, "min_doc_count": 1,
        }  # fmt: skip
        kind = "histogram"
    elif kind == "histogram":
        body = {"field": column(agg.field), "interval": options["interval"], "min_doc_count": 1}
        if "offset" in options:
            body["offset"] = options["offset"]
    elif kind in ("terms", "multi_terms"):
        body = {name: options[name] for name in ("missing", "include", "exclude") if name in options}
        if "min_doc_count" in options:  # of several answers, each may have fewer
            body["min_doc_count"] = min(options["min_doc_count"], 1) if many else options["min_doc_count"]
        size = int(options.get("size", 10))
        more = many or len(options.get("order", ())) > 1
        body["size"] = min(size * 3 + 50, MAX_BUCKETS) if more else size
        if "order" in options:
            body["order"] = _native_order(agg)
        if kind == "terms":
            body["field"] = column(agg.field)
        else:
            body["terms"] = [{**term, "field": column(term["field"])} for term in options["terms"]]
    elif kind == "range":
        body = {"field": column(agg.field), "ranges": options["ranges"]}
    elif kind == "percentiles":
        body = {"field": column(agg.field), "percents": percents(options)}
    else:
        body = {"field": column(agg.field)}
    return {kind: body, "aggs": below} if below else {kind: body}


def _native_order(agg: Aggregation) -> dict[str, str]:
    """Return the first rule (Tantivy takes no more) with the name that the number has there: each is of a `stats`."""
    ((path, direction),) = agg.options["order"][0].items()
    kinds = {below.name: below.kind for below in agg.below}
    return {f"{path}.{kinds[path]}" if kinds.get(path) in _STATS else path: direction}


def _fields(agg: Aggregation) -> list[str]:
    if agg.kind == "multi_terms":
        return [term["field"] for term in agg.options["terms"]]
    return [agg.field] if agg.kind in ("terms", "cardinality", "value_count") else []


def _ordering(agg: Aggregation) -> set[str]:
    """Return the names of the aggregations below whose numbers order the buckets."""
    order = agg.options.get("order") or []
    paths = {path for rule in (order if isinstance(order, list) else [order]) for path in rule}
    return {path.partition(".")[0] for path in paths} & {below.name for below in agg.below}


def _add_up(aggregations: Sequence[Aggregation]) -> bool:
    """Say whether the answers for any parts of the events make the answer for all, exactly."""
    return all(
        agg.kind in _NATIVE and agg.kind not in ("terms", "multi_terms") and _add_up(agg.below) for agg in aggregations
    )


def _name(kinds: Kinds, aggregations: Sequence[Aggregation], answer: dict[str, Any]) -> None:
    """Replace the numbers of kinds by the values that they stand for, in a part's answer."""
    for agg in aggregations:
        for name in (agg.name, agg.name + _BY_KIND):
            for bucket in answer.get(name, {}).get("buckets", ()):
                _name(kinds, agg.below, bucket)
        by_kind = answer.get(agg.name + _BY_KIND)
        if by_kind is not None and agg.kind == "value_count":
            counts = [
                (bucket["doc_count"], kinds.values(int(bucket["key"]), agg.field)) for bucket in by_kind["buckets"]
            ]
            by_kind["value"] = sum(count * len(values) for count, values in counts)
        elif by_kind is not None:
            by_kind["buckets"] = _taken(
                kinds,
                agg,
                [
                    {**bucket, "key": value}
                    for bucket in by_kind["buckets"]
                    for value in set(kinds.values(int(bucket["key"]), agg.field))
                ],
            )


def _taken(kinds: Kinds, agg: Aggregation, buckets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the buckets that a `terms` aggregation includes and does not exclude, and the empty ones it asks for."""
    values = kinds.terms(agg.field, {name: agg.options[name] for name in ("include", "exclude") if name in agg.options})
    empty = [] if agg.options.get("min_doc_count", 1) else [{"key": value, "doc_count": 0} for value in values]
    return [*(bucket for bucket in buckets if bucket["key"] in values), *empty]


def _pieces(agg: Aggregation, answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is to be merged: of each answer what it says itself, and what it says by the kinds."""
    return [answer[name] for answer in answers for name in (agg.name, agg.name + _BY_KIND) if name in answer]


def _terms_of_part(part: Part, agg: Aggregation, condition: q.Condition) -> Iterator[dict[str, Any]]:
    """Yield the answers that make one index's buckets of `terms` or `multi_terms` by fields of the kind.

    The events whose kinds have the same values of these fields are asked together for the other fields, if any.
    """
    terms = agg.options["terms"] if agg.kind == "multi_terms" else [agg.options]
    counts = part.count_by_kind(condition)
    alike: dict[tuple[tuple[str, ...], ...], list[int]] = {}
    for number in counts:
        values = tuple(tuple(dict.fromkeys(part.kinds.values(number, term["field"]))) for term in terms)
        if any(values):
            alike.setdefault(values, []).append(number)
    named = [number for numbers in alike.values() for number in numbers]
    yield part.aggregate(condition, {"a": _native_body(agg, True, {})}, except_for=named)["a"]
    for values, numbers in alike.items():
        others = [term for term, held in zip(terms, values, strict=True) if not held]
        found: dict[str, Any] = {"buckets": [{"key": [], "doc_count": sum(counts[number] for number in numbers)}]}
        if others:
            found = part.aggregate(condition, {"a": _native_body(_of_terms(agg, others), True, {})}, among=numbers)["a"]
        if agg.kind == "terms":
            buckets = [{**bucket, "key": value} for bucket in found["buckets"] for value in values[0]]
            yield {**found, "buckets": _taken(part.kinds, agg, buckets)}
        else:
            yield {**found, "buckets": [whole for bucket in found["buckets"] for whole in _with_values(bucket, values)]}


def _of_terms(agg: Aggregation, terms: list[dict[str, Any]]) -> Aggregation:
    """Return the aggregation by some of the fields of a `multi_terms`."""
    kind, fields = ("multi_terms", {"terms": terms}) if len(terms) > 1 else ("terms", terms[0])
    return Aggregation(agg.name, kind, {**agg.options, **fields})


def _with_values(bucket: dict[str, Any], values: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield a bucket of the other fields once for each combination of the kind's values, all in their places."""
    key = bucket["key"] if isinstance(bucket["key"], list) else [bucket["key"]]
    rest = iter(key)
    for whole in product(*(held or (next(rest),) for held in values)):
        yield {**bucket, "key": list(whole), "key_as_string": "|".join(map(str, whole))}


def _merge(agg: Aggregation, parts: list[dict[str, Any]]) -> dict[str, Any]:
    if agg.kind in _STATS:
        stats = merge_stats(parts) if parts else {"count": 0, "sum": 0.0, "min": None, "max": None, "avg": None}
        if agg.field == q.TIME:
            stats = {name: value / 1000 if name != "count" and value else value for name, value in stats.items()}
        if agg.kind == "extended_stats":
            return extended(stats, float(agg.options.get("sigma", 2.0)))
        return stats if agg.kind == "stats" else {"value": stats[agg.kind]}
    if agg.kind == "value_count":
        return {"value": sum(part["value"] for part in parts)}
    if agg.kind in _NATIVE_ALONE:
        return parts[0] if parts else _of_nothing(agg)
    by_key: dict[Any, list[dict[str, Any]]] = {}
    for part in parts:
        for bucket in part["buckets"]:
            key = bucket["key"]
            by_key.setdefault(tuple(key) if isinstance(key, list) else key, []).append(bucket)
    buckets = [_merge_buckets(agg, group) for group in by_key.values()]
    if agg.kind in ("terms", "multi_terms"):
        return _finish_terms(agg, buckets, parts)
    if agg.kind == "range":
        return {"buckets": _finish_ranges(agg, buckets)}
    return {"buckets": _finish_histogram(agg, buckets)}


def _of_nothing(agg: Aggregation) -> dict[str, Any]:
    """Return the answer of `cardinality` or `percentiles` over no events."""
    if agg.kind == "cardinality":
        return {"value": 0}
    return {"values": {str(percent): None for percent in percents(agg.options)}}


def _merge_buckets(agg: Aggregation, group: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {
        name: group[0][name] for name in ("key", "key_as_string", "from", "to") if name in group[0]
    }
    merged["doc_count"] = sum(bucket["doc_count"] for bucket in group)
    for below in agg.below:
        merged[below.name] = _merge(below, _pieces(below, group))
    return merged


def _finish_terms(agg: Aggregation, buckets: list[dict[str, Any]], parts: list[dict[str, Any]]) -> dict[str, Any]:
    size, least = int(agg.options.get("size", 10)), int(agg.options.get("min_doc_count", 1))
    ordered = order_buckets([b for b in buckets if b["doc_count"] >= least], agg.options.get("order"))
    rest = sum(part.get("sum_other_doc_count", 0) for part in parts) + sum(b["doc_count"] for b in ordered[size:])
    error = sum(part.get("doc_count_error_upper_bound", 0) or 0 for part in parts)
    return {"doc_count_error_upper_bound": error, "sum_other_doc_count": rest, "buckets": ordered[:size]}


def _finish_ranges(agg: Aggregation, buckets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tantivy adds ranges that fill the gaps: keep the ones that were asked for, in the order asked."""
    held = {(bucket.get("from"), bucket.get("to")): bucket for bucket in buckets}
    finished = []
    for asked in agg.options["ranges"]:
        low, high = asked.get("from"), asked.get("to")
        empty = {"doc_count": 0, **{below.name: _merge(below, []) for below in agg.below}}
        bucket = dict(held.get((low, high), empty))
        names = {name: float(value) for name, value in (("from", low), ("to", high)) if value is not None}
        bucket.update(names, key=asked.get("key") or f"{names.get('from', '*')}-{names.get('to', '*')}")
        finished.append(bucket)
    return finished


def _finish_histogram(agg: Aggregation, buckets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    time = agg.kind == "date_histogram"
    interval = fixed_micros(agg.options["fixed_interval"]) if time else agg.options["interval"]
    buckets.sort(key=lambda bucket: bucket["key"])
    if int(agg.options.get("min_doc_count", 0)) == 0:
        buckets = _fill(agg, buckets, interval)
    else:
        buckets = [bucket for bucket in buckets if bucket["doc_count"] >= int(agg.options["min_doc_count"])]
    if time:
        for bucket in buckets:
            micros = round(bucket["key"])
            bucket.update(key=micros // 1000, key_as_string=key_text(agg.options, micros))
    return buckets


def _fill(agg: Aggregation, buckets: list[dict[str, Any]], interval: float) -> list[dict[str, Any]]:
    """Put empty buckets where there are none, between the first and the last and out to `extended_bounds`."""
    bounds = agg.options.get("extended_bounds") or {}
    to_key = (lambda value: q.moment(value, "extended_bounds")) if agg.kind == "date_histogram" else float
    shift = _offset(agg.options) if agg.kind == "date_histogram" else float(agg.options.get("offset", 0))
    keys = [bucket["key"] for bucket in buckets]
    keys += [(to_key(bounds[name]) - shift) // interval * interval + shift for name in ("min", "max") if name in bounds]
    if not keys:
        return []
    first, steps = min(keys), round((max(keys) - min(keys)) / interval) + 1
    if steps > MAX_BUCKETS:
        raise SearchError("search.too_many_buckets", place=agg.name, limit=MAX_BUCKETS)
    held = {round((bucket["key"] - first) / interval): bucket for bucket in buckets}
    return [
        held.get(step) or {"key": first + step * interval, "doc_count": 0, **{b.name: _merge(b, []) for b in agg.below}}
        for step in range(steps)
    ]


def _bucket_condition(agg: Aggregation, bucket: dict[str, Any]) -> q.Condition:
    """Return what the events of a bucket have in common."""
    if agg.kind == "terms":
        return _has(agg.options, bucket.get("key_as_string", bucket["key"]))
    if agg.kind == "multi_terms":
        terms = zip(agg.options["terms"], bucket["key"], strict=True)
        return q.Combined(must=tuple(_has(term, key) for term, key in terms))
    if agg.kind == "date_histogram":
        start = bucket["key"] * 1000
        return q.Within(q.TIME, start, start + fixed_micros(agg.options["fixed_interval"]) - 1)
    if agg.kind == "histogram":
        return q.Within(agg.field, bucket["key"], bucket["key"] + agg.options["interval"], include_high=False)
    low, high = bucket.get("from"), bucket.get("to")
    if agg.field == q.TIME:
        return q.Within(q.TIME, low, None if high is None else int(high) - 1)
    return q.Within(agg.field, low, high, include_high=False)


def _has(term: dict[str, Any], value: q.Value) -> q.Condition:
    """Return the condition that a field has a value; the one that stands for no value is also that of no value."""
    has = q.equals(term["field"], (value,))
    if term.get("missing") != value:
        return has
    return q.Combined(should=(has, q.Combined(must_not=(q.Exists(term["field"]),))), least=1)


def _percentile(buckets: list[dict[str, Any]], percent: float, step: float, low: float, high: float) -> float:
    wanted = percent / 100 * sum(bucket["doc_count"] for bucket in buckets)
    passed = 0
    for bucket in buckets:
        if passed + bucket["doc_count"] >= wanted:
            share = (wanted - passed) / bucket["doc_count"]
            return float(min(max(bucket["key"] + share * step, low), high))
        passed += bucket["doc_count"]
    return float(high)


def _offset(options: dict[str, Any]) -> int:
    """Return by how much the buckets are moved, in microseconds: `offset`, and the zone's own offset from UTC."""
    text = str(options.get("offset", "0ms")).lstrip("+")
    sign = -1 if text.startswith("-") else 1
    moved = sign * fixed_micros(text.lstrip("-")) if text.strip("-+0ms") else 0
    zone = options.get("time_zone")
    if zone is None:
        return moved
    away = datetime.now(q.zone_of(zone)).utcoffset() or timedelta()
    return moved - int(away.total_seconds()) * 1_000_000


def _calendar_edges(low: int, high: int, unit: str, zone: Any) -> list[int]:
    moment = _floor(datetime.fromtimestamp(low // 1_000_000, zone), unit)
    edges = [int(moment.timestamp()) * 1_000_000]
    while edges[-1] <= high:
        if len(edges) > MAX_BUCKETS:
            raise SearchError("search.too_many_buckets", place="calendar_interval", limit=MAX_BUCKETS)
        moment = _next(moment, unit)
        edges.append(int(moment.timestamp()) * 1_000_000)
    return edges


def _floor(moment: datetime, unit: str) -> datetime:
    minute = moment.replace(second=0, microsecond=0)
    if unit == "minute":
        return minute
    hour = minute.replace(minute=0)
    if unit == "hour":
        return hour
    day = hour.replace(hour=0)
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    first = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[unit]
    return day.replace(day=1, month=first)


def _next(moment: datetime, unit: str) -> datetime:
    steps = {
        "minute": timedelta(minutes=1),
        "hour": timedelta(hours=1),
        "day": timedelta(days=1),
        "week": timedelta(weeks=1),
    }
    if unit in steps:
        return moment + steps[unit]
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    total = moment.month - 1 + months
    return moment.replace(year=moment.year + total // 12, month=total % 12 + 1)

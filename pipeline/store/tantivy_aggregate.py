"""Aggregations over several embedded indexes: a checked tree enters, Elasticsearch's answer leaves.

What Tantivy can do itself is one call for each index, merged (`_native`). What it cannot (filters, top hits, the
distinct values and percentiles of several indexes) is composed: the buckets first, then a search in each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.event import from_micros
from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.aggregations import (
    MAX_BUCKETS,
    Aggregation,
    calendar_unit,
    fixed_micros,
    merge_stats,
    order_buckets,
    percents,
)
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
    "value_count",
}
#: These only for one index: their answers cannot be added up.
_NATIVE_ALONE = {"cardinality", "percentiles"}
_STATS = ("avg", "sum", "min", "max", "stats")
#: Steps of the scale on which percentiles of several indexes are read: an error of 0.01 % of the range.
_PERCENTILE_STEPS = 10_000

TopHits = Callable[[q.Condition, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Answers aggregations over `parts`; `top_hits` is how the caller searches."""

    parts: Sequence[Part]
    top_hits: TopHits

    def run(self, aggregations: Sequence[Aggregation], condition: q.Condition) -> dict[str, Any]:
        """Return `{name: answer}` over the events that fit `condition`."""
        native = [agg for agg in aggregations if self._is_native(agg)]
        answers = self._native(native, condition) if native else {}
        for agg in aggregations:
            if agg.name not in answers:
                answers[agg.name] = self._composed(agg, condition)
        return {agg.name: answers[agg.name] for agg in aggregations}

    def _is_native(self, agg: Aggregation) -> bool:
        able = agg.kind in _NATIVE or (agg.kind in _NATIVE_ALONE and len(self.parts) == 1)
        return able and not (agg.kind == "date_histogram" and calendar_unit(agg.options)) and all(
            self._is_native(below) for below in agg.below
        )  # fmt: skip

    def _native(self, aggregations: Sequence[Aggregation], condition: q.Condition) -> dict[str, Any]:
        many = len(self.parts) > 1
        body = {agg.name: _native_body(agg, many) for agg in aggregations}
        parts = [part.aggregate(condition, body) for part in self.parts]
        return {agg.name: _merge(agg, [part[agg.name] for part in parts]) for agg in aggregations}

    def _composed(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        if agg.kind in ("filter", "missing"):
            extra = agg.conditions[0][1] if agg.conditions else q.Combined(must_not=(q.Exists(agg.field),))
            return self._bucket(agg, q.Combined(must=(condition, extra)))
        if agg.kind == "filters":
            named = {name: self._bucket(agg, q.Combined(must=(condition, extra))) for name, extra in agg.conditions}
            listed = isinstance(agg.options["filters"], list)
            return {"buckets": list(named.values()) if listed else named}
        if agg.kind == "top_hits":
            return {"hits": self.top_hits(condition, agg.options)["hits"]}
        if agg.kind == "cardinality":
            return {"value": len(self._distinct(agg.field, condition))}
        if agg.kind == "percentiles":
            return self._percentiles(agg, condition)
        if agg.kind == "date_histogram" and calendar_unit(agg.options):
            return self._calendar(agg, condition)
        alone = Aggregation(agg.name, agg.kind, agg.options)
        answer: dict[str, Any] = self._native([alone], condition)[agg.name]
        for bucket in answer["buckets"]:
            bucket.update(self.run(agg.below, q.Combined(must=(condition, _bucket_condition(agg, bucket)))))
        return answer

    def _bucket(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        count = sum(part.count(condition) for part in self.parts)
        return {"doc_count": count, **self.run(agg.below, condition)}

    def _distinct(self, field: str, condition: q.Condition) -> set[Any]:
        body = {"a": {"terms": {"field": column(field), "size": MAX_BUCKETS}}}
        answers = [part.aggregate(condition, body) for part in self.parts]
        return {bucket["key"] for answer in answers for bucket in answer["a"]["buckets"]}

    def _percentiles(self, agg: Aggregation, condition: q.Condition) -> dict[str, Any]:
        spread = self._native([Aggregation("a", "stats", {"field": agg.field})], condition)["a"]
        if not spread["count"]:
            return {"values": {str(percent): None for percent in percents(agg.options)}}
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
        if not spread["count"]:
            return {"buckets": []}
        zone = _zone(agg.options.get("time_zone", "UTC"))
        low, high = int(spread["min"] * 1000), int(spread["max"] * 1000)
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
                {"key": start // 1000, "key_as_string": from_micros(start), "doc_count": bucket["doc_count"], **below}
            )
        return {"buckets": buckets}


def _native_body(agg: Aggregation, many: bool) -> dict[str, Any]:
    options = dict(agg.options)
    kind = agg.kind
    if kind in _STATS:
        return {"stats": {"field": column(agg.field)}}
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
        body = {name: options[name] for name in ("missing", "include", "exclude", "min_doc_count") if name in options}
        size = int(options.get("size", 10))
        body["size"] = min(size * 3 + 50, MAX_BUCKETS) if many else size
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
    native: dict[str, Any] = {kind: body}
    if agg.below:
        native["aggs"] = {below.name: _native_body(below, many) for below in agg.below}
    return native


def _native_order(agg: Aggregation) -> Any:
    """Return the order with the names that the numbers below have in Tantivy, where each of them is a `stats`."""
    order = agg.options["order"]
    kinds = {below.name: below.kind for below in agg.below}

    def renamed(rule: dict[str, str]) -> dict[str, str]:
        return {f"{path}.{kinds[path]}" if kinds.get(path) in _STATS else path: how for path, how in rule.items()}

    return [renamed(rule) for rule in order] if isinstance(order, list) else renamed(order)


def _merge(agg: Aggregation, parts: list[dict[str, Any]]) -> dict[str, Any]:
    if agg.kind in _STATS:
        stats = merge_stats(parts) if parts else {"count": 0, "sum": 0.0, "min": None, "max": None, "avg": None}
        if agg.field == q.TIME:
            stats = {name: value / 1000 if name != "count" and value else value for name, value in stats.items()}
        return stats if agg.kind == "stats" else {"value": stats[agg.kind]}
    if agg.kind == "value_count":
        return {"value": sum(part["value"] for part in parts)}
    if agg.kind in _NATIVE_ALONE:
        return parts[0]
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


def _merge_buckets(agg: Aggregation, group: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {
        name: group[0][name] for name in ("key", "key_as_string", "from", "to") if name in group[0]
    }
    merged["doc_count"] = sum(bucket["doc_count"] for bucket in group)
    for below in agg.below:
        merged[below.name] = _merge(below, [bucket[below.name] for bucket in group])
    return merged


def _finish_terms(agg: Aggregation, buckets: list[dict[str, Any]], parts: list[dict[str, Any]]) -> dict[str, Any]:
    size = int(agg.options.get("size", 10))
    ordered = order_buckets(buckets, agg.options.get("order"))
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
            bucket.update(key=micros // 1000, key_as_string=from_micros(micros))
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
        return q.equals(agg.field, (bucket.get("key_as_string", bucket["key"]),))
    if agg.kind == "multi_terms":
        fields = [term["field"] for term in agg.options["terms"]]
        return q.Combined(must=tuple(q.equals(name, (key,)) for name, key in zip(fields, bucket["key"], strict=True)))
    if agg.kind == "date_histogram":
        start = bucket["key"] * 1000
        return q.Within(q.TIME, start, start + fixed_micros(agg.options["fixed_interval"]) - 1)
    if agg.kind == "histogram":
        return q.Within(agg.field, bucket["key"], bucket["key"] + agg.options["interval"], include_high=False)
    low, high = bucket.get("from"), bucket.get("to")
    if agg.field == q.TIME:
        return q.Within(q.TIME, low, None if high is None else int(high) - 1)
    return q.Within(agg.field, low, high, include_high=False)


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
    away = datetime.now(_zone(zone)).utcoffset() or timedelta()
    return moved - int(away.total_seconds()) * 1_000_000


def _zone(name: str) -> Any:
    if name in ("UTC", "Z"):
        return UTC
    try:
        if name[:1] in "+-":
            return datetime.strptime(name, "%z").tzinfo
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SearchError("search.unknown_zone", value=name) from error


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

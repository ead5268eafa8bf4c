"""Aggregations in Elasticsearch: a checked tree enters, the node's own JSON leaves; its answer enters, ours leaves.

A field may have two columns (`elastic_schema.columns_of`): what counts values asks both, and the two answers are put
together here; each aggregation is named by its place in the list and the number of its part.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import orjson

from pipeline.event import Event
from pipeline.store import ALERTS, EVENTS
from pipeline.store import query as q
from pipeline.store.aggregations import (
    MAX_BUCKETS,
    Aggregation,
    extended,
    key_text,
    order_buckets,
    percents,
    top_metrics,
)
from pipeline.store.elastic_query import translate
from pipeline.store.elastic_schema import LINE, TIME, columns_of
from pipeline.store.request import hits_of, of_top_hits, parse_order

Json = dict[str, Any]
_OF_NUMBERS = frozenset(("avg", "sum", "min", "max", "stats"))
#: Distinct values up to which `cardinality` is nearly exact: the most that Elasticsearch takes.
_PRECISE = 40_000
_STATS = ("count", "min", "max", "avg", "sum")


def requests(aggregations: Sequence[Aggregation]) -> Json:
    """Return the content of `aggs` for a list of aggregations."""
    return {
        f"{place}p{number}": part
        for place, agg in enumerate(aggregations)
        for number, part in enumerate(_parts(agg))
        if part is not None
    }


def read(aggregations: Sequence[Aggregation], answer: Json) -> Json:
    """Return `{name: answer}` from the node's answer to `requests`; of no index at all there is none."""
    found = {}
    for place, agg in enumerate(aggregations):
        parts = [answer.get(f"{place}p{number}") for number in range(len(_parts(agg)))]
        found[agg.name] = _READERS.get(agg.kind, _read_buckets)(agg, parts)
    return found


def event_of(raw: Json) -> tuple[str, Event]:
    """Return the collection and the event of a hit, the event out of its line."""
    return (ALERTS if raw["_index"].endswith(ALERTS) else EVENTS), orjson.loads(raw["_source"][LINE])


def sort(field: str, descending: bool) -> list[Json]:
    """Return the sort keys for a field: numbers before texts, what is missing last."""
    how = {"order": "desc" if descending else "asc"}
    if field == q.TIME:
        return [{TIME: how}]
    texts, numbers = columns_of(field)
    keys = [
        {numbers: {**how, "missing": "_last", "unmapped_type": "double"}},
        {texts: {**how, "missing": "_last", "unmapped_type": "keyword"}},
    ]
    return keys[::-1] if descending else keys


def _parts(agg: Aggregation) -> list[Json | None]:
    """Return the node's aggregations that one of ours is made of."""
    below = {"aggs": requests(agg.below)} if agg.below else {}
    return [None if part is None else {**part, **below} for part in _PARTS[agg.kind](agg)]


def _of_numbers(agg: Aggregation) -> list[Json | None]:
    kind = "stats" if agg.kind in _OF_NUMBERS else agg.kind
    return [{kind: {"field": "@timestamp" if agg.field == q.TIME else columns_of(agg.field)[1]}}]


def _count(agg: Aggregation) -> list[Json | None]:
    if agg.field == q.TIME:
        return [{"value_count": {"field": TIME}}]
    return [{"value_count": {"field": name}} for name in columns_of(agg.field)]


def _cardinality(agg: Aggregation) -> list[Json | None]:
    precise = agg.options.get("precision_threshold", _PRECISE)
    return [{"cardinality": {"field": name, "precision_threshold": precise}} for name in columns_of(agg.field)]


def _percentiles(agg: Aggregation) -> list[Json | None]:
    return [{"percentiles": {"field": columns_of(agg.field)[1], "percents": percents(agg.options)}}]


def _filters(agg: Aggregation) -> list[Json | None]:
    return [{"filters": {"filters": {name: translate(condition) for name, condition in agg.conditions}}}]


def _filter(agg: Aggregation) -> list[Json | None]:
    return [{"filter": translate(agg.conditions[0][1])}]


def _missing(agg: Aggregation) -> list[Json | None]:
    return [{"filter": translate(q.Combined(must_not=(q.Exists(agg.field),)))}]


def _top_hits(agg: Aggregation) -> list[Json | None]:
    order = [key for item in parse_order(agg.options.get("sort")) for key in sort(item.field, item.descending)]
    size, start = agg.options.get("size", 3), agg.options.get("from", 0)
    return [{"top_hits": {"size": size, "from": start, "sort": order, "_source": [LINE]}}]


def _top_metrics(agg: Aggregation) -> list[Json | None]:
    return _top_hits(replace(agg, options={"size": 1, **agg.options}))


def _extended(agg: Aggregation) -> list[Json | None]:
    return [{"extended_stats": {"field": columns_of(agg.field)[1]}}]


def _date_histogram(agg: Aggregation) -> list[Json | None]:
    ours = ("format", "extended_bounds", "missing", "order")
    options = {name: value for name, value in agg.options.items() if name not in ours}
    bounds = agg.options.get("extended_bounds") or {}
    if bounds:
        options["extended_bounds"] = {name: q.moment(value, name) // 1000 for name, value in bounds.items()}
    return [{"date_histogram": {**options, "field": "@timestamp"}}]


def _histogram(agg: Aggregation) -> list[Json | None]:
    return [{"histogram": {**agg.options, "field": columns_of(agg.field)[1]}}]


def _range(agg: Aggregation) -> list[Json | None]:
    return [{"range": {"field": columns_of(agg.field)[1], "ranges": agg.options["ranges"]}}]


def _terms(agg: Aggregation) -> list[Json | None]:
    """The texts, the numbers, and the events without any where `missing` names a bucket for them."""
    options = {name: agg.options[name] for name in ("min_doc_count",) if name in agg.options}
    options["size"] = agg.options.get("size", 10)
    if "order" in agg.options:
        options["order"] = _order(agg)
    chosen: Json = {name: agg.options[name] for name in ("include", "exclude") if name in agg.options}
    texts, numbers = columns_of(agg.field)
    of_numbers: Json | None = {"terms": {"field": numbers, **options, **_numbers_of(chosen)}}
    if any(isinstance(value, str) for value in chosen.values()):  # a pattern: no number fits it
        of_numbers = None
    without = translate(q.Combined(must_not=(q.Exists(agg.field),)))
    return [
        {"terms": {"field": texts, **options, **chosen}},
        of_numbers,
        {"filter": without} if "missing" in agg.options else None,
    ]


def _numbers_of(chosen: Json) -> Json:
    return {
        name: [value for value in values if not isinstance(value, str)] or [0.5**40]
        for name, values in chosen.items()
        if not isinstance(values, str)
    }


def _multi_terms(agg: Aggregation) -> list[Json | None]:
    """Terms within terms, for each choice of columns: the node may lack `multi_terms` (it is of x-pack)."""
    choices = product(*(columns_of(term["field"]) for term in agg.options["terms"]))
    return [_nested(choice, {"aggs": requests(agg.below)} if agg.below else {}) for choice in choices]


def _nested(fields: Sequence[str], innermost: Json) -> Json:
    inside = {"aggs": {"next": _nested(fields[1:], innermost)}} if len(fields) > 1 else innermost
    return {"terms": {"field": fields[0], "size": MAX_BUCKETS}, **inside}


def _order(agg: Aggregation) -> Any:
    """Return the order with the names that the aggregations below have in the request."""
    order = agg.options["order"]
    places = {below.name: (place, below) for place, below in enumerate(agg.below)}

    def renamed(rule: Json) -> Json:
        ((path, how),) = rule.items()
        name, _, part = path.partition(".")
        if name not in places:
            return rule
        place, below = places[name]
        part = part or (below.kind if below.kind in _OF_NUMBERS - {"stats"} else "")
        if below.kind == "percentiles":
            return {f"{place}p0[{part}]": how}
        return {f"{place}p0" + (f".{part}" if part else ""): how}

    return [renamed(rule) for rule in order] if isinstance(order, list) else renamed(order)


_PARTS = {
    **dict.fromkeys(_OF_NUMBERS, _of_numbers),
    "value_count": _count, "cardinality": _cardinality, "percentiles": _percentiles, "filters": _filters,
    "filter": _filter, "missing": _missing, "top_hits": _top_hits, "top_metrics": _top_metrics,
    "extended_stats": _extended, "date_histogram": _date_histogram,
    "histogram": _histogram, "range": _range, "terms": _terms, "multi_terms": _multi_terms,
}  # fmt: skip

Parts = list[Json | None]


def _read_number(agg: Aggregation, parts: Parts) -> Json:
    raw = parts[0] or {"count": 0, "sum": 0.0}
    stats = {name: raw.get(name) for name in _STATS}
    return stats if agg.kind == "stats" else {"value": stats[agg.kind]}


def _read_extended(agg: Aggregation, parts: Parts) -> Json:
    raw = parts[0] or {"count": 0, "sum": 0.0}
    stats = {name: raw.get(name) for name in (*_STATS, "sum_of_squares")}
    return extended(stats, float(agg.options.get("sigma", 2.0)))


def _read_sum(_agg: Aggregation, parts: Parts) -> Json:
    return {"value": sum(part["value"] for part in parts if part)}


def _read_percentiles(agg: Aggregation, parts: Parts) -> Json:
    return {"values": parts[0]["values"] if parts[0] else dict.fromkeys(map(str, percents(agg.options)))}


def _read_one(agg: Aggregation, parts: Parts) -> Json:
    raw = parts[0] or {"doc_count": 0}
    return {"doc_count": raw["doc_count"], **read(agg.below, raw)}


def _read_filters(agg: Aggregation, parts: Parts) -> Json:
    held = parts[0]["buckets"] if parts[0] else {}
    named = {name: _read_one(agg, [held.get(name)]) for name, _ in agg.conditions}
    return {"buckets": list(named.values()) if isinstance(agg.options["filters"], list) else named}


def _read_top_hits(agg: Aggregation, parts: Parts) -> Json:
    raw: Json = parts[0]["hits"] if parts[0] else {"total": {"value": 0, "relation": "eq"}, "hits": []}
    found = [event_of(item) for item in raw["hits"]]
    return {"hits": {"total": raw["total"], "hits": hits_of(of_top_hits(agg.options, q.All()), found, 0)}}


def _read_top_metrics(agg: Aggregation, parts: Parts) -> Json:
    return {"top": top_metrics(agg.options, _read_top_hits(agg, parts)["hits"]["hits"])}


def _read_ranges(agg: Aggregation, parts: Parts) -> Json:
    """Put the ranges in the order in which they were asked for; Elasticsearch sorts them."""
    held = {(raw.get("from"), raw.get("to")): raw for raw in (parts[0]["buckets"] if parts[0] else [])}
    buckets = []
    for asked in agg.options["ranges"]:
        bounds = {name: float(asked[name]) for name in ("from", "to") if asked.get(name) is not None}
        raw = held.get((bounds.get("from"), bounds.get("to")))
        key = asked.get("key") or f"{bounds.get('from', '*')}-{bounds.get('to', '*')}"
        buckets.append({"key": key, **bounds, **_read_one(agg, [raw])})
    return {"buckets": buckets}


def _read_buckets(agg: Aggregation, parts: Parts) -> Json:
    buckets = []
    for raw in parts[0]["buckets"] if parts[0] else []:
        bucket = {"key": raw["key"], **_read_one(agg, [raw])}
        if agg.kind == "date_histogram":
            bucket["key_as_string"] = key_text(agg.options, raw["key"] * 1000)
        buckets.append(bucket)
    return {"buckets": buckets}


def _read_terms(agg: Aggregation, parts: Parts) -> Json:
    counted = [part for part in parts[:2] if part]
    buckets = [{"key": _key(raw["key"]), **_read_one(agg, [raw])} for part in counted for raw in part["buckets"]]
    if parts[2] and parts[2]["doc_count"]:
        buckets.append({"key": agg.options["missing"], **_read_one(agg, [parts[2]])})
    rest = sum(part["sum_other_doc_count"] for part in counted)
    error = sum(part["doc_count_error_upper_bound"] for part in counted)
    return _cut(agg, buckets, rest, error)


def _read_multi_terms(agg: Aggregation, parts: Parts) -> Json:
    depth = len(agg.options["terms"])
    flat = [bucket for part in parts if part for bucket in _flatten(agg, part, depth)]
    least = int(agg.options.get("min_doc_count", 1))
    return _cut(agg, [bucket for bucket in flat if bucket["doc_count"] >= least], 0, 0)


def _flatten(agg: Aggregation, part: Json, depth: int) -> list[Json]:
    if depth == 1:
        return [{"key": [_key(raw["key"])], **_read_one(agg, [raw])} for raw in part["buckets"]]
    return [
        {**bucket, "key": [_key(raw["key"]), *bucket["key"]]}
        for raw in part["buckets"]
        for bucket in _flatten(agg, raw["next"], depth - 1)
    ]


def _cut(agg: Aggregation, buckets: list[Json], rest: int, error: int) -> Json:
    size = int(agg.options.get("size", 10))
    ordered = order_buckets(buckets, agg.options.get("order"))
    rest += sum(bucket["doc_count"] for bucket in ordered[size:])
    return {"doc_count_error_upper_bound": error, "sum_other_doc_count": rest, "buckets": ordered[:size]}


def _key(key: Any) -> Any:
    """Return a number as it went in: every number's column is of floating point."""
    return int(key) if isinstance(key, float) and key.is_integer() else key


_READERS = {
    **dict.fromkeys(_OF_NUMBERS, _read_number),
    "value_count": _read_sum, "cardinality": _read_sum, "percentiles": _read_percentiles, "filters": _read_filters,
    "filter": _read_one, "missing": _read_one, "top_hits": _read_top_hits, "top_metrics": _read_top_metrics,
    "extended_stats": _read_extended, "range": _read_ranges,
    "terms": _read_terms, "multi_terms": _read_multi_terms,
}  # fmt: skip

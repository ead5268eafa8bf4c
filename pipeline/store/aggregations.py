"""Aggregations: Elasticsearch's aggregation JSON enters, a checked tree leaves; and parts of answers become one.

The subset (names and meaning as in Elasticsearch 8's aggregations reference): buckets `terms`, `multi_terms`,
`date_histogram` (of `@timestamp`), `histogram`, `range`, `filter`, `filters`, `missing`; numbers `avg`, `sum`, `min`,
`max`, `stats`, `extended_stats`, `value_count`, `cardinality`, `percentiles`; `top_hits`, `top_metrics`; and those made
of the buckets' numbers (`pipelines.py`).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.pipelines import PIPELINES, Pipeline, number_at, parse_pipelines
from pipeline.store.query_dsl import parse_query
from pipeline.store.times import check_format, written

#: As Elasticsearch's `search.max_buckets`.
MAX_BUCKETS = 65_535
_MAX_DEPTH = 6
_UNIT_MICROS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
CALENDAR = ("minute", "hour", "day", "week", "month", "quarter", "year")
_CALENDAR_SHORT = {
    "1m": "minute",
    "1h": "hour",
    "1d": "day",
    "1w": "week",
    "1M": "month",
    "1q": "quarter",
    "1y": "year",
}
#: What can be asked of `@timestamp`; numbers of it are milliseconds since 1970, as in Elasticsearch.
_OF_TIME = frozenset({"date_histogram", "avg", "min", "max", "stats", "value_count", "missing"})
#: Fields that no aggregation can be made of: words are no values, and every event has an id of its own.
_NO_COLUMN = q.TEXT_FIELDS | {"event.id"}
_DEFAULT_PERCENTS = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)

_BUCKETS = {
    "terms": {"field", "size", "order", "missing", "min_doc_count", "include", "exclude", "shard_size"},
    "multi_terms": {"terms", "size", "order", "min_doc_count", "shard_size"},
    "date_histogram": {
        "field", "fixed_interval", "calendar_interval", "time_zone", "offset", "min_doc_count", "extended_bounds",
        "format", "missing", "order",
    },
    "histogram": {"field", "interval", "offset", "min_doc_count", "extended_bounds"},
    "range": {"field", "ranges", "keyed"},
    "filter": set(),
    "filters": {"filters"},
    "missing": {"field"},
}  # fmt: skip
_NUMBERS = {
    "avg": {"field"}, "sum": {"field"}, "min": {"field"}, "max": {"field"}, "stats": {"field"},
    "value_count": {"field"}, "cardinality": {"field", "precision_threshold"},
    "percentiles": {"field", "percents", "keyed"}, "extended_stats": {"field", "sigma"},
    "top_hits": {"size", "sort", "_source", "from"}, "top_metrics": {"metrics", "sort", "size"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One named aggregation. `conditions`: the parsed filters of `filter` and `filters`, by bucket name; `after`: what
    is made of the numbers of its buckets when they are all there."""

    name: str
    kind: str
    options: dict[str, Any]
    below: tuple["Aggregation", ...] = ()
    conditions: tuple[tuple[str, q.Condition], ...] = ()
    after: tuple[Pipeline, ...] = ()

    @property
    def field(self) -> str:
        """The field it is made of; empty where it has none."""
        return str(self.options.get("field", ""))


def parse_aggregations(body: Any, place: str = "aggs", depth: int = 0) -> tuple[Aggregation, ...]:
    """Read the content of `aggs`.

    Raises:
        SearchError: names the place, what stands there and what is expected.
    """
    if not isinstance(body, dict):
        raise SearchError("search.want_object", place=place, value=repr(body)[:100])
    if depth >= _MAX_DEPTH:
        raise SearchError("search.too_deep", limit=_MAX_DEPTH)
    return tuple(_parse_one(name, content, f"{place}.{name}", depth) for name, content in body.items())


def _parse_one(name: str, content: Any, place: str, depth: int) -> Aggregation:
    if not isinstance(content, dict):
        raise SearchError("search.want_object", place=place, value=repr(content)[:100])
    if set(content) & PIPELINES:
        raise SearchError("search.pipeline_outside", place=place, value=", ".join(sorted(set(content) & PIPELINES)))
    kinds = [key for key in content if key not in ("aggs", "aggregations", "meta")]
    known = {**_BUCKETS, **_NUMBERS}
    if len(kinds) != 1 or kinds[0] not in known:
        raise SearchError(
            "search.unknown_aggregation",
            place=place,
            value=", ".join(map(str, kinds))[:100] or "-",
            known=", ".join((*known, *sorted(PIPELINES))),
        )
    kind = kinds[0]
    options = content[kind]
    below, after = parse_pipelines(content.get("aggs", content.get("aggregations")), kind, place)
    if below and kind not in _BUCKETS:
        raise SearchError("search.nothing_below", place=place, value=kind)
    conditions: tuple[tuple[str, q.Condition], ...] = ()
    if kind == "filter":
        conditions, options = (("filter", parse_query(options)),), {}
    if not isinstance(options, dict):
        raise SearchError("search.want_object", place=f"{place}.{kind}", value=repr(options)[:100])
    for key in options:
        if key not in known[kind]:
            raise SearchError(
                "search.unknown_key", place=f"{place}.{kind}", value=key, known=", ".join(sorted(known[kind]))
            )
    if kind == "filters":
        conditions = _named_filters(options.get("filters"), place)
    _check(kind, options, f"{place}.{kind}")
    inside = parse_aggregations(below, place, depth + 1) if below else ()
    if kind in ("terms", "multi_terms") and "order" in options:
        options = {**options, "order": _order_of(options["order"], inside, f"{place}.{kind}")}
    return Aggregation(name, kind, options, inside, conditions, after)


def _named_filters(filters: Any, place: str) -> tuple[tuple[str, q.Condition], ...]:
    if isinstance(filters, list):
        filters = {str(number): item for number, item in enumerate(filters)}
    if not isinstance(filters, dict) or not filters:
        raise SearchError("search.missing", place=f"{place}.filters", name="filters")
    return tuple((name, parse_query(item)) for name, item in filters.items())


def _check(kind: str, options: dict[str, Any], place: str) -> None:
    if "field" in {**_BUCKETS, **_NUMBERS}[kind] and not isinstance(options.get("field"), str):
        raise SearchError("search.missing", place=place, name="field")
    for name in (options.get("field"), *(term.get("field") for term in _listed(options.get("terms")))):
        if name in _NO_COLUMN and not (kind == "missing" and name == "event.id"):
            raise SearchError("search.no_column", place=f"{place}.field", value=name)
    if options.get("field") == q.TIME and kind not in _OF_TIME:
        raise SearchError("search.not_of_time", place=f"{place}.field", known=", ".join(sorted(_OF_TIME)))
    if not isinstance(options.get("time_zone", "UTC"), str):
        raise SearchError("search.unknown_zone", value=options["time_zone"])
    if kind in ("terms", "multi_terms", "top_hits", "top_metrics"):
        size = options.get("size", 10)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_BUCKETS:
            raise SearchError("search.want_count", place=f"{place}.size", value=repr(size))
    if kind in _CHECKS:
        _CHECKS[kind](options, place)


def _check_multi_terms(options: dict[str, Any], place: str) -> None:
    terms = options.get("terms") or [None]
    if not all(isinstance(term, dict) and isinstance(term.get("field"), str) for term in terms):
        raise SearchError("search.missing", place=place, name="terms")


def _check_date_histogram(options: dict[str, Any], place: str) -> None:
    if options["field"] != q.TIME:
        raise SearchError("search.time_only", place=f"{place}.field", value=options["field"])
    calendar_unit(options, place)
    check_format(options.get("format"), place)
    if options.get("order", {"_key": "asc"}) != {"_key": "asc"}:
        raise SearchError("search.want_sort", place=f"{place}.order", value=repr(options["order"])[:100])


def _check_histogram(options: dict[str, Any], place: str) -> None:
    if not _positive(options.get("interval")):
        raise SearchError("search.want_interval", place=f"{place}.interval", value=repr(options.get("interval")))


def _check_range(options: dict[str, Any], place: str) -> None:
    if not (isinstance(options.get("ranges"), list) and options["ranges"]):
        raise SearchError("search.missing", place=place, name="ranges")


def _check_top_metrics(options: dict[str, Any], place: str) -> None:
    if not measured(options):
        raise SearchError("search.missing", place=place, name="metrics")


_CHECKS: dict[str, Callable[[dict[str, Any], str], object]] = {
    "multi_terms": _check_multi_terms, "date_histogram": _check_date_histogram, "histogram": _check_histogram,
    "range": _check_range, "top_metrics": _check_top_metrics, "percentiles": lambda options, _place: percents(options),
}  # fmt: skip


_PARTS: dict[str, tuple[str, ...]] = {"stats": ("count", "sum", "min", "max", "avg")}
_PARTS["extended_stats"] = (
    *_PARTS["stats"], "sum_of_squares", "variance", "std_deviation", "variance_population", "variance_sampling",
    "std_deviation_population", "std_deviation_sampling",
)  # fmt: skip
#: `name[part]`: another way to write `name.part`.
_PART = re.compile(r"(.+?)\[([^\[\]]+)\]")


def _order_of(order: Any, below: tuple[Aggregation, ...], place: str) -> list[dict[str, str]]:
    """Return the rules of an order, each one path with its direction.

    Raises:
        SearchError: one is none, or orders by what is not below.
    """
    rules = []
    for rule in order if isinstance(order, list) else [order]:
        if not isinstance(rule, dict) or len(rule) != 1 or next(iter(rule.values())) not in ("asc", "desc"):
            raise SearchError("search.want_sort", place=f"{place}.order", value=repr(rule)[:100])
        ((path, direction),) = rule.items()
        path = {"_term": "_key"}.get(path, _PART.sub(r"\1.\2", path))
        known = ("_key", "_count", *(name for agg in below for name in _numbers_of(agg)))
        if path not in known:
            raise SearchError("search.unknown_key", place=f"{place}.order", value=path[:100], known=", ".join(known))
        rules.append({path: direction})
    return rules


def _numbers_of(agg: Aggregation) -> list[str]:
    """Return the paths of an aggregation's numbers."""
    if agg.kind in _PARTS:
        return [f"{agg.name}.{part}" for part in _PARTS[agg.kind]]
    if agg.kind == "percentiles":
        numbers = percents(agg.options)
        return [f"{agg.name}.{text}" for number in numbers for text in {f"{number:g}", str(number)}]
    return [agg.name, f"{agg.name}.value"] if agg.kind in _NUMBERS and not agg.kind.startswith("top_") else []


def _listed(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def measured(options: dict[str, Any]) -> list[str]:
    """Return the fields that `top_metrics` asks for."""
    metrics = options.get("metrics")
    listed = _listed(metrics if isinstance(metrics, list) else [metrics])
    return [metric["field"] for metric in listed if isinstance(metric.get("field"), str)]


def calendar_unit(options: dict[str, Any], place: str = "") -> str | None:
    """Return the calendar unit of a date histogram, or None where it has a fixed interval."""
    unit = options.get("calendar_interval")
    if unit is None:
        fixed_micros(options.get("fixed_interval"), place)
        return None
    unit = _CALENDAR_SHORT.get(unit, unit)
    if unit not in CALENDAR:
        raise SearchError("search.want_interval", place=f"{place}.calendar_interval", value=repr(unit))
    return str(unit)


def fixed_micros(text: Any, place: str = "") -> int:
    """Return an interval such as `30s`, `5m`, `1h` or `7d` in microseconds."""
    digits = str(text).rstrip("msdh")
    unit = str(text)[len(digits) :]
    if not digits.isdigit() or int(digits) == 0 or unit not in _UNIT_MICROS:
        raise SearchError("search.want_interval", place=f"{place}.fixed_interval", value=repr(text))
    return int(digits) * _UNIT_MICROS[unit]


def percents(options: dict[str, Any]) -> list[float]:
    """Return the percentiles that are asked for.

    Raises:
        SearchError: one is no number from 0 to 100.
    """
    asked = options.get("percents") or _DEFAULT_PERCENTS
    try:
        found = [float(percent) for percent in asked]
    except (ValueError, TypeError):
        found = [-1.0]
    if not all(0 <= percent <= 100 for percent in found):
        raise SearchError("search.want_percents", place="percents", value=repr(asked)[:100])
    return found


def merge_stats(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one `stats` answer of several."""
    count = sum(part["count"] for part in parts)
    total = sum(part["sum"] or 0.0 for part in parts)
    lows = [part["min"] for part in parts if part["min"] is not None]
    highs = [part["max"] for part in parts if part["max"] is not None]
    return {
        "count": count, "sum": total, "min": min(lows, default=None), "max": max(highs, default=None),
        "avg": total / count if count else None,
        **({"sum_of_squares": sum(part["sum_of_squares"] or 0.0 for part in parts)} if _are_extended(parts) else {}),
    }  # fmt: skip


def _are_extended(parts: list[dict[str, Any]]) -> bool:
    return any("sum_of_squares" in part for part in parts)


def key_text(options: dict[str, Any], micros: int) -> str:
    """Return `key_as_string` of a bucket of a date histogram."""
    zone = q.zone_of(str(options["time_zone"])) if "time_zone" in options and "format" in options else UTC
    return written(micros, options.get("format"), zone)


def top_metrics(options: dict[str, Any], hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the content of `top` from hits."""
    names = measured(options)
    return [
        {"sort": hit["sort"], "metrics": {name: _first(hit["_source"].get(name)) for name in names}} for hit in hits
    ]


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def extended(stats: dict[str, Any], sigma: float = 2.0) -> dict[str, Any]:
    """Return an `extended_stats` answer from count, sum, min, max, avg and sum_of_squares."""
    count, total, squares = stats["count"], stats["sum"], stats.get("sum_of_squares") or 0.0
    population = max(0.0, (squares - total * total / count) / count) if count else None
    sampling = max(0.0, (squares - total * total / count) / (count - 1)) if count > 1 else None
    answer = {**stats, "sum_of_squares": squares if count else None, "variance": population}
    answer |= {"variance_population": population, "variance_sampling": sampling, "std_deviation": _root(population)}
    answer |= {"std_deviation_population": _root(population), "std_deviation_sampling": _root(sampling)}
    bounds = {}
    for suffix, variance in (("", population), ("_population", population), ("_sampling", sampling)):
        away = _root(variance)
        bounds["upper" + suffix] = None if away is None else stats["avg"] + sigma * away
        bounds["lower" + suffix] = None if away is None else stats["avg"] - sigma * away
    return {**answer, "std_deviation_bounds": bounds}


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


def order_buckets(buckets: list[dict[str, Any]], order: Any) -> list[dict[str, Any]]:
    """Sort buckets as `order` says (default: most documents first, then by key)."""
    rules = order if isinstance(order, list) else [order] if order else [{"_count": "desc"}]
    ordered = sorted(buckets, key=lambda bucket: _sortable(bucket["key"]))
    for rule in reversed(rules):
        ((path, direction),) = rule.items()
        ordered.sort(key=lambda bucket: _order_value(bucket, path), reverse=str(direction).lower() == "desc")
    return ordered


def _order_value(bucket: dict[str, Any], path: str) -> Any:
    if path == "_key":
        return _sortable(bucket["key"])
    if path == "_count":
        return bucket["doc_count"]
    value = number_at(bucket, path)
    return (value is not None, value or 0)


def _sortable(key: Any) -> Any:
    if isinstance(key, list):
        return [_sortable(part) for part in key]
    return (isinstance(key, str), key)


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0

"""Aggregations: Elasticsearch's aggregation JSON enters, a checked tree leaves; and parts of answers become one.

The subset (names and meaning as in Elasticsearch 8's aggregations reference): buckets `terms`, `multi_terms`,
`date_histogram` (of `@timestamp`), `histogram`, `range`, `filter`, `filters`, `missing`; numbers `avg`, `sum`, `min`,
`max`, `stats`, `value_count`, `cardinality`, `percentiles`; and `top_hits`.
"""

from dataclasses import dataclass
from typing import Any

from pipeline.store import SearchError
from pipeline.store import query as q

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
_DEFAULT_PERCENTS = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)

_BUCKETS = {
    "terms": {"field", "size", "order", "missing", "min_doc_count", "include", "exclude", "shard_size"},
    "multi_terms": {"terms", "size", "order", "min_doc_count", "shard_size"},
    "date_histogram": {
        "field", "fixed_interval", "calendar_interval", "time_zone", "offset", "min_doc_count", "extended_bounds",
        "format",
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
    "percentiles": {"field", "percents", "keyed"},
    "top_hits": {"size", "sort", "_source", "from"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One named aggregation. `conditions`: the parsed filters of `filter` and `filters`, by bucket name."""

    name: str
    kind: str
    options: dict[str, Any]
    below: tuple["Aggregation", ...] = ()
    conditions: tuple[tuple[str, q.Condition], ...] = ()

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
    kinds = [key for key in content if key not in ("aggs", "aggregations", "meta")]
    known = {**_BUCKETS, **_NUMBERS}
    if len(kinds) != 1 or kinds[0] not in known:
        raise SearchError(
            "search.unknown_aggregation", place=place, value=", ".join(kinds) or "-", known=", ".join(known)
        )
    kind = kinds[0]
    options = content[kind]
    below = content.get("aggs", content.get("aggregations"))
    if below and kind not in _BUCKETS:
        raise SearchError("search.nothing_below", place=place, value=kind)
    conditions: tuple[tuple[str, q.Condition], ...] = ()
    if kind == "filter":
        conditions, options = (("filter", q.parse_query(options)),), {}
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
    return Aggregation(name, kind, options, parse_aggregations(below, place, depth + 1) if below else (), conditions)


def _named_filters(filters: Any, place: str) -> tuple[tuple[str, q.Condition], ...]:
    if isinstance(filters, list):
        filters = {str(number): item for number, item in enumerate(filters)}
    if not isinstance(filters, dict) or not filters:
        raise SearchError("search.missing", place=f"{place}.filters", name="filters")
    return tuple((name, q.parse_query(item)) for name, item in filters.items())


def _check(kind: str, options: dict[str, Any], place: str) -> None:
    if "field" in {**_BUCKETS, **_NUMBERS}[kind] and not isinstance(options.get("field"), str):
        raise SearchError("search.missing", place=place, name="field")
    if options.get("field") == q.TIME and kind not in _OF_TIME:
        raise SearchError("search.not_of_time", place=f"{place}.field", known=", ".join(sorted(_OF_TIME)))
    if not isinstance(options.get("time_zone", "UTC"), str):
        raise SearchError("search.unknown_zone", value=options["time_zone"])
    if kind == "multi_terms" and not all(
        isinstance(term, dict) and isinstance(term.get("field"), str) for term in options.get("terms") or [None]
    ):
        raise SearchError("search.missing", place=place, name="terms")
    if kind in ("terms", "multi_terms", "top_hits"):
        size = options.get("size", 10)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_BUCKETS:
            raise SearchError("search.want_count", place=f"{place}.size", value=repr(size))
    if kind in ("terms", "multi_terms"):
        _check_order(options.get("order", {"_count": "desc"}), place)
    if kind == "date_histogram":
        if options["field"] != q.TIME:
            raise SearchError("search.time_only", place=f"{place}.field", value=options["field"])
        calendar_unit(options, place)
    if kind == "histogram" and not _positive(options.get("interval")):
        raise SearchError("search.want_interval", place=f"{place}.interval", value=repr(options.get("interval")))
    if kind == "range" and not (isinstance(options.get("ranges"), list) and options["ranges"]):
        raise SearchError("search.missing", place=place, name="ranges")


def _check_order(order: Any, place: str) -> None:
    for rule in order if isinstance(order, list) else [order]:
        if not isinstance(rule, dict) or len(rule) != 1 or next(iter(rule.values())) not in ("asc", "desc"):
            raise SearchError("search.want_sort", place=f"{place}.order", value=repr(rule)[:100])


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
    """Return the percentiles that are asked for."""
    return [float(percent) for percent in options.get("percents") or _DEFAULT_PERCENTS]


def merge_stats(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one `stats` answer of several."""
    count = sum(part["count"] for part in parts)
    total = sum(part["sum"] or 0.0 for part in parts)
    lows = [part["min"] for part in parts if part["min"] is not None]
    highs = [part["max"] for part in parts if part["max"] is not None]
    return {
        "count": count, "sum": total, "min": min(lows, default=None), "max": max(highs, default=None),
        "avg": total / count if count else None,
    }  # fmt: skip


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
    name, _, part = path.partition(".")
    value = bucket.get(name, {}).get(part or "value")
    return (value is not None, value or 0)


def _sortable(key: Any) -> Any:
    if isinstance(key, list):
        return [_sortable(part) for part in key]
    return (isinstance(key, str), key)


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0

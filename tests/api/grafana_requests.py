"""Search bodies as Grafana's Elasticsearch data source makes them (`pkg/tsdb/elasticsearch` of Grafana 10 to 12), written
for our events; and how an answer is compared with another node's."""

from collections.abc import Iterator
from math import isclose
from typing import Any

Json = dict[str, Any]


def range_of(start: int, end: int, text: str = "") -> Json:
    """Return the query of a panel: a time range in milliseconds, and the query bar's text."""
    times: Json = {"range": {"@timestamp": {"format": "epoch_millis", "gte": start, "lte": end}}}
    if not text:
        return {"bool": {"filter": times}}
    return {"bool": {"filter": [times, {"query_string": {"analyze_wildcard": True, "query": text}}]}}


def over_time(start: int, end: int, interval: str, below: Json | None = None, **options: Any) -> Json:
    """Return the date histogram that a panel over time asks for."""
    histogram = {
        "date_histogram": {
            "extended_bounds": {"max": end, "min": start}, "field": "@timestamp", "fixed_interval": interval,
            "format": "epoch_millis", "min_doc_count": 0, **options,
        }
    }  # fmt: skip
    return {**histogram, "aggs": below} if below else histogram


def metrics(start: int, end: int, aggs: Json, text: str = "") -> Json:
    """Return a body of a panel of numbers."""
    return {"aggs": aggs, "query": range_of(start, end, text), "size": 0}


def documents(start: int, end: int, text: str = "", logs: bool = False, **more: Any) -> Json:
    """Return a body of a panel of raw documents or logs."""
    body = {
        "docvalue_fields": ["@timestamp"], "script_fields": {}, "size": 100,
        "fields": [{"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
        "query": range_of(start, end, text),
        "sort": {"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}}, **more,
    }  # fmt: skip
    if logs:
        body["highlight"] = {
            "fields": {"*": {}}, "fragment_size": 2147483647, "post_tags": ["@/HIGHLIGHT@"],
            "pre_tags": ["@HIGHLIGHT@"],
        }  # fmt: skip
        body["aggs"] = {"1": over_time(start, end, "86400000ms")}
    return body


def bodies(start: int, end: int) -> dict[str, Json]:
    """Return what panels ask, by name, all of it also what a real node can answer."""

    def by_time(below: Json, interval: str = "1h", **options: Any) -> Json:
        return {"2": over_time(start, end, interval, below, **options)}

    terms = {"field": "user.name", "order": {"_key": "desc"}, "size": 10}
    return {
        "count": metrics(start, end, by_time({})),
        "count in local days": metrics(start, end, by_time({}, "1d", time_zone="Asia/Ho_Chi_Minh")),
        "query text": metrics(start, end, by_time({}), 'host.name:"combo" OR process.name:sshd'),
        "query of a wildcard": metrics(start, end, by_time({}), "source.ip:183.* AND NOT user.name:root"),
        "numbers": metrics(start, end, by_time({
            "1": {"max": {"field": "source.port"}}, "3": {"min": {"field": "source.port"}},
            "4": {"avg": {"field": "source.port"}}, "5": {"sum": {"field": "source.port"}},
            "6": {"cardinality": {"field": "source.ip"}}, "7": {"value_count": {"field": "source.port"}},
            "8": {"extended_stats": {"field": "source.port"}},
        })),
        "percentiles": metrics(start, end, by_time({"1": {"percentiles": {"field": "source.port", "percents": ["25", "50", "95"]}}}, "1d")),
        "terms over time": metrics(start, end, {"4": {"terms": terms, "aggs": by_time({"1": {"max": {"field": "source.port"}}})}}),
        "terms by count": metrics(start, end, {"3": {"terms": {
            "field": "source.ip", "size": 500, "order": {"_count": "desc"}, "min_doc_count": 2}}}),
        "terms by a number": metrics(start, end, {"3": {
            "terms": {"field": "host.name", "size": 5, "order": {"1": "desc"}}, "aggs": {"1": {"sum": {"field": "source.port"}}}}}),
        "terms with what is missing": metrics(start, end, {"3": {
            "terms": {"field": "user.name", "size": 500, "order": {"_key": "asc"}, "missing": "(none)"}}}),
        "terms in terms": metrics(start, end, {"3": {
            "terms": {"field": "event.dataset", "size": 10, "order": {"_key": "asc"}},
            "aggs": {"4": {"terms": {"field": "event.outcome", "size": 10, "order": {"_count": "desc"}}}}}}),
        "filters": metrics(start, end, {"3": {
            "filters": {"filters": {
                "failed": {"query_string": {"query": "event.outcome:failure", "analyze_wildcard": True}},
                "good": {"query_string": {"query": "event.outcome:success", "analyze_wildcard": True}}}},
            "aggs": by_time({})}}),
        "histogram": metrics(start, end, {"3": {"histogram": {"field": "source.port", "interval": 10000, "min_doc_count": 0}}}),
        # (the node of the tests has no `derivative`, `moving_fn` or `bucket_script`: modules of the full one)
        "made of buckets": metrics(start, end, by_time({
            "1": {"sum": {"field": "source.port"}}, "4": {"cumulative_sum": {"buckets_path": "1"}},
            "5": {"serial_diff": {"buckets_path": "_count", "lag": 2}}, "6": {"serial_diff": {"buckets_path": "1"}},
        })),
        "documents": documents(start, end),
        "documents of a text": documents(start, end, "event.outcome:failure"),
        "logs": documents(start, end, "process.name:sshd", logs=True),
        "no hits": metrics(start, start + 1, by_time({"1": {"avg": {"field": "source.port"}}})),
        "variable": {"size": 0, "query": range_of(start, end), "aggs": {"1": {"terms": {
            "field": "host.name", "size": 500, "order": {"_key": "asc"}, "min_doc_count": 1}}}},
        "annotation": {"size": 10000, "query": {"bool": {"filter": [
            {"bool": {"should": [{"range": {"@timestamp": {"from": start, "to": end, "format": "epoch_millis"}}}], "minimum_should_match": 1}},
            {"query_string": {"query": "event.outcome:success"}}]}}},
    }  # fmt: skip


_PIPELINES = frozenset(("derivative", "cumulative_sum", "serial_diff", "moving_fn", "bucket_script"))


def of_panel(target: Json, start: int, end: int, interval: str, variables: dict[str, str]) -> Json:
    """Return the body that Grafana makes of a panel's query; `variables` are the values of the dashboard's."""
    text = target["query"]
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    assert "$" not in text, text
    kind = target["metrics"][0]["type"]
    settings = target["metrics"][0].get("settings", {})
    if kind in ("logs", "raw_data"):
        return documents(start, end, text, kind == "logs", size=int(settings.get("limit") or settings.get("size")))
    aggs = {
        metric["id"]: _metric(metric, target["metrics"]) for metric in target["metrics"] if metric["type"] != "count"
    }
    for bucket in reversed(target["bucketAggs"]):
        aggs = {bucket["id"]: _bucket(bucket, aggs, target["metrics"], start, end, interval)}
    return metrics(start, end, aggs, text)


def _metric(metric: Json, all_of_them: list[Json]) -> Json:
    kind, settings = metric["type"], metric.get("settings", {})
    if kind in _PIPELINES:
        counts = {each["id"] for each in all_of_them if each["type"] == "count"}
        return {kind: {"buckets_path": "_count" if metric["field"] in counts else metric["field"], **settings}}
    return {kind: {"field": metric["field"], **settings}}


def _bucket(bucket: Json, below: Json, of_metrics: list[Json], start: int, end: int, interval: str) -> Json:
    settings, kind = bucket["settings"], bucket["type"]
    if kind == "date_histogram":
        wanted = settings["interval"]
        return over_time(start, end, interval if wanted == "auto" else wanted, below)
    if kind == "filters":
        named = {
            each["label"]: {"query_string": {"analyze_wildcard": True, "query": each["query"]}}
            for each in settings["filters"]
        }
        content: Json = {"filters": {"filters": named}}
    else:
        assert kind == "terms"
        order = settings["orderBy"]
        options = {name: settings[name] for name in ("missing",) if name in settings}
        content = {"terms": {
            "field": bucket["field"], "size": int(settings["size"]), "order": {order: settings["order"]},
            "min_doc_count": int(settings["min_doc_count"]), **options,
        }}  # fmt: skip
        by = [metric for metric in of_metrics if metric["id"] == order]
        below = {**below, **{metric["id"]: _metric(metric, of_metrics) for metric in by}}
    return {**content, "aggs": below} if below else content


#: What of an answer depends on where it was computed.
_OF_THE_PLACE = frozenset((
    "took", "_shards", "_index", "_score", "max_score", "timed_out", "highlight", "doc_count_error_upper_bound",
    "sum_other_doc_count", "_source", "sort", "status", "meta", "std_deviation_bounds", "relation",
))  # fmt: skip


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Yield where two answers differ, but for what depends on the place and for the last digits of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys(), key=str):
            if name not in _OF_THE_PLACE:
                yield from differences(one.get(name, "absent"), other.get(name, "absent"), f"{place}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}[{number}]")
    elif not _are_equal(one, other):
        yield f"{place}: {str(one)[:200]} and {str(other)[:200]}"


def _are_equal(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    # the spread of one value, which is no number of JSON
    return bool(one == other or (one is None and str(other).lower() == "nan"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""Numbers made of other numbers of buckets: Elasticsearch's pipeline aggregations enter, the answer leaves with them.

The subset: `derivative`, `cumulative_sum`, `serial_diff`, `moving_fn` (with one of Elasticsearch's `MovingFunctions`),
of the buckets of a histogram in their order; `bucket_script` (with arithmetic), of each bucket by itself. An empty
bucket has no number: what is made of it is null (`gap_policy` `skip`, the only one).
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeline.store import SearchError
from pipeline.store.arithmetic import Expression, parse_expression

_HISTOGRAMS = ("date_histogram", "histogram")
_PARTED = re.compile(r"(.+?)\[([^\[\]]+)\]")
_KEYS = {
    "derivative": {"buckets_path", "gap_policy", "format"},
    "cumulative_sum": {"buckets_path", "format"},
    "serial_diff": {"buckets_path", "gap_policy", "format", "lag"},
    "moving_fn": {"buckets_path", "gap_policy", "format", "window", "script", "shift"},
    "bucket_script": {"buckets_path", "gap_policy", "format", "script"},
}
PIPELINES = frozenset(_KEYS)
_MOST_WINDOW = 100_000
_FUNCTION = re.compile(r"\s*(?:return\s+)?MovingFunctions\.(\w+)\(\s*values\s*\)\s*;?\s*")


def _linear(values: Sequence[float]) -> float:
    weights = range(1, len(values) + 1)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


#: What a window may be made into; of an empty one each is nothing, but for the sum.
_FUNCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "unweightedAvg": lambda values: sum(values) / len(values), "sum": sum, "min": min, "max": max,
    "linearWeightedAvg": _linear,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One of them. `paths`: the numbers that it is made of, by their names in the script (of the only one: empty)."""

    name: str
    kind: str
    paths: tuple[tuple[str, str], ...]
    size: int = 1
    shift: int = 0
    function: str = ""
    expression: Expression | None = None


def parse_pipelines(below: Any, kind: str, place: str) -> tuple[Any, tuple[Pipeline, ...]]:
    """Return the content of `aggs` below an aggregation without the pipelines in it, and these, in the order to make.

    Raises:
        SearchError: names the place, what stands there and what is expected.
    """
    if not isinstance(below, dict):
        return below, ()
    found = {name: content for name, content in below.items() if isinstance(content, dict) and set(content) & PIPELINES}
    if not found:
        return below, ()
    rest = {name: content for name, content in below.items() if name not in found}
    parsed = [_parse(name, content, kind, f"{place}.{name}") for name, content in found.items()]
    return rest, tuple(_in_turn(parsed, set(rest), place))


def add(aggregations: Sequence[Any], answer: dict[str, Any]) -> None:
    """Put the numbers of pipelines into the answers of aggregations (`aggregations.Aggregation`)."""
    for agg in aggregations:
        buckets = answer[agg.name].get("buckets")
        if buckets is None:  # a single bucket, or a number
            add(agg.below, answer[agg.name])
            continue
        listed = list(buckets.values()) if isinstance(buckets, dict) else buckets
        for bucket in listed if any(below.below or below.after for below in agg.below) else ():
            add(agg.below, bucket)
        for pipeline in agg.after:
            for bucket, value in _MAKERS[pipeline.kind](pipeline, listed):
                bucket[pipeline.name] = {"value": value}


def number_at(bucket: Mapping[str, Any], path: str) -> float | None:
    """Return a number of a bucket: `_count`, an aggregation's value, or with `name.part` a part of it."""
    if path == "_count":
        return int(bucket["doc_count"])
    name, _, part = path.partition(".")
    told = bucket.get(name)
    if not isinstance(told, Mapping):
        return None
    values = told.get("values") if isinstance(told.get("values"), Mapping) else told
    value = values.get(part or "value") if isinstance(values, Mapping) else None
    if value is None and part and isinstance(values, Mapping):
        value = next((each for name, each in values.items() if _same_number(name, part)), None)
    return value if isinstance(value, (int, float)) else None


def _same_number(one: str, other: str) -> bool:
    """Whether `50.0` is `50`."""
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _parse(name: str, content: dict[str, Any], parent: str, place: str) -> Pipeline:
    kinds = [key for key in content if key != "meta"]
    if len(kinds) != 1:
        value = ", ".join(map(str, kinds))[:100]
        raise SearchError("search.unknown_aggregation", place=place, value=value, known=", ".join(sorted(PIPELINES)))
    (kind,) = kinds
    options = content[kind]
    if not isinstance(options, dict):
        raise SearchError("search.want_object", place=f"{place}.{kind}", value=repr(options)[:100])
    if parent not in _HISTOGRAMS and kind != "bucket_script":
        raise SearchError("search.pipeline_outside", place=place, value=kind)
    for key in options:
        if key not in _KEYS[kind]:
            known = ", ".join(sorted(_KEYS[kind]))
            raise SearchError("search.unknown_key", place=f"{place}.{kind}", value=str(key)[:100], known=known)
    if options.get("gap_policy", "skip") != "skip":
        value = repr(options["gap_policy"])[:100]
        raise SearchError("search.unknown_key", place=f"{place}.{kind}.gap_policy", value=value, known="skip")
    made = Pipeline(name, kind, _paths(options.get("buckets_path"), kind, place))
    if kind == "bucket_script":
        expression = parse_expression(_script(options), [name for name, _ in made.paths], f"{place}.{kind}.script")
        return Pipeline(name, kind, made.paths, expression=expression)
    if kind == "serial_diff":
        return Pipeline(name, kind, made.paths, size=_whole(options.get("lag", 1), 1, f"{place}.lag"))
    if kind == "moving_fn":
        return _moving(made, options, f"{place}.{kind}")
    return made


def _moving(made: Pipeline, options: dict[str, Any], place: str) -> Pipeline:
    script = _FUNCTION.fullmatch(_script(options)[:1000])
    if script is None or script[1] not in _FUNCTIONS:
        known = ", ".join(f"MovingFunctions.{name}(values)" for name in _FUNCTIONS)
        value = _script(options)[:100]
        raise SearchError("search.unknown_key", place=f"{place}.script", value=value, known=known)
    window = _whole(options.get("window"), 1, f"{place}.window")
    shift = _whole(options.get("shift", 0), -_MOST_WINDOW, f"{place}.shift")
    return Pipeline(made.name, made.kind, made.paths, window, shift, script[1])


def _script(options: dict[str, Any]) -> str:
    script = options.get("script")
    if isinstance(script, dict):
        script = script.get("source", script.get("inline"))
    return script if isinstance(script, str) else ""


def _paths(given: Any, kind: str, place: str) -> tuple[tuple[str, str], ...]:
    paths = given.items() if kind == "bucket_script" and isinstance(given, dict) else [("", given)]
    found = tuple((str(name), _PARTED.sub(r"\1.\2", path)) for name, path in paths if isinstance(path, str))
    if not found or len(found) != len(paths) or (kind == "bucket_script" and not isinstance(given, dict)):
        raise SearchError("search.missing", place=f"{place}.{kind}", name="buckets_path")
    return found


def _whole(value: Any, least: int, place: str) -> int:
    number = value
    if isinstance(value, (float, str)):  # Grafana keeps numbers as it got them from its form
        number = int(float(value)) if str(value).removesuffix(".0").removeprefix("-").isdecimal() else None
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= _MOST_WINDOW:
        raise SearchError("search.want_count", place=place, value=repr(value)[:100])
    return number


def _in_turn(pipelines: list[Pipeline], known: set[str], place: str) -> Iterator[Pipeline]:
    """Yield each after those that it is made of.

    Raises:
        SearchError: one is made of what is not there, or of itself.
    """
    known = known | {"_count"}
    while pipelines:
        ready = [each for each in pipelines if all(path.partition(".")[0] in known for _, path in each.paths)]
        if not ready:
            missing = pipelines[0].paths[0][1][:100]
            raise SearchError("search.unknown_key", place=place, value=missing, known=", ".join(sorted(known)))
        yield from ready
        known |= {each.name for each in ready}
        pipelines = [each for each in pipelines if each not in ready]


Made = Iterator[tuple[dict[str, Any], float | None]]


def _value(bucket: Mapping[str, Any], path: str) -> float | None:
    """Return the number of a bucket; None of an empty one, unless it is the count."""
    if path != "_count" and not bucket["doc_count"]:
        return None
    value = number_at(bucket, path)
    return None if value is None or not math.isfinite(value) else value


def _derivative(pipeline: Pipeline, buckets: Sequence[dict[str, Any]]) -> Made:
    path = pipeline.paths[0][1]
    for before, bucket in pairwise(buckets):
        if all(path == "_count" or path.partition(".")[0] in each for each in (before, bucket)):
            last, now = _value(before, path), _value(bucket, path)
            yield bucket, None if last is None or now is None else float(now - last)


def _cumulative_sum(pipeline: Pipeline, buckets: Sequence[dict[str, Any]]) -> Made:
    total = 0.0
    for bucket in buckets:
        total += _value(bucket, pipeline.paths[0][1]) or 0.0
        yield bucket, total


def _serial_diff(pipeline: Pipeline, buckets: Sequence[dict[str, Any]]) -> Made:
    values = [_value(bucket, pipeline.paths[0][1]) for bucket in buckets]
    for bucket, before, now in zip(buckets[pipeline.size :], values, values[pipeline.size :], strict=False):
        if before is not None and now is not None:
            yield bucket, float(now - before)


def _moving_fn(pipeline: Pipeline, buckets: Sequence[dict[str, Any]]) -> Made:
    """A window ends before its bucket; what has no number is passed over."""
    path = pipeline.paths[0][1]
    held = [(bucket, value) for bucket in buckets if (value := _value(bucket, path)) is not None]
    values = [value for _, value in held]
    function = _FUNCTIONS[pipeline.function]
    for place, (bucket, _) in enumerate(held):
        start, end = (min(max(0, place + pipeline.shift - back), len(values)) for back in (pipeline.size, 0))
        window = values[start:end]
        yield bucket, float(function(window)) if window or pipeline.function == "sum" else None


def _bucket_script(pipeline: Pipeline, buckets: Sequence[dict[str, Any]]) -> Made:
    assert pipeline.expression is not None
    for bucket in buckets:
        values = {name: _value(bucket, path) for name, path in pipeline.paths}
        if not any(value is None for value in values.values()):
            yield bucket, pipeline.expression({name: float(value or 0.0) for name, value in values.items()})


_MAKERS: dict[str, Callable[[Pipeline, Sequence[dict[str, Any]]], Made]] = {
    "derivative": _derivative, "cumulative_sum": _cumulative_sum, "serial_diff": _serial_diff,
    "moving_fn": _moving_fn, "bucket_script": _bucket_script,
}  # fmt: skip

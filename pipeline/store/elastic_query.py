"""Conditions enter, Elasticsearch's query DSL for our documents (`elastic_schema.py`) leaves."""

import math
import re
from ipaddress import ip_network
from typing import Any

from pipeline.store import query as q
from pipeline.store.elastic_schema import (
    ADDRESS,
    EXACT,
    OTHER,
    TEXT,
    TIME,
    WORDS,
    as_text,
    columns_of,
    document_id,
    fold,
    sortable,
    split,
    term_of,
)

Dsl = dict[str, Any]
NOTHING: Dsl = {"match_none": {}}
#: The sign after `TEXT`: where the terms of a field's texts end.
_AFTER_TEXT = chr(ord(TEXT) + 1)


def translate(condition: q.Condition) -> Dsl:
    """Return the query for a condition."""
    match condition:
        case q.All():
            return {"match_all": {}}
        case q.Nothing():
            return NOTHING
        case q.Equals():
            return _equals(condition)
        case q.Within():
            return _within(condition)
        case q.InNetwork():
            network = ip_network(condition.network, strict=False)
            low, high = sortable(network.network_address), sortable(network.broadcast_address)
            return _exact_range(term_of(condition.field, ADDRESS, low), term_of(condition.field, ADDRESS, high))
        case q.Exists():
            return _exists(condition.field) if condition.below else _has_a_term(condition.field)
        case q.Like():
            return _like(condition)
        case q.Phrase():
            return _phrase(condition.text)
        case q.Identifiers():
            return {"ids": {"values": [document_id(value) for value in condition.values]}}
        case q.Combined():
            return _combined(condition)
    raise TypeError(f"a condition is one of the classes of query.py, this is {condition!r}")


def _exists(field: str) -> Dsl:
    """A column of the field or of one below it has a value, or the field has no column and is named in `exact`."""
    places = [{"exists": {"field": name}} for name in (*columns_of(field), f"{field}.*")]
    return {"bool": {"should": [*places, {"term": {EXACT: field}}], "minimum_should_match": 1}}


def _has_a_term(field: str) -> Dsl:
    """The field itself has a value. `exists` is no help: of a field without a column it finds those below it."""
    terms = [{"prefix": {EXACT: field + kind}} for kind in (TEXT, OTHER)]
    return {"bool": {"should": terms, "minimum_should_match": 1}}


def _combined(condition: q.Combined) -> Dsl:
    parts: Dsl = {
        "filter": [translate(part) for part in condition.must],
        "must_not": [translate(part) for part in condition.must_not],
    }
    if condition.should and condition.least:
        if condition.least > len(condition.should):
            return NOTHING
        parts["should"] = [translate(part) for part in condition.should]
        parts["minimum_should_match"] = condition.least
    return {"bool": parts}


def _equals(condition: q.Equals) -> Dsl:
    texts = [fold(as_text(value)) for value in condition.values]
    terms = [term_of(condition.field, kind, text) for kind in (TEXT, OTHER) for text in texts]
    numbers = [number for value in condition.values if (number := _number(value)) is not None]
    found: Dsl = {"terms": {EXACT: terms}}
    if not numbers:
        return found
    return {
        "bool": {"should": [found, {"terms": {columns_of(condition.field)[1]: numbers}}], "minimum_should_match": 1}
    }


def _number(value: q.Value) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _within(condition: q.Within) -> Dsl:
    low, high = condition.low, condition.high
    if condition.field == q.TIME:
        return _range(TIME, low, high, True, True)
    if low is None and high is None:
        return translate(q.Exists(condition.field))
    if not any(isinstance(bound, str) for bound in (low, high)):
        return _range(columns_of(condition.field)[1], low, high, condition.include_low, condition.include_high)
    start = term_of(condition.field, TEXT, "" if low is None else fold(as_text(low)))
    end = condition.field + _AFTER_TEXT if high is None else term_of(condition.field, TEXT, fold(as_text(high)))
    return _exact_range(start, end, condition.include_low or low is None, condition.include_high and high is not None)


def _range(name: str, low: Any, high: Any, include_low: bool, include_high: bool) -> Dsl:
    bounds = {}
    if low is not None:
        bounds["gte" if include_low else "gt"] = low
    if high is not None:
        bounds["lte" if include_high else "lt"] = high
    return {"range": {name: bounds}} if bounds else {"match_all": {}}


def _exact_range(low: str, high: str, include_low: bool = True, include_high: bool = True) -> Dsl:
    return _range(EXACT, low, high, include_low, include_high)


def _like(condition: q.Like) -> Dsl:
    pattern = "".join(_pattern_part(sign) for sign in re.findall(r"\\.|.", condition.pattern, re.DOTALL))
    if condition.field is None:
        return {"wildcard": {WORDS: {"value": pattern}}}
    return {"wildcard": {EXACT: {"value": q.escape(condition.field) + TEXT + pattern}}}


def _pattern_part(sign: str) -> str:
    return sign if sign in "*?" else q.escape(fold(sign[-1]))


def _phrase(text: str) -> Dsl:
    found = split(text)
    if not found:
        return NOTHING if text.strip() else {"match_all": {}}
    return {"match_phrase": {WORDS: {"query": " ".join(found)}}}

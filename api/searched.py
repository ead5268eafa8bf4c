"""A search body enters; what the audit keeps of it leaves: whether somebody saw more than numbers, and of what."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

#: As much of a search as the audit keeps, in characters.
MAX_NOTED = 2000
#: Aggregations that tell how many, and no value of an event.
_COUNTS = frozenset(("date_histogram", "filter", "filters", "missing", "value_count", "cardinality"))
#: Fields that say where events come from, and nothing of a person.
_OF_SITE = frozenset(
    ("organization.id", "labels.source", "event.dataset", "event.kind", "event.module", "rule.level", "alert.status")
)


def only_counts(body: Mapping[str, Any]) -> bool:
    """Say whether a search that returns no event tells nothing but how many there are in all, when, and from where.

    Who counts what they ask for learns of events: that is not it, nor is an empty `aggs`.
    """
    if "aggs" not in body and "aggregations" not in body:
        return True
    aggs = _aggs(body)
    return bool(aggs) and _asks_nothing(body.get("query")) and all(map(_counts, aggs.values()))


def told_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Return what somebody asked for, as they wrote it: the query, the bounds in time, the fields that were counted;
    and the whole body, cut."""
    query = body.get("query")
    found = {
        "query": " AND ".join(text for text in _texts(query) if text.strip() not in ("", "*")),
        **_bounds(query),
        "by": ", ".join(dict.fromkeys(_fields(body))),
    }
    return {
        **{name: value[:MAX_NOTED] for name, value in found.items() if value},
        "search": orjson.dumps(body).decode()[:MAX_NOTED],
    }


def _aggs(body: Any) -> dict[str, Any]:
    found = (body.get("aggs") or body.get("aggregations") or {}) if isinstance(body, Mapping) else {}
    return dict(found) if isinstance(found, Mapping) else {"": found}


def _asks_nothing(query: Any) -> bool:
    """Say whether a query has no condition but on the time and on where events come from."""
    if query is None:
        return True
    if not isinstance(query, Mapping):
        return False
    return all(_is_nothing(name, options) for name, options in query.items())


def _is_nothing(name: str, options: Any) -> bool:
    if name == "bool" and isinstance(options, Mapping):
        inner = [each for part in options.values() for each in (part if isinstance(part, list) else [part])]
        return not options.keys() & {"must_not", "should", "minimum_should_match"} and all(map(_asks_nothing, inner))
    if not isinstance(options, Mapping):
        return False
    if name == "query_string":
        return str(options.get("query", "")).strip() in ("", "*")
    return (
        name == "match_all"
        or (name == "range" and options.keys() == {"@timestamp"})
        or (name == "term" and options.keys() <= _OF_SITE)
    )


def _counts(agg: Any) -> bool:
    if not isinstance(agg, Mapping):
        return False
    kinds = [name for name in agg if name not in ("aggs", "aggregations", "meta")]
    inside = all(map(_counts, _aggs(agg).values()))
    return inside and all(kind in _COUNTS or (kind == "terms" and _is_of_site(agg[kind])) for kind in kinds)


def _is_of_site(options: Any) -> bool:
    return isinstance(options, Mapping) and options.get("field") in _OF_SITE


def _texts(query: Any) -> Iterator[str]:
    """Yield the query texts that must hold, however deep they lie."""
    if isinstance(query, Mapping):
        for name, each in query.items():
            if name == "query_string" and isinstance(each, Mapping):
                yield str(each.get("query", ""))
            elif name != "must_not":
                yield from _texts(each)
    elif isinstance(query, list):
        for each in query:
            yield from _texts(each)


def _bounds(query: Any) -> dict[str, str]:
    """Return the first bounds of the time."""
    if isinstance(query, Mapping):
        options = query.get("range")
        if isinstance(options, Mapping) and isinstance(options.get("@timestamp"), Mapping):
            bounds = options["@timestamp"]
            named = {"from": bounds.get("gte", bounds.get("gt")), "to": bounds.get("lte", bounds.get("lt"))}
            return {name: str(value) for name, value in named.items() if value is not None}
    inner = query.values() if isinstance(query, Mapping) else query if isinstance(query, list) else ()
    return next((found for each in inner if (found := _bounds(each))), {})


def _fields(body: Any) -> Iterator[str]:
    """Yield the fields whose values an aggregation tells."""
    for agg in _aggs(body).values():
        if not isinstance(agg, Mapping):
            continue
        for kind, options in agg.items():
            if kind == "terms" and isinstance(options, Mapping):
                yield str(options.get("field", ""))
            elif kind == "multi_terms" and isinstance(options, Mapping):
                terms = options.get("terms")
                for each in terms if isinstance(terms, list) else ():
                    if isinstance(each, Mapping):
                        yield str(each.get("field", ""))
        yield from _fields(agg)

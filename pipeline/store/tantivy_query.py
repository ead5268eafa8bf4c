"""Conditions enter, Tantivy's query objects for one embedded index leave."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import tantivy
from tantivy import FieldType, Occur, Query

from pipeline.event import format_time, parse_time
from pipeline.store import query as q
from pipeline.store.folding import folded, words
from pipeline.store.tantivy_schema import column, schema

#: Distinct values of a field that are compared with a CIDR block or the bounds of a text, at most.
_MAX_VALUES = 65_000
_TIME_TEXT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_REGEX_SIGNS = re.compile(r"[.+*?()|\[\]{}^$\\&~#-]")
_MIN_MICROS, _MAX_MICROS = -(2**63), 2**63 - 1
# A term of a JSON field is its path (steps parted by 1), 0, a letter for the type, the value: `tantivy::schema::Term`.
_STEP, _TEXT_FOLLOWS = "\x01", "\x00s"


def _no_kinds(_condition: q.Condition) -> list[int]:
    return []


class IndexQuery:
    """Translates for one index: its searcher answers which values there are, its parser reads numeric ranges.

    `kinds` says which combinations of fields fit a condition (`tantivy_kinds.py`).
    """

    def __init__(
        self,
        index: tantivy.Index,
        searcher: tantivy.Searcher,
        kinds: Callable[[q.Condition], list[int]] = _no_kinds,
    ) -> None:
        self._index = index
        self._searcher = searcher
        self._kinds = kinds
        #: Addresses among the values of a field, with the values: a search often asks for several blocks.
        self._addresses: dict[str, list[tuple[Any, IPv4Address | IPv6Address]]] = {}

    def translate(self, condition: q.Condition) -> Query:
        """Return Tantivy's query for a condition."""
        match condition:
            case q.All():
                return Query.all_query()
            case q.Nothing():
                return Query.empty_query()
            case q.Phrase():
                return _phrase(condition.text)
            case q.Identifiers():
                return _any([Query.term_query(schema(), "id", value) for value in condition.values])
            case q.Combined():
                return self._combined(condition)
            case q.Equals() | q.Within() | q.InNetwork() | q.Exists() | q.Like():
                numbers = [] if condition.field in (None, q.TIME) else self._kinds(condition)
                return _any([self._of_field(condition), *([of_kinds(numbers)] if numbers else [])])
        raise TypeError(f"a condition is one of the classes of query.py, this is {condition!r}")

    def _of_field(self, condition: q.Equals | q.Within | q.InNetwork | q.Exists | q.Like) -> Query:
        """Translate a condition on one field, as if no event had it in its kind."""
        match condition:
            case q.Equals():
                return _any([_equal(condition.field, value) for value in condition.values])
            case q.Within():
                return self._within(condition)
            case q.InNetwork():
                return self._in_network(condition)
            case q.Exists():
                return exists(condition.field, condition.below)
            case q.Like():
                return _like(condition)

    def _combined(self, condition: q.Combined) -> Query:
        parts = [(Occur.Must, self.translate(part)) for part in condition.must]
        parts += [(Occur.MustNot, self.translate(part)) for part in condition.must_not]
        if condition.should and condition.least:
            choices = [(Occur.Should, self.translate(part)) for part in condition.should]
            least = min(condition.least, len(choices) + 1)
            parts.append((Occur.Must, Query.boolean_query(choices, minimum_number_should_match=least)))
        if not any(occur == Occur.Must for occur, _ in parts):
            parts.append((Occur.Must, Query.all_query()))  # Tantivy finds nothing for a query of exclusions alone
        return Query.boolean_query(parts)

    def _within(self, condition: q.Within) -> Query:
        low, high = condition.low, condition.high
        if condition.field == q.TIME:
            low = _MIN_MICROS if low is None else max(int(low), _MIN_MICROS)
            high = _MAX_MICROS if high is None else min(int(high), _MAX_MICROS)
            return Query.range_query(schema(), "t", FieldType.Integer, low, high)
        if low is None and high is None:
            return exists(condition.field)
        bounds = [_bound(low), _bound(high)]
        if None in bounds:
            return self._within_text(condition)
        left = "[" if condition.include_low else "{"
        right = "]" if condition.include_high else "}"
        name = re.sub(r"([^A-Za-z0-9_.])", r"\\\1", column(condition.field))
        if low is None or high is None or _is_whole(low) == _is_whole(high):
            return self._index.parse_query(f"{name}:{left}{bounds[0]} TO {bounds[1]}{right}")
        # Tantivy 0.27 panics where one bound is a whole number and the other is not: so one after the other.
        return self._index.parse_query(f"+{name}:{left}{bounds[0]} TO *}} +{name}:{{* TO {bounds[1]}{right}")

    def _within_text(self, condition: q.Within) -> Query:
        """Compare texts one by one: Tantivy's parser takes only numbers and times as bounds of a JSON field."""
        low, high = (None if value is None else _fold(_as_text(value)) for value in (condition.low, condition.high))
        inside = []
        for value in self._values(condition.field):
            text = _fold(_as_text(value))
            above = low is None or text > low or (text == low and condition.include_low)
            below = high is None or text < high or (text == high and condition.include_high)
            if above and below:
                inside.append(text)
        return Query.term_set_query(schema(), column(condition.field), inside) if inside else Query.empty_query()

    def _in_network(self, condition: q.InNetwork) -> Query:
        network = ip_network(condition.network, strict=False)
        if condition.field not in self._addresses:
            values = ((value, _address(value)) for value in self._values(condition.field))
            self._addresses[condition.field] = [(value, address) for value, address in values if address is not None]
        inside = [value for value, address in self._addresses[condition.field] if address in network]
        return Query.term_set_query(schema(), column(condition.field), inside) if inside else Query.empty_query()

    def _values(self, field: str) -> list[Any]:
        """Return the distinct values of a field, at most `_MAX_VALUES`."""
        body = {"a": {"terms": {"field": column(field), "size": _MAX_VALUES}}}
        buckets = self._searcher.aggregate(exists(field), body)["a"]["buckets"]
        return [bucket.get("key_as_string", bucket["key"]) for bucket in buckets]


def exists(field: str, below: bool = True) -> Query:
    """Return the query for events in which the field, or with `below` one below it, has a value."""
    return Query.exists_query(column(field), json_subpaths=below)


def of_kinds(numbers: Sequence[int]) -> Query:
    """Return the query for the events of these kinds."""
    return Query.term_set_query(schema(), "k", list(numbers))


def _is_whole(value: q.Value) -> bool:
    return isinstance(value, (int, float)) and value == int(value)


def count_of(result: tantivy.SearchResult) -> int:
    """Return how many documents a search found (Tantivy's type stubs leave `count` out)."""
    return int(result.count)  # type: ignore[attr-defined]


def _equal(field: str, value: q.Value) -> Query:
    """Compare as text and, where the value reads as one, as number, truth value or time: 4624 equals "4624"."""
    name = column(field)
    typed: list[Any] = [_fold(_as_text(value))]
    if isinstance(value, (bool, int, float)):
        typed.append(value)
    else:
        typed += _other_types(value)
    return _any([Query.term_query(schema(), name, item) for item in typed])


def _other_types(text: str) -> list[Any]:
    if text in ("true", "false"):
        return [text == "true"]
    if re.fullmatch(r"-?\d{1,19}", text):
        number = int(text)
        return [number] if _MIN_MICROS <= number <= _MAX_MICROS else []
    if re.fullmatch(r"-?\d+\.\d+", text):
        return [float(text)]
    if re.match(r"\d{4}-\d\d-\d\dT", text):
        return _as_moment(text)
    return []


def _as_moment(text: str) -> list[datetime]:
    try:
        return [parse_time(text)]
    except ValueError:
        return []


def _as_text(value: q.Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fold(text: str) -> str:
    return folded().analyze(text)[0] if text else ""


def _bound(value: q.Value | None) -> str | None:
    """Return a bound as Tantivy's parser takes it: `*`, a number or a time; None for any other text."""
    if value is None:
        return "*"
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return str(value)
    if not _TIME_TEXT.fullmatch(value):
        return None
    try:
        return format_time(parse_time(value))
    except ValueError:
        return None


def _like(condition: q.Like) -> Query:
    pattern = "".join(_regex_part(token) for token in re.findall(r"\\.|.", condition.pattern, re.DOTALL))
    if condition.field is None:
        return Query.regex_query(schema(), "text", pattern)
    path = _REGEX_SIGNS.sub(r"\\\g<0>", condition.field.replace(".", _STEP))
    return Query.regex_query(schema(), "f", f"{path}{_TEXT_FOLLOWS}{pattern}")


def _regex_part(sign: str) -> str:
    if sign == "*":
        return "(.|\n)*"
    if sign == "?":
        return "(.|\n)"
    literal = _fold(sign[-1]) if sign[-1].strip() else sign[-1]
    return _REGEX_SIGNS.sub(r"\\\g<0>", literal)


def _phrase(text: str) -> Query:
    found = words().analyze(text)
    if not found:
        return Query.empty_query() if text.strip() else Query.all_query()
    if len(found) == 1:
        return Query.term_query(schema(), "text", found[0])
    return Query.phrase_query(schema(), "text", list(found))


def _any(queries: list[Query]) -> Query:
    if len(queries) == 1:
        return queries[0]
    return Query.boolean_query([(Occur.Should, query) for query in queries])


def _address(value: Any) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(value)
    except (ValueError, TypeError):
        return None

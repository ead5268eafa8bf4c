"""Which rules see nothing here: the rules in use and the store enter; leaves which log sources sent nothing, and which
fields of which rules no event of their log source fills.

A rule whose log source is silent, or that needs a field that nobody fills, never raises an alert, and nothing else says
so. Whether it needs the field is worked out from its condition: one that is only asked of under a `not` is not needed.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from detectors.rulebook.book import OFF
from detectors.rulebook.loading import Loaded
from detectors.rulebook.stored import of_codes, of_route
from detectors.sigma import Correlation, Rule
from detectors.sigma.correlation import base_rules
from detectors.sigma.logsource import Route, origin
from detectors.sigma.nodes import All, AnyOf, Node, Not, necessary_texts
from detectors.sigma.view import MAX_DEPTH, Event, Field, View
from pipeline.store import EVENTS, Reader
from pipeline.store import query as q

#: What a rule is: its log source sent nothing; its event codes did not occur; it cannot match without the fields that
#: nobody fills; it can, but some of its fields are empty; nothing is missing.
SILENT: Final = "silent"
UNSEEN: Final = "unseen"
BLIND: Final = "blind"
PARTLY: Final = "partly"
SEEING: Final = "seeing"
STATES: Final = (SILENT, BLIND, UNSEEN, PARTLY, SEEING)
#: Events of a log source that are looked at for all fields at once; the store is asked for what none of them holds.
_SAMPLE = 1_000
#: Events that the store says hold something below a field, of which one must hold it as a rule reads it.
_PROOF = 1_000
_CODE = "event.code"
_DAY_SECONDS = 86_400
AnyRule = Rule | Correlation


@dataclass(frozen=True, slots=True)
class Missing:
    """A field of a rule that no event of its log source fills, and the keys of events that were looked for."""

    field: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Covered:
    """What a rule finds here. `events` are those of its log source."""

    rule: AnyRule
    state: str
    events: int
    logsource: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()
    codes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as it is printed."""
        return {
            "rule.id": self.rule.id, "rule.name": self.rule.title, "rule.level": self.rule.level, "state": self.state,
            "logsource": dict(self.logsource), "events": self.events, "codes": list(self.codes),
            "missing": [{"field": each.field, "keys": list(each.keys)} for each in self.missing],
        }  # fmt: skip


def in_use(loaded: Loaded) -> list[AnyRule]:
    """Return the rules that are not off, and those that correlations refer to."""
    return [rule for rule in loaded.every if loaded.modes.get(rule.id) != OFF or rule in loaded.rules.silent]


def covered(reader: Reader, rules: Iterable[AnyRule], days: float) -> list[Covered]:
    """Return for each rule what it finds in the events of the last days.

    Raises:
        HaidangError: the store does not answer.
    """
    since = int((time.time() - days * _DAY_SECONDS) * 1_000_000)
    looked = _Looked(reader, q.Within(q.TIME, since))
    return [_correlation(looked, each) if isinstance(each, Correlation) else _rule(looked, each) for each in rules]


def fields_of(rule: Rule) -> list[Field]:
    """Return the fields that a rule reads, in the order of its detection, those with the same keys once."""
    return _once(_fields(rule.node))


def looked_for(rule: Rule) -> list[Field]:
    """Return the fields in which a rule looks for something, so not those that it, or an exception, only asks under a
    `not`.
    """
    return _once(_fields(rule.node, Not))


def _rule(looked: "_Looked", rule: Rule) -> Covered:
    there = looked.source(rule.route)
    if not there.events:
        return Covered(rule, SILENT, 0, rule.logsource)
    codes = necessary_texts(rule.node, _CODE)
    if codes and not there.occur(codes):
        return Covered(rule, UNSEEN, there.events, rule.logsource, codes=tuple(sorted(codes)))
    missing = tuple(each for each in fields_of(rule) if not there.fills(each))
    found = tuple(Missing(each.name, each.keys) for each in missing)
    state = SEEING if not missing else PARTLY if _may(rule.node, {each.keys for each in missing})[0] else BLIND
    return Covered(rule, state, there.events, rule.logsource, found)


def _correlation(looked: "_Looked", rule: Correlation) -> Covered:
    """A correlation is as blind as what it refers to, and where nobody fills what it groups or measures by."""
    parts = [[_rule(looked, base) for base in base_rules([part.rule])] for part in rule.parts]
    every = [each for part in parts for each in part]
    events = sum(each.events for each in every)
    if all(each.state == SILENT for each in every):
        return Covered(rule, SILENT, 0, every[0].logsource)
    missing: dict[Missing, None] = {}
    reached = 0
    for part, bases in zip(rule.parts, parts, strict=True):
        gone = [
            Missing(name, tuple(dict.fromkeys(key for one in fields for key in one.keys)))
            for name, fields in zip((*rule.group_by, *rule.fields), (*part.group_by, *part.values), strict=True)
            if not any(looked.source(base.route).fills(one) for base in base_rules([part.rule]) for one in fields)
        ]
        missing.update(dict.fromkeys(gone))
        reached += not gone and any(each.state in (SEEING, PARTLY, UNSEEN) for each in bases)
    state = SEEING if reached == len(parts) else PARTLY if reached else BLIND
    return Covered(rule, state, events, every[0].logsource, tuple(missing))


class _Looked:
    """What is known of each log source so far."""

    def __init__(self, reader: Reader, span: q.Condition) -> None:
        self._reader = reader
        self._span = span
        self._sources: dict[Route, _Source] = {}

    def source(self, route: Route) -> "_Source":
        if route not in self._sources:
            self._sources[route] = _Source(self._reader, q.Combined(must=(of_route(route), self._span)), route)
        return self._sources[route]


class _Source:
    """The events of one log source: how many, and who fills what; each thing is asked for once."""

    def __init__(self, reader: Reader, condition: q.Condition, route: Route) -> None:
        self._reader = reader
        self._condition = condition
        answer = self._search((), _SAMPLE)
        sample = [event for event in _hits(answer) if route.holds(origin(event))]
        self.events: int = answer["hits"]["total"]["value"] if sample else 0
        self._whole = self.events <= _SAMPLE
        self._keys = frozenset(key for event in sample for key in _keys(event))
        self._codes = {str(event.get(_CODE)).lower() for event in sample}
        self._filled: dict[tuple[str, ...], bool] = {}
        self._occur: dict[frozenset[str], bool] = {}

    def occur(self, codes: frozenset[str]) -> bool:
        """Say whether an event with one of these codes occurred, or one without a code."""
        if not self._codes.isdisjoint({*codes, "none"}):
            return True
        if codes not in self._occur:
            found = not self._whole and self._search((of_codes(codes),), 0)["hits"]["total"]["value"]
            self._occur[codes] = bool(found)
        return self._occur[codes]

    def fills(self, on: Field) -> bool:
        """Say whether some event holds a value in one of the keys of a field."""
        if not on.keys or not self._keys.isdisjoint(on.keys):
            return True
        if on.keys not in self._filled:
            self._filled[on.keys] = not self._whole and self._asked(on)
        return self._filled[on.keys]

    def _asked(self, on: Field) -> bool:
        """Ask the store of all events for the field itself; then of the newest for an object or list that lies there.

        Such a one has a value for the store only below the field, as has `a` where there is but `a.b`.
        """
        if self._search((_filled(on, below=False),), 0)["hits"]["total"]["value"]:
            return True
        answer = self._search((_filled(on, below=True),), _PROOF)
        return any(_located(event, on) for event in _hits(answer))

    def _search(self, more: tuple[q.Condition, ...], size: int) -> dict[str, Any]:
        return self._reader.search(EVENTS, {"query": q.Combined(must=(self._condition, *more)), "size": size})


def _hits(answer: dict[str, Any]) -> list[Event]:
    return [hit["_source"] for hit in answer["hits"]["hits"]]


def _filled(on: Field, below: bool) -> q.Condition:
    known = (q.Exists(key, below) if key != q.TIME else q.All() for key in on.keys)
    return q.Combined(should=tuple(known), least=1)


def _located(event: Event, on: Field) -> bool:
    return any(value is not None for _, value in View(event).located(on))


def _keys(event: Event) -> Iterator[str]:
    """Yield the keys of an event that hold a value, and the paths into its objects."""
    for key, value in event.items():
        yield from _paths(key, value, MAX_DEPTH)


def _paths(path: str, value: Any, depth: int) -> Iterator[str]:
    if value is None:
        return
    yield path
    if depth and isinstance(value, list):
        for each in value:
            if isinstance(each, (dict, list)):
                yield from _paths(path, each, depth - 1)
    elif depth and isinstance(value, dict):
        for name, each in value.items():
            yield from _paths(f"{path}.{name}", each, depth - 1)


def _fields(node: Any, leaves_out: type | tuple[()] = ()) -> Iterator[Field]:
    """Yield the fields that a node and the nodes below it read; nodes of a type may be left out."""
    if isinstance(node, leaves_out):
        return
    for name in ("field", "other"):
        if isinstance(on := getattr(node, name, None), Field) and on.keys:
            yield on
    for child in _children(node):
        yield from _fields(child, leaves_out)


def _children(node: Any) -> tuple[Any, ...]:
    child = getattr(node, "child", None)
    return tuple(getattr(node, "children", ())) if child is None else (child,)


def _once(fields: Iterable[Field]) -> list[Field]:
    """Return fields with different keys, the first of each."""
    found: dict[tuple[str, ...], Field] = {}
    for each in fields:
        found.setdefault(each.keys, each)
    return list(found.values())


def _may(node: Node, empty: set[tuple[str, ...]]) -> tuple[bool, bool]:
    """Whether a node may hold, and may not hold, where the fields with these keys are always empty."""
    if isinstance(node, Not):
        holds, fails = _may(node.child, empty)
        return fails, holds
    if isinstance(node, (All, AnyOf)):
        children = [_may(child, empty) for child in node.children]
        holding, failing = [holds for holds, _ in children], [fails for _, fails in children]
        every = isinstance(node, All)
        return (all(holding), any(failing)) if every else (any(holding), all(failing))
    if any(on.keys in empty for on in _fields(node)):
        constant = node.test(View({}))
        return constant, not constant
    return True, True

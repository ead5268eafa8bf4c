"""Why a rule did, or did not, match an event: rule and event enter, each test with what it found leaves.

Every line of a selection is compiled on its own and asked with the engine's own nodes, so what is explained is what is
evaluated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from detectors.rulebook.book import RuleException
from detectors.rulebook.loading import Loaded
from detectors.sigma import Correlation, Rule
from detectors.sigma.compiler import Compiler
from detectors.sigma.detection import compile_detection
from detectors.sigma.documents import read_documents
from detectors.sigma.logsource import origin
from detectors.sigma.nodes import MAX_VALUE
from detectors.sigma.ruleset import compiler_of
from detectors.sigma.view import Event, View, texts

#: Values of a list that are tried one by one to say which of them matched, and values shown of what is expected.
_MAX_ALONE = 500
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Test:
    """One line of a selection: what it asks of which field, what the event has there, and whether that satisfies it.

    `found` are event keys and values, empty where the event has none; `matched` those of the expected values that did.
    """

    field: str
    modifiers: str
    expected: list[Any]
    holds: bool
    found: list[tuple[str, str]]
    matched: list[Any]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of the rule. Where it is a list of maps, `groups` has one list of tests for each of them."""

    name: str
    holds: bool
    groups: list[list[Test]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it. `matches` is the engine's own answer; `excepted` are ids of exceptions that keep the rule quiet."""

    rule: Rule | Correlation
    matches: bool
    applies: bool
    logsource: Mapping[str, str]
    origin: Mapping[str, str]
    condition: list[str] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    excepted: list[str] = field(default_factory=list)
    parts: list["Explanation"] = field(default_factory=list)
    group: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is printed."""
        made: dict[str, Any] = {
            "rule.id": self.rule.id, "rule.name": self.rule.title, "matches": self.matches, "applies": self.applies,
            "logsource": dict(self.logsource), "origin": dict(self.origin), "condition": self.condition,
            "excepted": self.excepted,
        }  # fmt: skip
        if isinstance(self.rule, Correlation):
            return {**made, "group": self.group, "parts": [part.as_json() for part in self.parts]}
        selections = [
            {"selection": s.name, "holds": s.holds, "groups": [[_test_json(t) for t in group] for group in s.groups]}
            for s in self.selections
        ]
        return {**made, "selections": selections}


def explain(loaded: Loaded, rule: Rule | Correlation, event: Event) -> Explanation:
    """Explain a rule on an event; a correlation by the rules that it refers to, and the groups the event belongs to."""
    at = {name: value for name, value in origin(event)._asdict().items() if value}
    if isinstance(rule, Correlation):
        parts = [explain(loaded, part.rule, event) for part in rule.parts]
        matching = [part for part, made in zip(rule.parts, parts, strict=True) if made.matches]
        keys = matching[0].keys(event)[:1] if matching else []
        group = [f"{name}={value}" for key in keys for name, value in zip(rule.group_by, key, strict=True)]
        return Explanation(rule, bool(matching), any(p.applies for p in parts), {}, at, parts=parts, group=group)
    compiler = compiler_of(loaded.folders)
    detection = _detection(rule)
    view = View(event)
    selections = [
        _selection(name, part, rule, compiler, view) for name, part in detection.items() if name != "condition"
    ]
    wanted = detection.get("condition", [])
    return Explanation(
        rule,
        rule.matches(event),
        rule.applies(event),
        rule.logsource,
        at,
        [str(each) for each in (wanted if isinstance(wanted, list) else [wanted])],
        selections,
        _excepting(loaded.exceptions, rule, compiler, view),
    )


def _detection(rule: Rule) -> Mapping[str, Any]:
    for document in read_documents(Path(rule.path)):
        content = document.content
        if isinstance(content, Mapping) and content.get("title") == rule.title and "detection" in content:
            found: Mapping[str, Any] = content["detection"]
            return found
    return {}


def _selection(name: str, part: Any, rule: Rule, compiler: Compiler, view: View) -> Selection:
    groups = [_tests(each, rule, compiler, view) for each in _maps(part)]
    return Selection(name, _holds({name: part}, name, rule, compiler, view), groups)


def _maps(part: Any) -> list[Mapping[str, Any]]:
    """Return the maps of a selection; keywords are a map without a field."""
    if isinstance(part, Mapping):
        return [part]
    if isinstance(part, list) and any(isinstance(each, (Mapping, list)) for each in part):
        return [inner for each in part for inner in _maps(each)]
    return [{"": part}]


def _tests(part: Mapping[str, Any], rule: Rule, compiler: Compiler, view: View) -> list[Test]:
    return [_test(str(key), value, rule, compiler, view) for key, value in part.items()]


def _test(key: str, value: Any, rule: Rule, compiler: Compiler, view: View) -> Test:
    name, _, modifiers = key.partition("|")
    expected = value if isinstance(value, list) else [value]
    on = compiler.field_of(rule.logsource)(name, False)
    found = [(at, text[:MAX_VALUE]) for at, each in view.located(on) for text in _texts(each)] if name else []
    alone = [] if "neq" in modifiers.split("|") else expected[:_MAX_ALONE]
    return Test(
        name,
        modifiers,
        expected[:_SHOWN],
        _holds({"test": _part(key, value)}, "test", rule, compiler, view),
        found[:_SHOWN],
        [each for each in alone if _holds({"test": _part(key, each)}, "test", rule, compiler, view)][:_SHOWN],
        on.keys,
    )


def _part(key: str, value: Any) -> Any:
    return {key: value} if key else value


def _holds(detection: Mapping[str, Any], name: str, rule: Rule, compiler: Compiler, view: View) -> bool:
    node, _ = compile_detection({**detection, "condition": name}, compiler.field_of(rule.logsource))
    return node.test(view)


def _excepting(exceptions: Iterable[RuleException], rule: Rule, compiler: Compiler, view: View) -> list[str]:
    """Return the exceptions that name the rule and keep it from firing on the event."""
    found = []
    for each in exceptions:
        made, _ = compiler.filter(yaml.safe_load(each.text), each.id)
        if made.fits(rule):
            node, _ = compile_detection(made.detection, compiler.field_of(rule.logsource))
            if not node.test(view):
                found.append(each.id)
    return found


def _texts(value: Any) -> Sequence[str]:
    return list(texts(value)) or [""]


def _test_json(test: Test) -> dict[str, Any]:
    return {
        "field": test.field, "modifiers": test.modifiers, "holds": test.holds, "expected": test.expected,
        "found": [{"key": key, "value": value} for key, value in test.found], "matched": test.matched,
        "read_from": list(test.keys),
    }  # fmt: skip

"""The detection part of a rule: its YAML mapping enters, one compiled node leaves.

Specification v2.1.0, "Detection": a map is AND, a list is OR, a value without a field is a keyword.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from detectors.sigma.conditions import (
    Condition,
    Inverse,
    Name,
    parse_condition,
    used_names,
)
from detectors.sigma.errors import RuleRefused
from detectors.sigma.matchers import FieldOf, any_value
from detectors.sigma.nodes import Node, all_of, any_of, negated
from detectors.sigma.values import OF_LISTS, typed
from pipeline.messages import Sentence

MAX_DEPTH = 10  # lists and maps within each other in one selection
_SCALARS = (str, int, float, bool, type(None))


def compile_detection(detection: Any, field_of: FieldOf, reserved: tuple[str, ...] = ()) -> tuple[Node, list[str]]:
    """The node of a detection, and warnings. `reserved` keys beside `condition` are no selections.

    Raises `RuleRefused` for anything that cannot be evaluated as written.
    """
    if not isinstance(detection, Mapping):
        raise RuleRefused("no_map_of_selections", value=repr(detection))
    if "timeframe" in detection:
        raise RuleRefused("timeframe")
    parts = {str(k): v for k, v in detection.items() if k not in ("condition", *reserved)}
    if not parts:
        raise RuleRefused("no_selection")
    if "condition" not in detection:
        raise RuleRefused("no_condition")
    wanted = detection["condition"]
    conditions = wanted if isinstance(wanted, list) else [wanted]
    with _at("condition"):
        trees = [parse_condition(condition, list(parts)) for condition in conditions]
    if not trees:
        raise RuleRefused("no_conditions")
    nodes = {}
    for name, part in parts.items():
        with _at(name):
            nodes[name] = _selection(name, part, field_of, MAX_DEPTH)
    unused = set(parts).difference(*map(used_names, trees))
    warnings: list[str] = [Sentence("sigma.unused_selection", name=repr(name)) for name in sorted(unused)]
    return any_of([_tree(tree, nodes) for tree in trees]), warnings


@contextmanager
def _at(key: str) -> Iterator[None]:
    """Say of a refusal below which key it is."""
    try:
        yield
    except RuleRefused as refusal:
        refusal.at = (key, *refusal.at)
        raise


def _tree(tree: Condition, nodes: Mapping[str, Node]) -> Node:
    if isinstance(tree, Name):
        return nodes[tree.name]
    if isinstance(tree, Inverse):
        return negated(_tree(tree.term, nodes))
    return (all_of if tree.every else any_of)([_tree(term, nodes) for term in tree.terms])


def _selection(name: str, part: Any, field_of: FieldOf, depth: int) -> Node:
    if not depth:
        raise RuleRefused("selection_too_deep", name=repr(name), most=MAX_DEPTH)
    if isinstance(part, Mapping):
        if not part:
            raise RuleRefused("empty_map", name=repr(name))
        items = []
        for key, value in part.items():
            with _at(str(key)):
                items.append(_item(name, str(key), value, field_of))
        return all_of(items)
    if part is None:
        raise RuleRefused("empty_selection", name=repr(name))
    if isinstance(part, list):
        if not part:
            raise RuleRefused("empty_list", name=repr(name))
        if all(isinstance(element, _SCALARS) for element in part):
            return _item(name, "", part, field_of)
        return any_of([_selection(name, element, field_of, depth - 1) for element in part])
    return _item(name, "", part, field_of)


def _item(selection: str, key: str, value: Any, field_of: FieldOf) -> Node:
    """One line of a map, `field|modifiers: value or values`."""
    field, *modifiers = key.split("|")
    where = Sentence("sigma.in_selection", name=repr(selection), key=repr(key or "keyword"))
    raws = value if isinstance(value, list) else [value]
    if not raws:
        raise RuleRefused("no_values", where=where)
    for raw in raws:
        if not isinstance(raw, _SCALARS):
            raise RuleRefused("no_plain_value", where=where, value=repr(raw))
        if raw is None and not field:
            raise RuleRefused("null_needs_field", where=where)
        if raw == "" and not field:
            raise RuleRefused("empty_keyword", where=where)
    chain = [modifier for modifier in modifiers if modifier not in OF_LISTS]
    try:
        alternatives = [typed(raw, chain) for raw in raws]
        if "all" in modifiers:
            node = all_of([any_value(selection, field, each, field_of) for each in alternatives])
        else:
            every = [value for values in alternatives for value in values]
            node = any_value(selection, field, every, field_of)
    except RuleRefused as refusal:
        raise RuleRefused("at", where=where, why=refusal.why) from refusal
    return negated(node) if "neq" in modifiers else node

"""Conditions: precedence, selectors, and what is refused with which words."""

from itertools import product
from typing import Any

import pytest

from detectors.sigma.conditions import Inverse, Joined, Name, parse_condition
from detectors.sigma.errors import RuleRefused

SELECTIONS = "a:\n  f|contains: a\nb:\n  f|contains: b\nc:\n  f|contains: c\n_d:\n  f|contains: d\n"


@pytest.mark.parametrize(
    ("condition", "means"),
    [
        ("a or b and c", lambda a, b, c, d: a or (b and c)),
        ("a and b or c", lambda a, b, c, d: (a and b) or c),
        ("not a and b", lambda a, b, c, d: (not a) and b),
        ("not a or b", lambda a, b, c, d: (not a) or b),
        ("not (a or b)", lambda a, b, c, d: not (a or b)),
        ("not not a", lambda a, b, c, d: a),
        ("a and not b and not c", lambda a, b, c, d: a and not b and not c),
        ("((a)) or (b and (c or a))", lambda a, b, c, d: a or (b and (c or a))),
        ("1 of them", lambda a, b, c, d: a or b or c),
        ("any of them", lambda a, b, c, d: a or b or c),
        ("all of them", lambda a, b, c, d: a and b and c),
        ("1 of *", lambda a, b, c, d: a or b or c),
        ("1 of _*", lambda a, b, c, d: d),
        ("_d or a", lambda a, b, c, d: d or a),
        ("not 1 of them", lambda a, b, c, d: not (a or b or c)),
        ("not all of them and a", lambda a, b, c, d: not (a and b and c) and a),
        ("1 of a* or 1 of b*", lambda a, b, c, d: a or b),
        ("A_NOT or a", None),
        ("a AND NOT b", lambda a, b, c, d: a and not b),
        ("a or\n  b", lambda a, b, c, d: a or b),
        ("[a, b and c]", lambda a, b, c, d: a or (b and c)),
    ],
)
def test_condition_follows_the_truth_table(detection: Any, condition: str, means: Any) -> None:
    quoted = condition if condition[0] == "[" else f"'{condition}'".replace("\n", " ")
    ruleset = detection(SELECTIONS + f"condition: {quoted}")
    if means is None:
        assert "A_NOT" in ruleset.refused[0].reason
        return
    (rule,) = ruleset.rules
    for bits in product([False, True], repeat=4):
        text = "".join(letter for letter, bit in zip("abcd", bits, strict=True) if bit)
        assert rule.matches({"event.dataset": "app", "f": text}) is bool(means(*bits)), text


def test_names_that_begin_like_operators_are_names() -> None:
    names = ["notepad", "order", "android", "allowed", "not-it", "of1"]
    tree = parse_condition("notepad and order or android and not allowed or not-it or of1", names)
    assert tree == Joined(
        False,
        (
            Joined(True, (Name("notepad"), Name("order"))),
            Joined(True, (Name("android"), Inverse(Name("allowed")))),
            Name("not-it"),
            Name("of1"),
        ),
    )


def test_maps_are_and_and_lists_are_or(rule_of: Any) -> None:
    rule = rule_of("s:\n  - f: a\n    g: b\n  - h: c\ncondition: s")
    app = {"event.dataset": "app"}
    assert rule.matches({**app, "f": "a", "g": "b"})
    assert rule.matches({**app, "h": "c"})
    assert not rule.matches({**app, "f": "a"})


def test_a_list_may_mix_maps_and_keywords(rule_of: Any) -> None:
    rule = rule_of("s:\n  - word\n  - f: a\ncondition: s")
    assert rule.matches({"event.dataset": "app", "f": "a"})
    assert rule.matches({"event.dataset": "app", "x": "a word here"})
    assert not rule.matches({"event.dataset": "app", "x": "a"})


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("a and missing", ["'missing'", "a, b, c, _d"]),
        ("1 of missing*", ["'missing*'", "fits no selection"]),
        ("all of x*", ["fits no selection"]),
        ("not 1 of filter_*", ["'filter_*'", "fits no selection"]),
        ("a and", ["the end", "expected a selection"]),
        ("a b", ["at 'b'", "expected 'and', 'or' or the end"]),
        ("(a or b", ["expected ')'"]),
        ("a or or b", ["at 'or'"]),
        ("", ["not empty"]),
        ("a | count() > 5", ["aggregation", "correlation rule"]),
        ("2 of a*", ["at '2'", "'1 of', 'any of' or 'all of'"]),
        ("a*", ["expected a selection"]),
        ("not", ["the end"]),
        ("1 of", ["'them' or a pattern"]),
    ],
)
def test_broken_conditions_are_refused(refusal_of: Any, condition: str, words: list[str]) -> None:
    reason = refusal_of(SELECTIONS + f"condition: '{condition}'")
    assert all(word in reason for word in words), reason


def test_a_selector_over_private_names_alone_is_refused(refusal_of: Any) -> None:
    assert "fits no selection" in refusal_of("_a:\n  f: a\ncondition: 1 of them")


def test_nesting_is_bounded() -> None:
    with pytest.raises(RuleRefused, match="nested"):
        parse_condition("(" * 900 + "a" + ")" * 900, ["a"])
    with pytest.raises(RuleRefused, match="nested"):
        parse_condition("not " * 2000 + "a", ["a"])
    with pytest.raises(RuleRefused, match="characters"):
        parse_condition("a or " * 5000 + "a", ["a"])


def test_unused_selection_is_a_warning(detection: Any) -> None:
    ruleset = detection(SELECTIONS + "condition: a and b and c")
    assert [w.text for w in ruleset.warnings if "_d" in w.text] == ["the condition does not use the selection '_d'"]

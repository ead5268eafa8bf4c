"""Broken correlations are refused by name, with file, line and reason; all other rules load."""

from textwrap import dedent
from typing import Any

import pytest

from detectors.sigma import RuleSet

BASE = """\
title: Base {0}
name: {0}
id: 22222222-2222-4222-8222-22222222222{1}
logsource: {{product: app}}
detection:
  selection: {{f: a}}
  condition: selection
---
"""
RULES = BASE.format("a", 1) + BASE.format("b", 2)
GOOD = "{type: event_count, rules: a, group-by: [f], timespan: 5m, condition: {gte: 3}}"


def correlation(content: str, title: str = "Broken", more: str = "") -> str:
    """A document with this correlation."""
    return f"title: {title}\nname: {title.lower()}\n{more}correlation: {content}\n---\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("5", ["must be a map", "5"]),
        ("{}", ["unknown type None", "event_count"]),
        (GOOD.replace("event_count", "event_sum"), ["unknown type 'event_sum'", "value_sum"]),
        (GOOD.replace("rules: a, ", ""), ["'rules' names no rule"]),
        (GOOD.replace("rules: a", "rules: []"), ["'rules' names no rule"]),
        (GOOD.replace("rules: a", "rules: [a, 5]"), ["'rules'", "list of names"]),
        (GOOD.replace("rules: a", "rules: [a, a]"), ["twice"]),
        (GOOD.replace("rules: a", "rules: [a, nobody]"), ["no rule", "'nobody'"]),
        (GOOD.replace("rules: a", "rules: 33333333-2222-4222-8222-222222222221"), ["no rule", "33333333"]),
        (GOOD.replace("timespan: 5m, ", ""), ["'timespan' is missing", "10m"]),
        (GOOD.replace("5m", "5"), ["timespan 5 is not", "10m"]),
        (GOOD.replace("5m", "5 m"), ["timespan"]),
        (GOOD.replace("5m", "0m"), ["above 0"]),
        (GOOD.replace("5m", "5H"), ["timespan '5H'"]),
        (GOOD.replace("5m", "[5m]"), ["timespan"]),
        (GOOD.replace(", condition: {gte: 3}", ""), ["event_count needs a condition"]),
        (GOOD.replace("{gte: 3}", "a and b"), ["condition must be a map", "a and b"]),
        (GOOD.replace("{gte: 3}", "{}"), ["compares with nothing", "gte"]),
        (GOOD.replace("gte: 3", "ge: 3"), ["unknown key 'ge'"]),
        (GOOD.replace("gte: 3", "gte: many"), ["'gte' must be a number", "'many'"]),
        (GOOD.replace("gte: 3", "gte: true"), ["'gte' must be a number"]),
        (GOOD.replace("gte: 3", "gte: 2.5"), ["whole number"]),
        (GOOD.replace("gte: 3", "gte: -1"), ["whole number from 0"]),
        (GOOD.replace("gte: 3", "gt: 5, lt: 6"), ["nothing satisfies", "gt 5 lt 6"]),
        (GOOD.replace("gte: 3", "lt: 1"), ["nothing satisfies"]),
        (GOOD.replace("gte: 3", "gte: 3, field: g"), ["measures no 'field'"]),
        (GOOD.replace("gte: 3", "gte: 3, percentile: 5"), ["percentile", "value_percentile"]),
        (GOOD.replace("event_count", "value_count"), ["needs a 'field'"]),
        (GOOD.replace("event_count", "value_sum").replace("gte: 3", "gte: 3, field: [f, g]"), ["one 'field'"]),
        (
            GOOD.replace("event_count", "value_percentile").replace("gte: 3", "gte: 3, field: f, percentile: 101"),
            ["101"],
        ),
        (GOOD.replace("[f]", "[f, 5]"), ["'group-by'"]),
        (GOOD.replace("group-by", "groupby"), ["unknown key 'groupby'", "group-by"]),
        (GOOD.replace("5m", "5m, aliases: [x]"), ["'aliases' must be a map"]),
        (GOOD.replace("5m", "5m, aliases: {x: y}"), ["alias 'x'"]),
        (GOOD.replace("5m", "5m, aliases: {x: {b: f}}"), ["alias 'x'", "'b'", "not among"]),
        (GOOD.replace("5m", "5m, generate: maybe"), ["'generate'", "'maybe'"]),
        ("{type: temporal, rules: [a, b], timespan: 5m, condition: {gte: 3}}", ["nothing satisfies", "only 2 rules"]),
        (GOOD.replace("rules: a", "rules: broken"), ["refers to itself", "Broken > Broken"]),
    ],
)
def test_a_broken_correlation(ruleset_of: Any, content: str, words: list[str]) -> None:
    rules: RuleSet = ruleset_of(RULES + correlation(content) + correlation(GOOD, "Good"))
    (refused,) = rules.refused
    assert refused.rule == "Broken"
    assert refused.place.endswith("a.yml:17")
    assert all(word in refused.reason for word in words), refused.reason
    assert [rule.title for rule in rules.rules] == ["Base a", "Base b"]
    assert [rule.title for rule in rules.correlations] == ["Good"]


def test_a_cycle_is_refused_and_named_for_each_of_its_rules(ruleset_of: Any) -> None:
    one = GOOD.replace("rules: a", "rules: two")
    two = GOOD.replace("rules: a", "rules: one")
    rules = ruleset_of(RULES, correlation(one, "One"), correlation(two, "Two"), correlation(GOOD, "Good"))
    assert [refused.rule for refused in rules.refused] == ["One", "Two"]
    assert all("One > Two > One" in refused.reason for refused in rules.refused)
    assert [rule.title for rule in rules.correlations] == ["Good"]


def test_what_refers_to_a_refused_rule_is_refused(ruleset_of: Any) -> None:
    broken = BASE.format("c", 3).replace("condition: selection", "condition: other")
    needs = correlation(GOOD.replace("rules: a", "rules: c"), "First")
    rules = ruleset_of(RULES + broken + needs + correlation(GOOD.replace("rules: a", "rules: first"), "Second"))
    assert [refused.rule for refused in rules.refused] == ["Base c", "First", "Second"]
    assert "'c'" in rules.refused[1].reason
    assert "'first' is refused itself" in rules.refused[2].reason


def test_a_name_is_looked_for_in_its_own_file_first(ruleset_of: Any) -> None:
    other = BASE.format("a", 3).replace("Base a", "Other a")
    here = RULES + correlation(GOOD, "Here")
    rules = ruleset_of(here, other, correlation(GOOD, "Elsewhere"))
    (refused,) = rules.refused
    assert "2 rules have the name 'a'" in refused.reason
    assert [part.rule.title for part in rules.correlations[0].parts] == ["Base a"]


def test_rules_are_found_by_identifier_in_other_files_whatever_their_order(ruleset_of: Any) -> None:
    by_id = GOOD.replace("rules: a", "rules: 22222222-2222-4222-8222-222222222221")
    upper = GOOD.replace("rules: a", "rules: " + "22222222-2222-4222-8222-22222222222b".upper())
    rules = ruleset_of(correlation(by_id) + correlation(upper, "Upper"), RULES + BASE.format("c", "b"))
    assert rules.refused == ()
    assert [rule.parts[0].rule.title for rule in rules.correlations] == ["Base a", "Base c"]


@pytest.mark.parametrize(
    ("more", "inside", "silent"),
    [
        ("", "", {"Base a"}),
        ("generate: false\n", "", {"Base a"}),
        ("generate: true\n", "", set()),
        ("", ", generate: true", set()),
    ],
)
def test_parts_are_silent_unless_the_correlation_generates_them(
    ruleset_of: Any, more: str, inside: str, silent: set[str]
) -> None:
    rules = ruleset_of(RULES + correlation(GOOD.replace("}}", "}" + inside + "}"), more=more))
    assert rules.refused == ()
    assert {rule.title for rule in rules.silent} == silent


def test_parts_of_a_refused_correlation_stay_silent_in_its_file_only(ruleset_of: Any) -> None:
    broken = GOOD.replace("rules: a", "rules: [a, c, nobody]")
    rules = ruleset_of(RULES + correlation(broken), BASE.format("c", 3))
    assert [refused.rule for refused in rules.refused] == ["Broken"]
    assert {rule.title for rule in rules.silent} == {"Base a"}


def test_a_correlation_without_identifier_and_with_a_vain_alias_is_warned_about(ruleset_of: Any) -> None:
    rules = ruleset_of(RULES + correlation(GOOD.replace("5m", "5m, aliases: {x: {a: g}, f: {}}")))
    assert rules.refused == ()
    texts = " ".join(warning.text for warning in rules.warnings if warning.rule == "Broken")
    assert all(
        word in texts for word in ("no identifier", "alias 'x' is used neither", "alias 'f' says nothing of 'a'")
    )


def test_documents_of_one_file_know_their_lines(ruleset_of: Any) -> None:
    text = dedent(
        """
        # a comment
        title: One
        ---

        title: Two
        logsource: {product: app}
        detection: {condition: x}
        """
    )
    assert [refused.line for refused in ruleset_of(text).refused] == [3, 6]

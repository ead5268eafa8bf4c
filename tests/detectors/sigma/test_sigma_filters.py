"""Global filters: ANDed as written to the rules they name."""

from typing import Any

import pytest

RULE = """\
title: Rule
id: 22222222-2222-4222-8222-222222222222
name: the_rule
logsource: {product: app, service: web}
detection:
  selection: {f: a}
  other: {f: b}
  condition: selection or other
"""
FILTER = """\
title: Filter
id: 33333333-3333-4333-8333-333333333333
logsource: {logsource}
filter:
  rules: {rules}
  selection: {{user|startswith: adm_}}
  condition: {condition}
"""


def filter_text(condition: str = "not selection", rules: str = "any", logsource: str = "{product: app}") -> str:
    return FILTER.format(condition=condition, rules=rules, logsource=logsource)


def matches(ruleset: Any, f: str, user: str) -> bool:
    event = {"event.dataset": "app.web", "f": f, "user": user}
    return bool(ruleset.evaluate(event))


def test_not_selection_excludes_from_the_whole_condition(ruleset_of: Any) -> None:
    ruleset = ruleset_of(RULE, filter_text())
    assert ruleset.refused == ()
    assert [warning.text for warning in ruleset.warnings if "filter" in warning.text] == []
    for f in "ab":
        assert matches(ruleset, f, "lan")
        assert not matches(ruleset, f, "ADM_lan")
    assert not matches(ruleset, "c", "lan")


def test_bare_selection_restricts_and_warns(ruleset_of: Any) -> None:
    ruleset = ruleset_of(filter_text("selection"), RULE)
    assert matches(ruleset, "a", "adm_lan")
    assert not matches(ruleset, "a", "lan")
    assert any("has no 'not'" in warning.text for warning in ruleset.warnings)


@pytest.mark.parametrize(
    ("rules", "logsource", "applies"),
    [
        ("any", "{product: app}", True),
        ("[]", "{product: app}", True),
        ("the_rule", "{product: app}", True),
        ("[other, 22222222-2222-4222-8222-222222222222]", "{product: app, service: web}", True),
        ("22222222-2222-4222-8222-222222222222", "{service: web}", True),
        ("[other]", "{product: app}", False),
        ("any", "{product: app, service: db}", False),
        ("any", "{product: app, category: x}", False),
    ],
)
def test_which_rules_a_filter_fits(ruleset_of: Any, rules: str, logsource: str, applies: bool) -> None:
    ruleset = ruleset_of(RULE, filter_text(rules=rules, logsource=logsource))
    assert ruleset.refused == ()
    assert matches(ruleset, "a", "adm_lan") is not applies
    assert any("fits no rule" in warning.text for warning in ruleset.warnings) is not applies


def test_two_filters_both_hold_and_keep_their_own_selections(ruleset_of: Any) -> None:
    second = filter_text().replace("3333", "4444").replace("user|startswith: adm_", "user: bot")
    ruleset = ruleset_of(RULE, filter_text(), second)
    assert matches(ruleset, "a", "lan")
    assert not matches(ruleset, "a", "adm_lan")
    assert not matches(ruleset, "a", "bot")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (filter_text().replace("  rules: any\n", ""), "'rules'"),
        (filter_text("not missing"), "'missing'"),
        (filter_text().replace("  condition: not selection\n", ""), "no condition"),
        (filter_text(rules="{a: b}"), "'rules'"),
        ("title: F\nlogsource: {product: app}\nfilter: [a]\n", "map"),
        ("title: F\nfilter: {rules: any}\n", "log source"),
    ],
)
def test_broken_filters_are_refused_and_the_rule_stays(ruleset_of: Any, text: str, word: str) -> None:
    ruleset = ruleset_of(RULE, text)
    assert word in ruleset.refused[0].reason
    assert matches(ruleset, "a", "adm_lan")

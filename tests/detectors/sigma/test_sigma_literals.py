"""The literals of rules: what is looked for in lines, and that no form of a sign is missed."""

import json
import re
import string
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from detectors.sigma import Rule, RuleSet
from detectors.sigma.literals import _ODD, needed
from detectors.sigma.prefilter import _SIGNS, Prefilter
from detectors.sigma.rarity import expected, table_of
from detectors.sigma.view import fold

_EVENT = {"event.dataset": "app"}


@pytest.mark.parametrize(
    ("selections", "literals"),
    [
        (r"s: {Image|endswith: '\mimikatz.exe'}", {r"\\mimikatz.exe" + '"'}),
        ("s: {Image: Mimikatz}", {'"mimikatz"'}),
        ("s: {Image|startswith: mimikatz}", {'"mimikatz'}),
        ("s: {EventID: 4625}", {"4625"}),
        ("s: {EventID|startswith: 4625}", {"4625"}),
        ("s: {text: ['*mimikatz*', 'invoke-rubeus*']}", {"mimikatz", '"invoke-rubeus'}),
        ("s: {text|contains|all: [windows, mimikatz]}", {"mimikatz"}),
        ("s: {text|re: '(mimikatz|rubeus)[0-9]+'}", {"mimikatz", "rubeus"}),
        ('s: {text|contains: "it\'s/rubeus&co"}', {"rubeus"}),
        ("s: {text|contains: 'the/r'}", {"the/r", r"the\/r", r"the\u002fr"}),
        ('s: {text|contains: \'h"t"t"p\'}', {r"h\"t\"t\"p", r"h\u0022t\u0022t\u0022p"}),
        ("s: {text|endswith: 'in>'}", {'in>"', r'in\u003e"'}),
        ("s: {text|contains: ['^^', 'rubeus']}", {"^^", "rubeus"}),
        ("s: {text|contains: 🔥}", {"\xf0\x9f\x94", r"\ud83d"}),
        ("s: {text|contains: Ж}", {"\xd0\x96", "\xd0\xb6", r"\u0416", r"\u0436"}),
    ],
)
def test_what_a_rule_is_filed_under(rule_of: Callable[[str], Rule], selections: str, literals: set[str]) -> None:
    rule = rule_of(f"{selections}\ncondition: s\n")
    found = needed(rule.node, rule.route)
    assert found is not None
    assert {literal.text for literal in found.literals} == literals


def test_a_rule_of_common_words_is_filed_under_its_log_source(rule_of: Callable[[str], Rule]) -> None:
    rule = rule_of("s: {text: '*'}\ncondition: not s\n")
    found = needed(rule.node, rule.route)
    assert found is not None
    assert {literal.text for literal in found.literals} == {'"app"'}


@pytest.mark.parametrize("sign", "<>&'+=`/\"")
def test_a_sign_is_found_in_each_form(ruleset_of: Callable[..., RuleSet], sign: str) -> None:
    prefilter = Prefilter(_rules(ruleset_of, f"text|contains: {json.dumps(f'the{sign}a')}").rules)
    plain = json.dumps({**_EVENT, "text": f"The{sign}A"})
    written = f"{json.dumps(sign)[1:-1]}A"
    forms = {written, f"\\u{ord(sign):04x}A", f"\\u{ord(sign):04X}A", *(["\\/A"] if sign == "/" else [])}
    lines = [plain.replace(written, form).encode() for form in forms]
    assert len(lines) > 1
    found = [
        rule for number, line in prefilter.candidates(lines) for rule in prefilter.matching(number, json.loads(line))
    ]
    assert len(found) == len(lines)


@pytest.mark.parametrize("value", [4625, 4625.0, "4625", [1, 4625]])
def test_a_number_is_found_however_it_is_written(ruleset_of: Callable[..., RuleSet], value: object) -> None:
    rules = _rules(ruleset_of, "EventID: 4625")
    for line in (json.dumps({**_EVENT, "EventID": value}), json.dumps({**_EVENT, "EventID": value}, indent=1)):
        prefilter = Prefilter(rules.rules)
        ((number, candidate),) = prefilter.candidates([line.replace("\n", " ").encode()])
        assert len(prefilter.matching(number, orjson.loads(candidate))) == 1
    assert Prefilter(rules.rules).candidates([b'{"event.dataset": "app", "EventID": 46250}']) == []


@pytest.mark.parametrize("text", ["\u212aim", "K\u0130M", "k\u0131m", "kim"])
@pytest.mark.parametrize("escaped", [True, False])
def test_signs_that_are_like_ascii_letters_are_no_way_round(
    ruleset_of: Callable[..., RuleSet], text: str, escaped: bool
) -> None:
    rules = _rules(ruleset_of, "text|re|i: k[i]m")
    prefilter = Prefilter(rules.rules)
    event = {**_EVENT, "text": text}
    lines = prefilter.candidates([json.dumps(event, ensure_ascii=escaped).encode()])
    found = [rule for number, line in lines for rule in prefilter.matching(number, orjson.loads(line))]
    assert found == [rule for rule in rules.rules if rule.matches(event)]


def test_all_signs_that_are_like_ascii_letters_are_known() -> None:
    beyond = "".join(map(chr, (*range(128, 0xD800), *range(0xE000, sys.maxunicode + 1))))
    like = set(re.findall(f"[{string.ascii_letters}]", beyond, re.IGNORECASE))
    like |= {sign for sign in beyond if fold(sign).isascii()}
    assert like == set(_SIGNS)


def test_signs_with_more_forms_than_two_are_passed_over() -> None:
    forms: dict[str, set[str]] = {}
    for sign in map(chr, (*range(128, 0xD800), *range(0xE000, sys.maxunicode + 1))):
        forms.setdefault(fold(sign), set()).add(sign)
    missed = [
        sign
        for sign, others in forms.items()
        if not others <= {sign, sign.upper(), sign.lower(), sign.title()} and not sign.isascii()
    ]
    assert [sign for sign in missed if not _ODD.fullmatch(sign)] == []


def test_rarer_texts_are_known_from_common_ones() -> None:
    order = ["microsoft", '"ntlm"', r"\\powershell.exe", " -enc ", "sekurlsa::"]
    assert [expected(text) for text in order] == sorted(map(expected, order), reverse=True)


def test_the_table_counts_words_pairs_and_signs() -> None:
    table = table_of([b'{"a": "Failed password"}', b'{"a": "failed"}', b'{"a": "\xc4\x91 0123456789ab"}'])
    assert table["failed"] == 666_666
    assert table["failed password"] == 333_333
    assert table['"f'] == 666_666
    assert "0123456789ab" not in table


def _rules(ruleset_of: Callable[..., RuleSet], selection: str) -> RuleSet:
    return ruleset_of(
        "title: t\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {product: app}\n"
        f"detection:\n  s: {{{selection}}}\n  condition: s\n"
    )


def test_the_shipped_table_is_small() -> None:
    assert Path("detectors/sigma/rarity.json").stat().st_size < 250_000

"""What cannot be used is refused by name, with the reason, and never hides the other rules."""

from pathlib import Path
from typing import Any

import pytest

from detectors.sigma import RuleSet

GOOD = """\
title: Good
id: 22222222-2222-4222-8222-222222222222
logsource: {product: app}
detection:
  selection: {f: a}
  condition: selection
"""


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("f|contain: a", ["unknown modifier 'contain'", "contains"]),
        ("f|expand: '%admins%'", ["%admins%", "expand"]),
        ("f|re|expand: 'a%b%c'", ["%b%"]),
        ("f|cidr: 10.0.0.1/8", ["cidr", "host bits"]),
        ("f|cidr: ten", ["cidr", "10.0.0.0/8"]),
        ("f|exists: 'true'", ["exists", "true or false"]),
        ("f|gt: abc", ["expected a number", "'abc'"]),
        ("f|hour: noon", ["expected a number"]),
        ("f|re: '('", ["'('", "invalid"]),
        (r"f|re: '(a+)+\1$'", ["exponential"]),
        ("f|contains|re: a", ["'re' must come first"]),
        ("f|base64: a*", ["without wildcards"]),
        ("f|base64offset|contains: ab", ["at least 3 bytes"]),
        ("f|fieldref: a*", ["name of a field"]),
        ("f|contains: null", ["contains"]),
        ("f|cidr|contains: 10.0.0.0/8", ["contains"]),
        ("f|i: a", ["follows 're'"]),
        ("f|windash|base64: '-a -b -c -d -e'", ["variants"]),
        ("f: {g: a}", ["plain value"]),
        ("f: [[a]]", ["plain value"]),
        ("f: []", ["list of values is empty"]),
        ("f|all: []", ["list of values is empty"]),
    ],
)
def test_items(refusal_of: Any, item: str, words: list[str]) -> None:
    reason = refusal_of(f"selection:\n  {item}\ncondition: selection")
    assert "selection 'selection'" in reason
    assert all(word in reason for word in words), reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("selection: {}\ncondition: selection", ["empty map"]),
        ("selection: []\ncondition: selection", ["empty list"]),
        ("selection:\ncondition: selection", ["empty", "field: value"]),
        ("selection: {f: a}", ["no condition"]),
        ("condition: selection", ["no selection"]),
        ("selection: {f: a}\ncondition: []", ["conditions is empty"]),
        ("selection: {f: a}\ncondition: 5", ["must be a text"]),
        ("selection: {f: a}\ntimeframe: 5m\ncondition: selection", ["timeframe", "correlation"]),
    ],
)
def test_detections(refusal_of: Any, text: str, words: list[str]) -> None:
    reason = refusal_of(text)
    assert all(word in reason for word in words), reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", ["expected a map"]),
        ("title: [", ["not valid YAML"]),
        ("title: a\ntitle: b\n", ["'title' is there twice"]),
        ("title: X\nid: 5\nlogsource: {product: app}\ndetection: {}\n", []),
        (GOOD.replace("title: Good\n", ""), ["title"]),
        (GOOD.replace("22222222-2222", "no-uuid"), ["UUID"]),
        (GOOD.replace("logsource: {product: app}\n", ""), ["log source"]),
        (GOOD.replace("{product: app}", "{definition: none}"), ["log source"]),
        (GOOD.replace("{product: app}", "{product: [app]}"), []),
        (GOOD + "level: grave\n", ["'grave'", "level"]),
        (GOOD + "status: [a]\n", ["status"]),
        (GOOD + "tags: none\n", ["tags"]),
        (GOOD + "action: global\n", ["Sigma 1"]),
        ("title: X\nlogsource: {product: app}\n", ["no detection"]),
        (GOOD.replace("selection: {f: a}", "selection: [1, 2"), ["not valid YAML"]),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
                for before, name in zip("abcdefg", "bcdefgh", strict=True)
            ),
            ["aliases"],
        ),
        ("a: &a [*a]\n", ["contains itself"]),
        ("[" * 3000 + "]" * 3000, ["nested too deeply"]),
        ("x: !!python/object/apply:os.system [ls]\n", ["not valid YAML"]),
        ("\0", ["not valid YAML"]),
    ],
)
def test_files(ruleset_of: Any, text: str, words: list[str]) -> None:
    ruleset = ruleset_of(text, GOOD.replace("2222", "3333").replace("no-uuid", "33333333-3333"))
    assert [rule.title for rule in ruleset.rules] == ["Good"]
    (refused,) = ruleset.refused
    assert refused.path.endswith("a.yml")
    assert all(word in refused.reason for word in words), refused.reason


def test_duplicate_identifier_names_the_first_file(ruleset_of: Any) -> None:
    ruleset = ruleset_of(GOOD, GOOD.replace("Good", "Copy"))
    assert [rule.title for rule in ruleset.rules] == ["Good"]
    assert ruleset.refused[0].rule == "Copy"
    assert "a.yml" in ruleset.refused[0].reason


def test_a_document_of_several_is_refused_alone(ruleset_of: Any) -> None:
    broken = GOOD.replace("condition: selection", "condition: other").replace("2222", "4444")
    ruleset = ruleset_of(f"{GOOD}---\n{broken}---\n---\n{GOOD.replace('2222', '5555')}")
    assert len(ruleset.rules) == 2
    assert len(ruleset.refused) == 1


def test_large_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yml").write_text("a: " + "x" * 1_100_000)
    (tmp_path / "binary.yml").write_bytes(b"title: \xff\xfe\x00")
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "good.test.yml").write_text("no: rule")
    (tmp_path / "notes.txt").write_text("no rule")
    ruleset = RuleSet.load(tmp_path, tmp_path / "absent")
    assert len(ruleset.rules) == 1
    reasons = {Path(refused.path).name: refused.reason for refused in ruleset.refused}
    assert set(reasons) == {"large.yml", "binary.yml", "absent"}
    assert "1048576" in reasons["large.yml"]
    assert "UTF-8" in reasons["binary.yml"]
    assert "does not exist" in reasons["absent"]


def test_rule_without_identifier_level_and_status_is_usable(ruleset_of: Any) -> None:
    text = GOOD.replace("id: 22222222-2222-4222-8222-222222222222\n", "")
    first, second = (ruleset_of(text) for _ in range(2))
    (rule,) = first.rules
    assert rule.id == second.rules[0].id != ""
    assert (rule.level, rule.status) == ("medium", "")
    assert any("identifier" in warning.text for warning in first.warnings)


def test_unknown_keys_are_kept(ruleset_of: Any) -> None:
    (rule,) = ruleset_of(GOOD + "title_vi: Tốt\n").rules
    assert rule.extra == {"title_vi": "Tốt"}


def test_order_is_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("b/2.yml", "a/9.yml", "b/1.yml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            GOOD.replace("2222-", f"222{len(str(name))}-").replace("222222222222", f"{abs(hash(name)) % 10**12:012d}")
        )
    names = [Path(rule.path).name for rule in RuleSet.load(tmp_path).rules]
    assert names == ["9.yml", "1.yml", "2.yml"]


@pytest.mark.parametrize(
    ("detection", "line"),
    [
        ("{f: a}\n  condition: selection and other", 13),
        ("\n  condition: selection", 12),
        ("\n    f: a\n    g|bogus: b\n  condition: selection", 14),
        ("\n    - f: a\n    - f: b\n      h|re: '('\n  condition: selection", 15),
        ("\n    - {f: a}\n    - {}\n  condition: selection", 12),  # has no key of its own
        ("{f: a}\n  timeframe: 5m\n  condition: selection", 8),
    ],
)
def test_the_line_of_what_is_wrong_is_told(tmp_path: Path, detection: str, line: int) -> None:
    head = "title: Bad\nid: 33333333-3333-4333-8333-333333333333\nlogsource: {product: app}\ndetection:\n  selection: "
    (tmp_path / "two.yml").write_text(f"{GOOD}---\n{head}{detection}\n", "utf-8")
    (refused,) = RuleSet.load(tmp_path).refused
    assert refused.place == f"{tmp_path / 'two.yml'}:{line}"

"""One row a vector: an item of a rule, the value of its field, and whether they match."""

from typing import Any

import pytest

from detectors.sigma import Rule

MISSING = object()


def fires(rule: Rule, value: Any, **more: Any) -> bool:
    event = {"event.dataset": "app", **more}
    if value is not MISSING:
        event["f"] = value
    matched = rule.matches(event)
    assert bool(rule.explain(event)) is matched
    return matched


def check(rule_of: Any, item: str, value: Any, expected: bool, **more: Any) -> None:
    rule = rule_of(f"selection:\n  {item}\ncondition: selection")
    assert fires(rule, value, **more) is expected
    negative = rule_of(f"selection:\n  {item}\ncondition: not selection")
    assert fires(negative, value, **more) is not expected


@pytest.mark.parametrize(
    ("item", "value", "expected"),
    [
        ("f: abc", "ABC", True),
        ("f: ABC", "abc", True),
        ("f: abc", "abcd", False),
        ("f: Đăng nhập", "đĂNG NHẬP", True),
        ("f: ΣΑΣ", "σας", True),
        ("f: abc", "  abc", False),
        # wildcards take whole values, and cross line breaks
        ("f: a*z", "a-z", True),
        ("f: a*z", "a\nz", True),
        ("f: a*z", "az", True),
        ("f: a*z", "xaz", False),
        ("f: a*z", "azx", False),
        ("f: a?z", "a\nz", True),
        ("f: a?z", "az", False),
        ("f: a?z", "aéz", True),
        ("f: a?z", "aİz", True),
        ("f: a*b*a", "aba", True),
        ("f: a*b*a", "ab", False),
        ("f: ab*ba", "aba", False),
        ("f: '*'", "", True),
        ("f: '*'", "anything", True),
        ("f: '*'", None, False),
        ("f: '*'", MISSING, False),
        ("f: '?*'", "", False),
        ("f: '?*'", "x", True),
        ("f: '*a?c*'", "xxabcxx", True),
        ("f: '*a?c'", "acabc", True),
        ("f: 'a*?'", "a", False),
        # escapes
        (r"f: 'a\*z'", "a*z", True),
        (r"f: 'a\*z'", "abz", False),
        (r"f: 'a\?z'", "a?z", True),
        (r"f: 'a\?z'", "abz", False),
        (r"f: 'a\\*'", "a\\bc", True),
        (r"f: 'a\\*'", "a*", False),
        (r"f: 'a\\\*'", "a\\*", True),
        (r"f: 'a\\\*'", "a\\b", False),
        (r"f: 'C:\Windows\x'", r"c:\windows\X", True),
        (r"f: '\\\\srv\x'", r"\\srv\x", True),
        ("f: 'a.c'", "abc", False),
        ("f: 'a[b]c'", "abc", False),
        # numbers and truth are text
        ("f: 4624", 4624, True),
        ("f: 4624", "4624", True),
        ("f: '4624'", 4624, True),
        ("f: 4624", 4624.0, True),
        ("f: 4624", 46240, False),
        ("f: 4624", "04624", False),
        ("f: 0x3e7", "0x3e7", True),
        ("f: 0x3e7", "0x3E7", True),
        ("f: 0x3e7", 999, False),
        ("f: 0x3e7", "999", False),
        ("f: 010", "010", True),
        ("f: 010", 8, False),
        ("f: 12:30", "12:30", True),
        ("f: yes", "yes", True),
        ("f: yes", True, False),
        ("f: 2024-01-01", "2024-01-01", True),
        ("f: 1.5", 1.5, True),
        ("f: true", True, True),
        ("f: true", "True", True),
        ("f: 'true'", True, True),
        ("f: false", False, True),
        ("f: false", 0, False),
        # lists, in rules and in events
        ("f: [a, b]", "B", True),
        ("f: [a, b]", "c", False),
        ("f: a", ["x", "a"], True),
        ("f: a", ["x", "y"], False),
        ("f: a", [], False),
        ("f: 5", [4, 5], True),
        ("f|contains|all: [a, b]", ["xa", "xb"], True),
        ("f|contains|all: [a, b]", ["xa", "xc"], False),
    ],
)
def test_plain_values(rule_of: Any, item: str, value: Any, expected: bool) -> None:
    check(rule_of, item, value, expected)


@pytest.mark.parametrize(
    ("item", "value", "expected"),
    [
        ("f|contains: b", "aBc", True),
        ("f|contains: b", "ac", False),
        ("f|contains: 'b?d'", "abcde", True),
        ("f|contains: ''", "", True),
        ("f|contains: ''", MISSING, False),
        (r"f|contains: '\*'", "a*b", True),
        (r"f|contains: '\*'", "ab", False),
        ("f|startswith: ab", "ABc", True),
        ("f|startswith: ab", "xab", False),
        ("f|endswith: bc", "aBC", True),
        ("f|endswith: bc", "bca", False),
        ("f|endswith: ['.exe', '.dll']", "a.DLL", True),
        ("f|contains|all: [a, b]", "ba", True),
        ("f|contains|all: [a, b]", "aa", False),
        ("f|all|contains: [a, b]", "ba", True),
        ("f|startswith|all: [a, ab]", "abc", True),
        ("f|cased: Abc", "Abc", True),
        ("f|cased: Abc", "abc", False),
        ("f|contains|cased: B", "aBc", True),
        ("f|cased|contains: B", "abc", False),
        ("f|cased: A*c", "Axxc", True),
        ("f|cased: A*c", "axxc", False),
        # regular expressions are searched and mind case
        ("f|re: b.d", "abcde", True),
        ("f|re: ^bcd", "abcde", False),
        ("f|re: BCD", "abcde", False),
        ("f|re|i: BCD", "abcde", True),
        ("f|re: a.b", "a\nb", False),
        ("f|re|s: a.b", "a\nb", True),
        ("f|re: ^b", "a\nb", False),
        ("f|re|m: ^b", "a\nb", True),
        ("f|re|i|m|s: '^B.c'", "a\nb\nc", True),
        (r"f|re: '\d{3}\\x'", "123\\x", True),
        (r"f|re: '^\*$'", "*", True),
        ("f|re: ['^x', 'y$']", "ay", True),
        ("f|re: '[0-9]+'", 42, True),
        ("f|re|startswith: b", "ab", False),
        ("f|re|endswith: b", "ab", True),
        ("f|re: a", MISSING, False),
        # networks
        ("f|cidr: 10.0.0.0/8", "10.255.0.1", True),
        ("f|cidr: 10.0.0.0/8", "11.0.0.1", False),
        ("f|cidr: 10.0.0.0/8", "10.0.0.1.example.com", False),
        ("f|cidr: 10.0.0.0/8", "::ffff:10.1.1.1", True),
        ("f|cidr: 10.0.0.0/8", "not an address", False),
        ("f|cidr: 10.0.0.0/8", ["192.0.2.1", "10.0.0.1"], True),
        ("f|cidr: 'fe80::/10'", "fe80::1%eth0", True),
        ("f|cidr: '2001:db8::/32'", "2001:DB8:0:1::5", True),
        ("f|cidr: '2001:db8::/32'", "2001:db9::5", False),
        ("f|cidr: '::/0'", "10.0.0.1", False),
        ("f|cidr: [10.0.0.0/8, 192.168.0.0/16]", "192.168.3.4", True),
        ("f|cidr: 192.0.2.7/32", "192.0.2.7", True),
        # comparison takes decimal numbers, as numbers or text
        ("f|gt: 10", 11, True),
        ("f|gt: 10", "11", True),
        ("f|gt: 10", 10, False),
        ("f|gte: 10", "10", True),
        ("f|lt: 10", "9", True),
        ("f|lt: 10", "0x3", False),
        ("f|lt: 10", "abc", False),
        ("f|lt: 10", MISSING, False),
        ("f|lt: 10", None, False),
        ("f|lt: 10", "-1", True),
        ("f|lte: 1.5", "1.5", True),
        ("f|gt: 10", [1, 20], True),
        ("f|gt: 9", "10", True),
        # parts of a time
        ("f|hour: 5", "2026-11-24T05:17:44.123456789Z", True),
        ("f|hour: 5", "2026-11-24T12:17:44+07:00", True),
        ("f|hour: 5", "2026-11-24T06:17:44Z", False),
        ("f|minute: 17", "2026-11-24 05:17:44", True),
        ("f|day: 24", "2026-11-24", True),
        ("f|week: 48", "2026-11-24T00:00:00Z", True),
        ("f|month: 11", "2026-11-24T00:00:00Z", True),
        ("f|year: 2026", "2026-11-24T00:00:00Z", True),
        ("f|year: 2026", "2026", False),
        ("f|hour|gte: 22", "2026-11-24T23:00:00Z", True),
        ("f|hour|gte: 22", "2026-11-24T21:59:59Z", False),
        ("f|hour: [1, 2]", "2026-11-24T02:00:00Z", True),
        ("f|hour: 0", "0001-01-01T00:00:00+07:00", False),
        ("f|hour: 5", "soon", False),
        # neq
        ("f|neq: a", "b", True),
        ("f|neq: a", "A", False),
        ("f|neq: a", MISSING, True),
        ("f|neq: a", None, True),
        ("f|neq: [a, b]", "b", False),
        ("f|neq: [a, b]", "c", True),
        ("f|contains|neq: a", "bab", False),
        ("f|neq: a", ["a", "b"], False),
        ("f|contains|all|neq: [a, b]", "a", True),
        ("f|contains|all|neq: [a, b]", "ab", False),
    ],
)
def test_modifiers(rule_of: Any, item: str, value: Any, expected: bool) -> None:
    check(rule_of, item, value, expected)


@pytest.mark.parametrize(
    ("item", "value", "expected"),
    [
        ("f: null", MISSING, True),
        ("f: null", None, True),
        ("f: null", "", False),
        ("f: null", "-", False),
        ("f: null", [], True),
        ("f: null", [None, "a"], True),
        ("f: null", 0, False),
        ("f: null", False, False),
        ("f:", MISSING, True),
        ("f: ''", "", True),
        ("f: ''", MISSING, False),
        ("f: ''", None, False),
        ("f: ''", " ", False),
        ("f: ''", ["", "a"], True),
        ("f: [null, '']", MISSING, True),
        ("f: [null, '']", "", True),
        ("f: [null, '']", "a", False),
        ("f: [null, a]", "a", True),
        ("f|exists: true", "", True),
        ("f|exists: true", None, True),
        ("f|exists: true", [], True),
        ("f|exists: true", MISSING, False),
        ("f|exists: false", MISSING, True),
        ("f|exists: false", None, False),
        ("f|exists: false", "x", False),
    ],
)
def test_null_empty_and_existing_differ(rule_of: Any, item: str, value: Any, expected: bool) -> None:
    check(rule_of, item, value, expected)


@pytest.mark.parametrize(
    ("item", "value", "other", "expected"),
    [
        ("f|fieldref: g", "Abc", "aBC", True),
        ("f|fieldref: g", "abc", "abd", False),
        ("f|fieldref: g", 5, "5", True),
        ("f|fieldref|startswith: g", "abc", "ab", True),
        ("f|fieldref|endswith: g", "abc", "bc", True),
        ("f|fieldref|contains: g", "abc", "b", True),
        ("f|fieldref|contains: g", "b", "abc", False),
        ("f|fieldref|cased: g", "abc", "ABC", False),
        ("f|fieldref: g", ["x", "y"], ["y"], True),
        ("f|fieldref|neq: g", "a", "a", False),
        ("f|fieldref: g", "*", "abc", False),
    ],
)
def test_fieldref(rule_of: Any, item: str, value: Any, other: Any, expected: bool) -> None:
    check(rule_of, item, value, expected, g=other)


def test_fieldref_to_a_missing_field_never_matches(rule_of: Any) -> None:
    check(rule_of, "f|fieldref: g", "a", False)
    check(rule_of, "f|fieldref: g", MISSING, False)
    check(rule_of, "f|fieldref|neq: g", "a", True)


@pytest.mark.parametrize("dash", "-/\u2013\u2014\u2015")
def test_windash_knows_five_dashes(rule_of: Any, dash: str) -> None:
    check(rule_of, "f|contains|windash: ' -enc '", f"x {dash}ENC y", True)
    check(rule_of, "f|windash|contains: ' /enc '", f"x {dash}ENC y", True)
    check(rule_of, "f|windash: '-a -b'", f"{dash}a /b", True)
    check(rule_of, "f|contains|windash|all: ['-a', '-b']", f"{dash}a {dash}b", True)
    check(rule_of, "f|contains|windash|all: ['-a', '-b']", f"{dash}a {dash}c", False)


def test_windash_leaves_hyphens_within_words(rule_of: Any) -> None:
    check(rule_of, "f|contains|windash: a-b", "xa/bx", False)
    check(rule_of, "f|contains|windash: a-b", "xa-bx", True)


@pytest.mark.parametrize(
    ("item", "value", "expected"),
    [
        ("f|base64: foobar", "Zm9vYmFy", True),
        ("f|base64|contains: foobar", "xx Zm9vYmFy xx", True),
        ("f|wide|base64: ab", "YQBiAA==", True),
        ("f|utf16le|base64: ab", "YQBiAA==", True),
        ("f|utf16be|base64: ab", "AGEAYg==", True),
        ("f|utf16|base64: ab", "//5hAGIA", True),
        ("f|utf16le|base64: Đế", "EAG/Hg==", True),
        (r"f|base64: 'a\*b'", "YSpi", True),
        ("f|windash|base64: '-a'", "L2E=", True),
    ],
)
def test_base64(rule_of: Any, item: str, value: str, expected: bool) -> None:
    check(rule_of, item, value, expected)


@pytest.mark.parametrize("text", ["foo", "foob", "fooba", "Đăng nhập", "đườ", "日本語x"])
@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16le"])
def test_base64offset_counts_bytes(rule_of: Any, text: str, before: str, codec: str) -> None:
    from base64 import b64encode

    encoded = b64encode(before.encode() + text.encode(codec) + b"#tail").decode()
    wide = "utf16le|" if codec == "utf-16le" else ""
    check(rule_of, f"f|{wide}base64offset|contains: {text}", encoded, True)
    check(rule_of, f"f|{wide}base64offset|contains: {text}", "QUFBQUFBQUFBQUFBQUFB", False)


def test_base64offset_under_all_needs_each_value_at_some_offset(rule_of: Any) -> None:
    from base64 import b64encode

    item = "f|base64offset|contains|all: [foobar, secret]"
    check(rule_of, item, b64encode(b"x foobar and secret y").decode(), True)
    check(rule_of, item, b64encode(b"x foobar y").decode(), False)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"a.b.c": "x"}, True),
        ({"a": {"b": {"c": "x"}}}, True),
        ({"a.b": {"c": "x"}}, True),
        ({"a": {"b.c": "x"}}, True),
        ({"a": [{"b": {"c": "y"}}, {"b": {"c": "x"}}]}, True),
        ({"a": {"b": [{"c": ["y", "x"]}]}}, True),
        ({"a.b.c": "y", "a": {"b": {"c": "x"}}}, False),  # the flat key goes first
        ({"a": {"b": "x"}}, False),
        ({"a": "x"}, False),
    ],
)
def test_nested_fields(rule_of: Any, event: dict[str, Any], expected: bool) -> None:
    rule = rule_of("selection:\n  a.b.c: x\ncondition: selection")
    assert rule.matches({"event.dataset": "app", **event}) is expected


def test_explanation_names_the_value_that_matched(rule_of: Any) -> None:
    rule = rule_of("one:\n  f|endswith: b\ntwo:\n  g: 5\nnever:\n  h: x\ncondition: one and two and not never")
    reasons = rule.explain({"event.dataset": "app", "f": ["aa", "AB"], "g": 5})
    assert [(r.selection, r.field, r.value) for r in reasons] == [
        ("one", "f", "AB"),
        ("two", "g", "5"),
    ]
    assert rule.explain({"event.dataset": "app", "f": "ab", "g": 5, "h": "x"}) == []


def test_explanation_cuts_long_values(rule_of: Any) -> None:
    rule = rule_of("selection:\n  f|contains: a\ncondition: selection")
    (reason,) = rule.explain({"event.dataset": "app", "f": "a" * 9000})
    assert len(reason.value) == 500

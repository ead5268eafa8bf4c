"""Keywords: values without a field, looked for anywhere in any value of the event."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("keywords", "event", "expected"),
    [
        ("[failed login, denied]", {"message": "x FAILED Login y"}, True),
        ("[failed login, denied]", {"anything": ["a", "Denied!"]}, True),
        ("[failed login, denied]", {"message": "login failed"}, False),
        ("denied", {"a": {"b": "is denied"}}, True),
        ("fail*login", {"message": "a fail\nand login b"}, True),
        ("fail?login", {"message": "fail--login"}, False),
        (r"'a\*b'", {"message": "xa*bx"}, True),
        (r"'a\*b'", {"message": "xa1bx"}, False),
        ("[4625]", {"event.code": 4625}, True),
        ("[4625]", {"message": "id 46250"}, True),
        ("{'|all': [one, two]}", {"a": "one", "b": "two"}, True),
        ("{'|all': [one, two]}", {"a": "one"}, False),
        ("{'|re': 'x\\d{2}y'}", {"message": "ax12yb"}, True),
        ("{'|re': 'x\\d{2}y'}", {"message": "X12y"}, False),
        ("{'|re|i': 'x\\d{2}y'}", {"message": "X12y"}, True),
        ("{'|cased': Abc}", {"message": "xAbcx"}, True),
        ("{'|cased': Abc}", {"message": "xabcx"}, False),
        ("{'|contains': abc}", {"message": "xabcx"}, True),
        ("{'|all': [one], 'f': 5}", {"a": "one", "f": 5}, True),
        ("{'|all': [one], 'f': 5}", {"a": "one", "f": 6}, False),
        ("{'|windash|contains': ' -x'}", {"message": "a /x"}, True),
        # what the receiver added is not part of the message
        ("agent-7", {"observer.name": "agent-7"}, False),
        ("province", {"organization.id": "province-12", "labels.source": "province"}, False),
        ("app", {}, False),
        ("null", {"message": "is null here"}, True),
    ],
)
def test_keywords(rule_of: Any, keywords: str, event: dict[str, Any], expected: bool) -> None:
    if keywords == "null":
        keywords = "'null'"
    rule = rule_of(f"keywords: {keywords}\ncondition: keywords")
    event = {"event.dataset": "app", **event}
    assert rule.matches(event) is expected
    negative = rule_of(f"keywords: {keywords}\ncondition: not keywords")
    assert negative.matches(event) is not expected


def test_explanation_names_the_field_where_the_keyword_stood(rule_of: Any) -> None:
    rule = rule_of("keywords: [needle]\ncondition: keywords")
    (reason,) = rule.explain({"event.dataset": "app", "a": "hay", "b.c": "a Needle in hay"})
    assert (reason.selection, reason.field, reason.value) == ("keywords", "b.c", "a Needle in hay")


def test_a_rule_that_matches_by_absence_still_gives_a_reason(rule_of: Any) -> None:
    rule = rule_of("keywords: [needle]\ncondition: not keywords")
    assert len(rule.explain({"event.dataset": "app", "a": "hay"})) == 1


@pytest.mark.parametrize("keywords", ["[null]", "{'|cidr': 10.0.0.0/8}", "{'|gt': 5}", "{'|exists': true}", "[]", "{}"])
def test_values_that_need_a_field_are_refused(refusal_of: Any, keywords: str) -> None:
    assert "keywords" in refusal_of(f"keywords: {keywords}\ncondition: keywords")

"""The query bar's grammar: what is understood is tested with the store; here, what is refused and where."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.store import query as q
from pipeline.store.query_string import MAX_LENGTH, QueryFault, parse_text


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a:", 2), ("a: b", 2), ("(foo", 0), ("foo)", 3), ("foo AND", 7), ("AND foo", 0), ("OR", 0), ("a OR OR b", 5),
        ("x:[1 2]", 5), ("x:[1 TO", 7), ("x:[1 TO 2", 2), ("x:[TO 2]", 6), ('"abc', 0), ('a:"abc', 2), ("()", 1),
        ("NOT", 3), ("a:(b", 2), ("@timestamp:[soon TO *]", 11), ("[", 0), ("{x", 0), ("source.ip:10.0.0.0/99", 10), ("a b:300.1.1.1/8", 4),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(text: str, position: int) -> None:
    with pytest.raises(QueryFault) as fault:
        parse_text(text)
    assert fault.value.position == position
    assert fault.value.reason


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("a:b", q.Equals("a", ("b",))),
        ('a:"b c"', q.Equals("a", ("b c",))),
        ("a:b\\:c", q.Equals("a", ("b:c",))),
        ("a:C\\\\x", q.Equals("a", ("C\\x",))),
        ("a:C\\Windows", q.Equals("a", ("C\\Windows",))),
        ("a:b*", q.Like("a", "b*")),
        ("a:b\\*", q.Equals("a", ("b*",))),
        ("00:1b:44:11:3a:b7", q.Phrase("00:1b:44:11:3a:b7")),
        ("host.mac:00:1b:44:11:3a:b7", q.Equals("host.mac", ("00:1b:44:11:3a:b7",))),
        ("source.ip:fe80::/10", q.InNetwork("source.ip", "fe80::/10")),
        ("a:>=5", q.Within("a", 5, None, True, False)),
        ("a:{1.5 TO *]", q.Within("a", 1.5, None, False, True)),
        ("oranges", q.Phrase("oranges")),
        ("message:x", q.Phrase("x")),
        ("_exists_:user.name", q.Exists("user.name")),
        ("*", q.All()),
        ("*:*", q.All()),
        ("url.path:/admin/", q.Equals("url.path", ("/admin/",))),
        ("", q.All()),
        ("  ", q.All()),
    ],
)
def test_texts_become_conditions(text: str, condition: q.Condition) -> None:
    assert parse_text(text) == condition


def test_or_binds_less_than_and() -> None:
    a, b, c = (q.Phrase(word) for word in "abc")
    assert parse_text("a b OR c") == q.Combined(should=(q.Combined(must=(a, b)), c), least=1)
    assert parse_text("a AND (b OR NOT c)") == q.Combined(
        must=(a, q.Combined(should=(b, q.Combined(must_not=(c,))), least=1))
    )


def test_long_and_deep_texts_are_refused() -> None:
    for text in ("x" * (MAX_LENGTH + 1), "(" * 100 + "a" + ")" * 100, "a:" + "(" * 40 + "b" + ")" * 40):
        with pytest.raises(QueryFault):
            parse_text(text)


@settings(max_examples=1500, deadline=None)
@given(
    st.text(alphabet=st.sampled_from(list('ab:*?()[]{}"\\+-!&|<>=~^/ TO AND OR NOT.1đ\t\u3000')), max_size=30)
    | st.text(max_size=30)
)
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        parse_text(text)
    except QueryFault as fault:
        assert 0 <= fault.position <= len(text)

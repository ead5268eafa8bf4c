"""The linear search agrees with `re`, and hostile text takes no time."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma.errors import RuleRefused
from detectors.sigma.linear import linear_searcher
from detectors.sigma.regular_expressions import MAX_TEXT, searcher

PATTERNS = [
    "abc",
    "a.*b",
    "^a.*b$",
    "^(?:ab)*$",
    "a*$",
    "^$",
    "^ab",
    "^(?:a|bc)+d",
    "^a?",
    "(?:a|b|ab)+c",
    "(.*b)+c",
    "a{2,3}b{0,2}c",
    "(?:ab?){2,}c",
    "[^a]b",
    r"\d+\s\w",
    "(?s)a.b",
    "(?i)aB[c-d]",
    "(?i:a)b",
    "a??b+?c",
    r"\Aab\Z",
    "b$",
    "[à-ỹ]+c",
    "(a+)+b",
    "(?:a{0,3}b){1,2}c",
    "",
]
TEXTS = st.text(alphabet="abcABCd1 \n\r\tđế.", max_size=14)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=TEXTS)
@settings(max_examples=120, deadline=None)
def test_same_answer_as_re(pattern: str, text: str) -> None:
    linear = linear_searcher(pattern)
    assert linear is not None
    wanted = re.search(pattern, text) is not None
    assert linear(text) is wanted
    assert linear(text) is wanted  # from remembered steps
    assert searcher(pattern, re.NOFLAG)(text) is wanted


@pytest.mark.parametrize("flags", [re.IGNORECASE, re.DOTALL, re.IGNORECASE | re.DOTALL])
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_same_answer_under_flags(flags: re.RegexFlag, text: str) -> None:
    for pattern in ("a.*B", "[^C]d", "ab?c", "s.k", "Đế"):
        linear = linear_searcher(pattern, flags)
        assert linear is not None
        wanted = re.search(pattern, text, flags) is not None
        assert linear(text) is wanted
        assert searcher(pattern, flags)(text) is wanted


@pytest.mark.parametrize("text", ["KELVIN \u212a", "\u017fay", "say", "SAY"])
def test_letters_that_equal_ascii_ones_without_case(text: str) -> None:
    for pattern in ("k", "say", "kelvin k"):
        wanted = re.search(pattern, text, re.IGNORECASE) is not None
        assert searcher(pattern, re.IGNORECASE)(text) is wanted


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?<!a)b", r"(a)\1", r"\bab", "(^a|b)", "(?m)^a", "a{2000}"])
def test_what_is_not_linear(pattern: str) -> None:
    assert linear_searcher(pattern) is None
    assert searcher(pattern, re.NOFLAG)("x") is False


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 60_000 + "!"),
        (r"x(?:.*\)){1,}.*y", "x" + ")" * 60_000),
        ("a.*b.*c.*d", "a" * 20_000 + "b" * 20_000 + "c" * 20_000),
        (r"\s+x", "\n" * 60_000 + "x"),
        (r"(?i)set.*&&.*cmd.*\d{3}", "set" * 8_000 + "&&" * 8_000 + "cmd" * 8_000),
        (r"[\w.]+@[\w.]+\.vn", "a." * 30_000),
        (r"(?=.*z)a.*b.*c", "a" * 30_000 + "b" * 30_000 + "z"),
        (r"\s[a-f0-9]{64}\s[a-f0-9]{16}", (" " + "a" * 63) * 1_000),
        ("[a-z]{500}[0-9]{2}", "a" * 65_000),
    ],
)
def test_hostile_text_takes_bounded_time(pattern: str, text: str) -> None:
    accepts = searcher(pattern, re.NOFLAG)
    start = time.process_time()
    accepts(text)
    assert time.process_time() - start < 5  # measured: below 0.5 s


@pytest.mark.parametrize("before", [0, 1, 30_000])
def test_repeats_of_one_length_are_found_behind_any_text(before: int) -> None:
    accepts = searcher(r"\s[a-f0-9]{8}\s[a-f0-9]{2}$", re.NOFLAG)
    assert accepts(" x" * before + " 0123abcd ef")
    assert not accepts(" x" * before + " 0123abcd_ef")


def test_long_text_is_searched_to_the_end() -> None:
    accepts = searcher("needle.*x", re.NOFLAG)
    assert accepts("y" * 60_000 + "needle x")
    assert not accepts("y" * MAX_TEXT + "needle x")


def test_exponential_and_not_linear_is_refused() -> None:
    with pytest.raises(RuleRefused, match="exponential"):
        searcher(r"(?=(a+)+b)a", re.NOFLAG)
    with pytest.raises(RuleRefused, match="characters"):
        searcher("a" * 9_000, re.NOFLAG)


@settings(max_examples=300, deadline=None)
@given(
    pattern=st.sampled_from([r".*\^.*\^.*\^.*", r"\+.*\+.*?\+", "'.*'", r"\\.*\\.*\\"]),
    flags=st.sampled_from([re.NOFLAG, re.DOTALL, re.MULTILINE, re.IGNORECASE]),
    text=st.text(st.sampled_from("^+'\\\na\r\x85\u2028"), max_size=14),
)
def test_a_sign_that_comes_again_and_again_is_counted(pattern: str, flags: re.RegexFlag, text: str) -> None:
    assert searcher(pattern, flags)(text) is (re.search(pattern, text, flags) is not None)

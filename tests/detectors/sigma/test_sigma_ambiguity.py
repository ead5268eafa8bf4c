"""Which regular expressions can take exponential time."""

import re
import time

import pytest

from detectors.sigma.ambiguity import ambiguous_repeat


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*b",
        r"(?:\w1|\d1)*b",
        "(a|aa)+$",
        "(?:ab?|b)+$",
        r"([a-z]+\d*)+!",
        r"(.*\))+x",
        r"(?:\s*,?\s*)*;",
        "(a?b?)*c",
        "(?=(a+)+b)a",
        "x(?:y(?:z+)*)+$",
        "(a{1,50}){1,50}b",
        r"(\S+=\S+ )*x",
        "(?i)(ax|A.)+$",
        "(?i:(ax|A.)+)$",
        "([^x]|y)*z",
        "(?:đế|[à-ỹ]+)+$",
    ],
)
def test_exponential(pattern: str) -> None:
    assert ambiguous_repeat(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "a+b+c*",
        ".*a.*b.*c",
        r"(\w+\.)+com",
        r"(?:\d{1,3}\.){3}\d{1,3}",
        "(ab|cd)*e",
        "(?:a,)*b",
        r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==)?$",
        r"(?:\\[^\\]+)+\\x\.exe",
        "(a|b)+$",
        "(?:[^;]*;)+x",
        "(abc)?(def)?",
        r"(?<!\w)(-\w )+x",
        "[ab]*|c*",
        "(a{1,3}b){2}",
        # `re` itself makes one set of these
        "(?:a|a)*b",
        r"(\w|\d)+$",
    ],
)
def test_not_exponential(pattern: str) -> None:
    assert not ambiguous_repeat(pattern)


@pytest.mark.parametrize(
    "pattern", [r"(\w+\.)+com", "(ab|cd)*e", r"^(?:[A-Za-z0-9+/]{4})*=$", r"(?:\\[^\\]+)+\\x\.exe"]
)
def test_what_passes_is_fast_on_hostile_text(pattern: str) -> None:
    expression = re.compile(pattern)
    for text in ("a" * 3000, "ab" * 1500, "a." * 1500, "\\a" * 1500, "+/AA" * 700):
        start = time.process_time()
        expression.search(text + "!")
        assert time.process_time() - start < 2


def test_large_products_are_refused_not_examined_for_ever() -> None:
    start = time.process_time()
    pattern = "(?:" + "|".join(f"[{chr(97 + n % 26)}-ÿ]+;{n}" for n in range(200)) + ")*y"
    assert ambiguous_repeat(pattern)
    assert time.process_time() - start < 5

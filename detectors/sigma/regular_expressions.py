"""Modifier `re`: a regular expression becomes a test of a text, bounded in time.

Specification v2.1.0, "re": the expression is searched, not matched as a whole, and minds case
unless flagged. Python's `re` backtracks and cannot be stopped, so time is bounded from both sides:
an expression that can take exponential time is refused at load (`ambiguity.py`), and only the first
`MAX_TEXT` characters of a value are searched.
"""

import re
from collections.abc import Callable

from detectors.sigma.ambiguity import ambiguous_repeat
from detectors.sigma.errors import RuleRefused

MAX_TEXT = 65_536  # characters; a Windows event holds 64 KB at most
MAX_EXPRESSION = 8_192  # characters; the longest of SigmaHQ's has about 600


def searcher(pattern: str, flags: re.RegexFlag) -> Callable[[str], bool]:
    """A test whether the expression is found in a text. Raises `RuleRefused` for one that is
    unusable.
    """
    if len(pattern) > MAX_EXPRESSION:
        raise RuleRefused(
            f"regular expression of {len(pattern)} characters; at most {MAX_EXPRESSION} are allowed"
        )
    try:
        search = re.compile(pattern, flags).search
    except (re.error, OverflowError, RecursionError) as error:
        raise RuleRefused(f"regular expression {pattern!r} is invalid: {error}") from error
    if ambiguous_repeat(pattern, flags):
        raise RuleRefused(
            f"regular expression {pattern!r} can take exponential time: a repeated part of it "
            "matches the same text in more than one way"
        )
    return lambda text: search(text[:MAX_TEXT]) is not None

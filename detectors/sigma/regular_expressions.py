"""Modifier `re`: a regular expression becomes a test of a text, bounded in time.

Specification v2.1.0, "re": the expression is searched, not matched as a whole, and minds case
unless flagged. Python's `re` backtracks and cannot be stopped. With k unbounded repeats it may take
n to the power of k + 1 steps on a text of n characters, times the signs of repeats that are always as
long (`[0-9a-f]{64}`), and exponentially many when repeats are
nested in an ambiguous way (`ambiguity.py`). So `re` gets short texts only, and `linear.py` the long
ones; before both, the literals that every match contains are looked for, which most texts lack.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from math import factorial
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from detectors.sigma.ambiguity import ambiguous_repeat
from detectors.sigma.errors import RuleRefused
from detectors.sigma.linear import Accept, linear_searcher
from detectors.sigma.nodes import Holds, OneOf, Piece, Together

MAX_EXPRESSION = 8_192  # characters; the longest of SigmaHQ's has about 600
MAX_TEXT = 65_536  # characters searched; a Windows event holds 64 KB at most
MAX_STEPS = 10_000_000  # of backtracking in one search, about 0.1 s
# Characters searched when an expression is not linear (look-around, references, inner anchors).
MIN_TEXT = 1_000
FEW = 7  # a repeat of up to so many counts as bounded


def searcher(pattern: str, flags: re.RegexFlag) -> Accept:
    """A test whether the expression is found in a text.

    Raises `RuleRefused` for one that is invalid, too long, or exponential and not linear either.
    """
    if len(pattern) > MAX_EXPRESSION:
        raise RuleRefused("expression_too_long", length=len(pattern), most=MAX_EXPRESSION)
    try:
        search = re.compile(pattern, flags).search
    except (re.error, OverflowError, RecursionError) as error:
        raise RuleRefused("expression_invalid", pattern=repr(pattern), why=str(error)) from error
    if repeated := _REPEATED_SIGN.fullmatch(pattern):
        return _has_repeated(repeated[1][-1], pattern.count(repeated[1]), bool(flags & re.DOTALL))
    ambiguous = ambiguous_repeat(pattern, flags)
    if ambiguous and linear_searcher(pattern, flags) is None:
        raise RuleRefused("expression_exponential", pattern=repr(pattern))
    tree = parser.parse(pattern, flags)
    short = 0 if ambiguous else min(MAX_TEXT, _length(_unbounded(tree), _fixed(tree)))
    least = tree.getwidth()[0]
    has_literals = _literal_test(tree)

    @cache
    def linear() -> Accept | None:
        return linear_searcher(pattern, flags)

    def accepts(text: str) -> bool:
        if len(text) < least or (has_literals is not None and not has_literals(text)):
            return False
        if len(text) <= short:
            return search(text) is not None
        slow = linear()
        if slow is not None:
            return slow(text[:MAX_TEXT])
        return search(text[: max(short, MIN_TEXT)]) is not None

    return accepts


def pieces_of(pattern: str, flags: re.RegexFlag) -> Holds:
    """What every text holds in which a valid expression is found, as far as it is spelled out."""
    return _spelled_out(parser.parse(pattern, flags))


def _spelled_out(items: Any) -> Holds:
    """The literals of an expression one after the other; all branches of an alternative."""
    parts: list[Holds] = []
    run: list[str] = []
    for code, argument in [*items, (None, None)]:
        if code is codes.LITERAL and argument < 128:  # beyond ASCII more signs are equal than two cases
            run.append(chr(argument))
            continue
        if run:
            parts.append(Piece("".join(run)))
            run.clear()
        if code is codes.SUBPATTERN:
            parts.append(_spelled_out(argument[3]))
        elif code in _REPEATS and argument[0] > 0:
            parts.append(_spelled_out(argument[2]))
        elif code is codes.BRANCH:
            parts.append(OneOf(tuple(map(_spelled_out, argument[1]))))
    return Together(tuple(parts))


def _length(repeats: int, fixed: int) -> int:
    """The length of a text on which so many unbounded repeats, and fixed ones of so many signs, take `MAX_STEPS`."""
    degree = repeats + 1
    return int((MAX_STEPS * factorial(degree) / max(1, fixed)) ** (1 / degree))


def _unbounded(items: Any) -> int:
    """How many repeats of an expression can be gone through one way or another."""
    count = 0
    for code, argument in items:
        own = code in _REPEATS and argument[1] > FEW and not _is_fixed(argument)
        count += own + max(map(_unbounded, _within(code, argument)), default=0)
    return count


def _fixed(items: Any) -> int:
    """How many signs those repeats take that can be gone through in one way only, such as `[0-9a-f]{64}`."""
    count = 0
    for code, argument in items:
        is_fixed = code in _REPEATS and _is_fixed(argument)
        count += argument[1] if is_fixed else sum(map(_fixed, _within(code, argument)))
    return count


def _is_fixed(repeat: Any) -> bool:
    least, most, items = repeat
    return bool(least == most) and len(items) == 1 and items[0][0] in _SIGNS


def _within(code: Any, argument: Any) -> list[Any]:
    """The sequences within an item of an expression."""
    if code in _REPEATS:
        return [argument[2]]
    if code is codes.SUBPATTERN:
        return [argument[3]]
    if code is codes.BRANCH:
        return list(argument[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [argument[1]]
    return [argument] if code is codes.ATOMIC_GROUP else []


def _has_repeated(sign: str, times: int, dotall: bool) -> Accept:
    """A test whether a sign comes so many times, in one line unless a dot is a line break, too."""

    def accepts(text: str) -> bool:
        if text.count(sign, 0, MAX_TEXT) < times:
            return False
        return dotall or any(line.count(sign) >= times for line in text[:MAX_TEXT].split("\n"))

    return accepts


def _literal_test(tree: Any) -> Callable[[str], bool] | None:
    """A cheap test that every text with a match passes; None where nothing is known of them."""
    literals = [one for one in _literals(tree) if one]
    if not literals:
        return None
    longest, *others = sorted(set(literals), key=len, reverse=True)
    if not tree.state.flags & re.IGNORECASE:
        if not others:
            return lambda text: longest in text
        return lambda text: longest in text and all(other in text for other in others)
    lowered = longest.lower()
    if not lowered.isascii():
        return None
    # Outside ASCII some other letters equal these without case (the Kelvin sign, the long s).
    return lambda text: lowered in text.lower() or not text.isascii()


def _literals(items: Any) -> Iterator[str]:
    """Runs of literal characters that every match contains; none out of groups with own flags."""
    run: list[str] = []
    for code, argument in items:
        if code is codes.LITERAL:
            run.append(chr(argument))
            continue
        yield "".join(run)
        run.clear()
        if code is codes.SUBPATTERN and not argument[1] and not argument[2]:
            yield from _literals(argument[3])
        elif code in _REPEATS and argument[0] > 0:
            yield from _literals(argument[2])
    yield "".join(run)


#: One sign again and again, with anything between: `.*\+.*\+.*\+.*`; to count is quicker than to fail in every way.
_REPEATED_SIGN = re.compile(r"(?:\.\*\??)?(\\[^\w\s]|[%&'\"`,;:=@#~!<>/-])(?:\.\*\??\1)+(?:\.\*\??)?")
_SIGNS = (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN)
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)

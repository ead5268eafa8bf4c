"""Searching a regular expression in time that grows with the text alone.

An expression for `re` enters, a test of a text leaves; None for what cannot be done this way
(look-around, references to groups, anchors within). The position automaton (Glushkov, "The abstract
theory of automata", 1961) is made deterministic on the way, one state and character at a time, so a
character costs one look-up once it was met. It is some ten times slower than `re` on friendly text,
and the only one of both that is safe on hostile text.
"""

import re
from collections.abc import Callable
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_POSITIONS = 1_000  # counted repeats are written out; beyond that the expression is not done
MAX_REMEMBERED = 50_000  # steps of the deterministic automaton kept, about 10 MB

Accept = Callable[[str], bool]
State = frozenset[int]
_Part = tuple[bool, State, State]  # may be empty, first and last positions
_EMPTY: _Part = (True, frozenset(), frozenset())


class _NotLinear(Exception):
    """The expression has something that a finite automaton does not."""


def linear_searcher(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> Accept | None:
    """A test whether the expression (valid for `re`) is found in a text, or None."""
    tree = parser.parse(pattern, flags)
    try:
        return _Automaton(tree).found_in
    except _NotLinear:
        return None


class _Automaton:
    def __init__(self, tree: Any) -> None:
        self._accepts: list[Accept] = []
        self._follow: list[set[int]] = []
        self._sets: dict[str, Accept] = {}
        items = list(tree)
        self._from_start = bool(items) and _anchor(items[0], "AT_BEGINNING", "AT_BEGINNING_STRING")
        self._to_end = bool(items) and _anchor(items[-1], "AT_END", "AT_END_STRING")
        self._line_end = self._to_end and items[-1][1] is codes.AT_END
        if self._from_start:
            items = items[1:]
        if self._to_end:
            items = items[:-1]
        if (self._from_start or self._to_end) and tree.state.flags & re.MULTILINE:
            raise _NotLinear
        self._empty, self._first, self._last = self._sequence(items, tree.state.flags)
        self._steps: dict[tuple[State, str], State] = {}

    def found_in(self, text: str) -> bool:
        if self._empty and not (self._from_start and self._to_end):
            return True
        if self._to_end:
            if self._line_end and text.endswith("\n") and self._ends(text[:-1]):
                return True
            return self._ends(text)
        state: State = frozenset()
        start = self._first
        for character in text:
            state = self._step(state, start, character)
            if not state.isdisjoint(self._last):
                return True
            if self._from_start:
                start = frozenset()
                if not state:
                    return False
        return False

    def _ends(self, text: str) -> bool:
        state: State = frozenset()
        start = self._first
        for character in text:
            state = self._step(state, start, character)
            if self._from_start:
                start = frozenset()
                if not state:
                    return False
        return not state.isdisjoint(self._last) or (self._empty and not text)

    def _step(self, state: State, start: State, character: str) -> State:
        reached = state if start else state | {-1}  # the start positions tell the two apart
        known = self._steps.get((reached, character))
        if known is None:
            if len(self._steps) >= MAX_REMEMBERED:
                self._steps.clear()
            candidates = start.union(*(self._follow[position] for position in state))
            known = frozenset(p for p in candidates if self._accepts[p](character))
            self._steps[reached, character] = known
        return known

    def _sequence(self, items: Any, flags: int) -> _Part:
        whole = _EMPTY
        for code, argument in items:
            whole = self._then(whole, self._item(code, argument, flags))
        return whole

    def _then(self, before: _Part, behind: _Part) -> _Part:
        self._link(before[2], behind[1])
        return (
            before[0] and behind[0],
            before[1] | behind[1] if before[0] else before[1],
            before[2] | behind[2] if behind[0] else behind[2],
        )

    def _item(self, code: Any, argument: Any, flags: int) -> _Part:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            least, most, body = argument
            return self._repeat(least, most, body, flags)
        if code is codes.SUBPATTERN:
            _, added, removed, body = argument
            return self._sequence(body, (flags | added) & ~removed)
        if code is codes.BRANCH:
            parts = [self._sequence(branch, flags) for branch in argument[1]]
            return (
                any(part[0] for part in parts),
                frozenset().union(*(part[1] for part in parts)),
                frozenset().union(*(part[2] for part in parts)),
            )
        source = _SOURCES.get(code)
        if source is None or len(self._accepts) >= MAX_POSITIONS:
            raise _NotLinear
        self._accepts.append(self._set(source(argument), flags))
        self._follow.append(set())
        position = frozenset({len(self._accepts) - 1})
        return False, position, position

    def _repeat(self, least: int, most: int, body: Any, flags: int) -> _Part:
        whole = _EMPTY
        for _ in range(least):
            whole = self._then(whole, self._sequence(body, flags))
        if most is codes.MAXREPEAT:
            _, first, last = self._sequence(body, flags)
            self._link(last, first)
            return self._then(whole, (True, first, last))
        optional = _EMPTY
        for _ in range(most - least):  # x?(x?(x?...)) from the inside
            _, first, last = self._then(self._sequence(body, flags), optional)
            optional = (True, first, last)
        return self._then(whole, optional)

    def _link(self, before: State, behind: State) -> None:
        for position in before:
            self._follow[position] |= behind

    def _set(self, source: str, flags: int) -> Accept:
        key = f"{flags}:{source}"
        if key not in self._sets:
            kept = re.RegexFlag(flags) & (re.IGNORECASE | re.DOTALL | re.ASCII)
            matches = re.compile(source, kept).fullmatch
            self._sets[key] = lambda character: matches(character) is not None
        return self._sets[key]


def _anchor(item: Any, *names: str) -> bool:
    code, argument = item
    return code is codes.AT and str(argument) in names


def _class_source(items: Any) -> str:
    """The source of a set of characters from its parsed form."""
    parts: list[str] = []
    for code, argument in items:
        if code is codes.NEGATE:
            parts.append("^")
        elif code is codes.RANGE:
            parts.append(f"{_escaped(argument[0])}-{_escaped(argument[1])}")
        elif code is codes.CATEGORY:
            parts.append(_CATEGORIES[str(argument)])
        else:
            parts.append(_escaped(argument))
    return f"[{''.join(parts)}]"


def _escaped(code_point: int) -> str:
    return f"\\U{code_point:08x}"


_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
_SOURCES: dict[Any, Callable[[Any], str]] = {
    codes.LITERAL: _escaped,
    codes.NOT_LITERAL: lambda argument: f"[^{_escaped(argument)}]",
    codes.ANY: lambda _: ".",
    codes.IN: _class_source,
}

"""Arithmetic of a `bucket_script`: a text such as `params.failed / params.all * 100` enters, a function leaves.

The part of Painless that is arithmetic: `+ - * / %`, parentheses, numbers, and `params.name`. Numbers are all of
floating point; what has no value (a division by zero) is None. Nothing is ever run: the text is read here.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from pipeline.store import SearchError

Expression = Callable[[Mapping[str, float]], float | None]
_Node = Callable[[Mapping[str, float]], float]
_LONGEST, _DEEPEST = 1_000, 30
_TOKEN = re.compile(r"\s*(params\.(\w+)|params\[['\"](\w+)['\"]\]|\d+(?:\.\d+)?|[-+*/%()])\s*")


def parse_expression(text: str, names: Sequence[str], place: str) -> Expression:
    """Read an expression of parameters with these names.

    Raises:
        SearchError: it is none; says at which character.
    """
    if len(text) > _LONGEST:
        raise SearchError("search.script", place=place, position=_LONGEST + 1, value=text[:40], known=_known(names))
    parser = _Parser(text.strip().removeprefix("return ").removesuffix(";"), names, place)
    node = parser.sum(0)
    if parser.sign:
        raise parser.fault()

    def value(parameters: Mapping[str, float]) -> float | None:
        try:
            found = node(parameters)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return found if math.isfinite(found) else None

    return value


def _known(names: Sequence[str]) -> str:
    return ", ".join(("+ - * / % ( )", *(f"params.{name}" for name in names)))


class _Parser:
    def __init__(self, text: str, names: Sequence[str], place: str) -> None:
        self._text, self._names, self._place = text, names, place
        self._position = self._next = 0
        self.sign = ""
        self._name = ""
        self._take()

    def fault(self) -> SearchError:
        """Return what is wrong with the present sign."""
        value, known = self._text[self._position :][:40], _known(self._names)
        return SearchError("search.script", place=self._place, position=self._position + 1, value=value, known=known)

    def sum(self, depth: int) -> _Node:
        """`a + b - c`"""
        if depth > _DEEPEST:
            raise self.fault()
        left = self._product(depth)
        while self.sign in ("+", "-"):
            left = _joined(self._take(), left, self._product(depth))
        return left

    def _product(self, depth: int) -> _Node:
        left = self._factor(depth)
        while self.sign in ("*", "/", "%"):
            left = _joined(self._take(), left, self._factor(depth))
        return left

    def _factor(self, depth: int) -> _Node:
        if depth > _DEEPEST:
            raise self.fault()
        sign, name = self.sign, self._name
        if sign == "-":
            self._take()
            inner = self._factor(depth + 1)
            return lambda parameters: -inner(parameters)
        if sign == "(":
            self._take()
            inside = self.sum(depth + 1)
            if self.sign != ")":
                raise self.fault()
            self._take()
            return inside
        if name in self._names:
            self._take()
            return lambda parameters: parameters[name]
        if sign[:1].isdigit():
            self._take()
            number = float(sign)
            return lambda _parameters: number
        raise self.fault()

    def _take(self) -> str:
        """Go to the next sign and return the one before it."""
        before = self.sign
        self._position = self._next
        found = _TOKEN.match(self._text, self._next)
        if found is None:
            if self._text[self._next :].strip():
                raise self.fault()
            self.sign = self._name = ""
        else:
            self.sign, self._name, self._next = found[1], found[2] or found[3] or "", found.end()
        return before


def _joined(sign: str, left: _Node, right: _Node) -> _Node:
    if sign == "+":
        return lambda parameters: left(parameters) + right(parameters)
    if sign == "-":
        return lambda parameters: left(parameters) - right(parameters)
    if sign == "*":
        return lambda parameters: left(parameters) * right(parameters)
    if sign == "/":
        return lambda parameters: left(parameters) / right(parameters)
    return lambda parameters: math.fmod(left(parameters), right(parameters))

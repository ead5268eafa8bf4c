"""The condition of a rule: its text and the names of the selections enter, a syntax tree leaves.

Specification v2.1.0, "Condition": `or` binds least, then `and`, `not`, then `1 of` / `all of`;
parentheses group. `them` and patterns skip names that begin with `_`, unless the pattern begins so
itself. pySigma's parser is not used: it reads a selection called `notepad` as `not epad`, and lets
a selector without a match vanish.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from detectors.sigma.errors import RuleRefused
from pipeline.messages import Sentence

MAX_CONDITION = 10_000  # characters
MAX_NESTING = 50  # parentheses and `not` within each other


@dataclass(frozen=True, slots=True)
class Name:
    """One selection."""

    name: str


@dataclass(frozen=True, slots=True)
class Inverse:
    term: "Condition"


@dataclass(frozen=True, slots=True)
class Joined:
    """Several terms under `and` (every) or `or` (not every)."""

    every: bool
    terms: tuple["Condition", ...]


Condition: TypeAlias = Name | Inverse | Joined

_TOKEN = re.compile(r"\s*([()|]|[^\s()|]+)")
_NAME = re.compile(r"[\w.*-]+")
_WORDS = frozenset({"and", "or", "not", "of"})


def parse_condition(text: str, selections: list[str]) -> Condition:
    """The tree of a condition over the selections. Raises `RuleRefused` with the place of an
    error.
    """
    if not isinstance(text, str) or not text.strip():
        raise RuleRefused("no_text_of_condition", value=repr(text))
    if len(text) > MAX_CONDITION:
        raise RuleRefused("condition_too_long", length=len(text), most=MAX_CONDITION)
    parser = _Parser(text, selections)
    tree = parser.either(0)
    if parser.tokens:
        raise parser.refusal("an_operator")
    return tree


def used_names(tree: Condition) -> set[str]:
    """The selections a condition refers to."""
    if isinstance(tree, Name):
        return {tree.name}
    if isinstance(tree, Inverse):
        return used_names(tree.term)
    return set().union(*map(used_names, tree.terms))


class _Parser:
    def __init__(self, text: str, selections: list[str]) -> None:
        self.text = text
        self.selections = selections
        self.tokens: list[str] = _TOKEN.findall(text)[::-1]
        if "|" in self.tokens:
            raise RuleRefused("aggregation", text=repr(text))

    def refusal(self, expected: str) -> RuleRefused:
        at = repr(self.tokens[-1]) if self.tokens else Sentence("sigma.the_end")
        wanted = Sentence(f"sigma.expects_{expected}")
        return RuleRefused("condition", text=repr(self.text), at=at, expected=wanted)

    def takes(self, word: str) -> bool:
        if self.tokens and self.tokens[-1].lower() == word:
            self.tokens.pop()
            return True
        return False

    def either(self, depth: int) -> Condition:
        terms = [self.both(depth)]
        while self.takes("or"):
            terms.append(self.both(depth))
        return terms[0] if len(terms) == 1 else Joined(False, tuple(terms))

    def both(self, depth: int) -> Condition:
        terms = [self.term(depth)]
        while self.takes("and"):
            terms.append(self.term(depth))
        return terms[0] if len(terms) == 1 else Joined(True, tuple(terms))

    def term(self, depth: int) -> Condition:
        if depth > MAX_NESTING:
            raise RuleRefused("condition_too_deep", most=MAX_NESTING)
        if self.takes("not"):
            return Inverse(self.term(depth + 1))
        if self.takes("("):
            inner = self.either(depth + 1)
            if not self.takes(")"):
                raise self.refusal("a_bracket")
            return inner
        return self.selection()

    def selection(self) -> Condition:
        expected = "a_selection"
        if not self.tokens or self.tokens[-1].lower() in _WORDS:
            raise self.refusal(expected)
        if len(self.tokens) > 1 and self.tokens[-2].lower() == "of":
            return self.selector()
        name = self.tokens[-1]
        if not _NAME.fullmatch(name) or "*" in name:
            raise self.refusal(expected)
        if name not in self.selections:
            there = ", ".join(self.selections)
            raise RuleRefused("unknown_selection", text=repr(self.text), name=repr(name), there=there)
        self.tokens.pop()
        return Name(name)

    def selector(self) -> Condition:
        quantity = self.tokens[-1].lower()
        if quantity not in ("1", "any", "all"):
            raise self.refusal("a_quantity")
        del self.tokens[-2:]
        if not self.tokens or not _NAME.fullmatch(self.tokens[-1]):
            raise self.refusal("a_pattern")
        pattern = self.tokens.pop()
        wanted = "*" if pattern == "them" and "them" not in self.selections else pattern
        names = [
            name for name in self.selections if fnmatchcase(name, wanted) and (wanted[:1] == "_" or name[:1] != "_")
        ]
        if not names:
            named = {"quantity": repr(quantity), "pattern": repr(pattern), "there": ", ".join(self.selections)}
            raise RuleRefused("fits_no_selection", text=repr(self.text), **named)
        if len(names) == 1:
            return Name(names[0])
        return Joined(quantity == "all", tuple(map(Name, names)))

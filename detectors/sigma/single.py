"""The same tests for the usual event, whose fields hold one text each: a tree of nodes enters, a quick test leaves.

The tests of `nodes.py` ask whether any text of a field satisfies them; most fields hold one text or none. Here a field
is that one text, or `ABSENT`, and nothing is looped over. Where a field holds a list or an object the test raises
`SeveralError`, and the caller asks the node itself; both give the same answer wherever both give one.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from types import CodeType
from typing import Any, TypeAlias

import hyperscan

from detectors.sigma.nodes import All, AnyOf, IsNull, Leaf, Node, Not, Piece, Together
from detectors.sigma.view import Event, Field, View, fold

#: Stands for the text of a field that has none: a lone surrogate, which is in no event and in no rule.
ABSENT = "\udfff"


class SeveralError(Exception):
    """A field holds something else than one plain value."""


class Keys(dict[Field, str]):
    """Which key a field is read from in events that have these keys and no objects; "" for none.

    Events of one kind have the same keys, so they share this.
    """

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __missing__(self, field: Field) -> str:
        self[field] = key = next((key for key in field.keys if key in self._names), "")
        return key


class Texts(dict[Field, str]):
    """The text of each field of one event, made at first use. Without `sources` they are read as a view reads them."""

    __slots__ = ("_view", "event", "sources")

    def __init__(self, event: Event, sources: Keys | None) -> None:
        self.event = event
        self.sources = sources
        self._view: View | None = None

    @property
    def view(self) -> View:
        """The same event as the nodes see it."""
        if self._view is None:
            self._view = View(self.event, self.sources)
        return self._view

    def __missing__(self, field: Field) -> str:
        if self.sources is None or field.union:
            text = self._seen(field)
        elif key := self.sources[field]:
            value = self.event[key]
            if type(value) is str:
                text = value if field.exact else value.lower() if value.isascii() else fold(value)
            elif type(value) is int:
                text = str(value)
            else:
                text = self._seen(field)
        else:
            text = ABSENT
        self[field] = text
        return text

    def _seen(self, field: Field) -> str:
        """Return the text of a field as the view finds it."""
        if any(isinstance(value, (list, tuple, dict)) for _, value in self.view.located(field)):
            raise SeveralError
        texts = self.view[field]
        if len(texts) > 1:
            raise SeveralError
        return texts[0] if texts else ABSENT


SingleTest: TypeAlias = Callable[[Texts], bool]


def single_test(node: Node) -> SingleTest:
    """Return the quick test of a node: its tree written as one Python expression over `t`, the texts of an event.

    Whatever a rule says stands in the expression only by a name of ours (`c0`, `c1` …); no text of a rule is code.
    """
    writer = Writer()
    test: SingleTest = eval(_code(f"lambda t: {writer.expression(node)}"), writer.names)  # noqa: S307
    return test


@lru_cache(maxsize=4096)
def _code(source: str) -> CodeType:
    """Compile an expression; every second rule is built like another one."""
    return compile(source, "<rule>", "eval")


class Writer:
    """Writes expressions; `names` are the fields, texts and tests that they refer to."""

    #: The expression of the event as the nodes see it.
    view = "t.view"

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"ABSENT": ABSENT}

    def name(self, value: object) -> str:
        """Return the name by which an expression refers to a value."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def read(self, field: Field) -> str:
        """Return the expression of a field's text."""
        return f"t[{self.name(field)}]"

    def expression(self, node: Node) -> str:
        """Return the expression that holds where the node does."""
        match node:
            case Leaf(field=field) if field.keys:
                return self._leaf(node)
            case IsNull(field=field):
                return f"{self.read(field)} is ABSENT"
            case Not(child=child):
                return f"not ({self.expression(child)})"
            case All(children=children):
                return self._joined(" and ", sorted(children, key=_unlikely_first))
            case AnyOf(children=children):
                return self._joined(" or ", sorted(children, key=lambda child: child.cost))
            case _:
                return f"{self.name(node.test)}({self.view})"

    def _joined(self, word: str, nodes: Sequence[Node]) -> str:
        return word.join(f"({self.expression(node)})" for node in nodes)

    def _leaf(self, leaf: Leaf) -> str:
        field, texts = self.read(leaf.field), leaf.texts
        if leaf.place is None or (leaf.place != "equals" and "" in texts):
            needle = _needle(leaf)
            there = f"{self.name(needle)} in (x := {field})" if needle else f"(x := {field}) is not ABSENT"
            return f"{there} and {self.name(leaf.accepts)}(x)"
        if leaf.place == "equals":
            if len(texts) == 1:
                return f"{field} == {self.name(texts[0])}"
            return f"{field} in {self.name(frozenset(texts))}"
        if leaf.place != "contains":
            return f"{field}.{leaf.place}({self.name(texts)})"
        if len(texts) == 1:
            return f"{self.name(texts[0])} in {field}"
        if len(texts) <= _MOST_SPELLED:
            first, *others = [self.name(text) for text in texts]
            return " or ".join([f"{first} in (x := {field})", *(f"{other} in x" for other in others)])
        return f"{self.name(_one_inside(texts))}({field})"


def _needle(leaf: Leaf) -> str:
    """Return the longest text that is in every text that a leaf accepts, as it stands there; "" where none is known."""
    parts = leaf.holds.parts if isinstance(leaf.holds, Together) else ()
    pieces = (part.text for part in parts if isinstance(part, Piece))
    return max((one for one in pieces if not leaf.field.exact or one.lower() == one.upper()), key=len, default="")


#: Of more texts than this one in another is looked for by a loop.
_MOST_SPELLED = 24


#: In longer texts all of them are looked for at once, in bytes.
_LONG = 500


def _one_inside(texts: Sequence[str]) -> Callable[[str], bool]:
    beyond_ascii = not any(map(str.isascii, texts))

    @cache
    def scan() -> Callable[..., None]:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        expressions = [re.escape(_bytes(text)) for text in texts]
        flags = [hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL] * len(texts)
        database.compile(expressions=expressions, ids=list(range(len(texts))), flags=flags)
        found: Callable[..., None] = database.scan
        return found

    def accepts(text: str) -> bool:
        if beyond_ascii and text.isascii():
            return False
        if len(text) > _LONG:
            hits: list[int] = []
            scan()(_bytes(text), lambda number, *_: hits.append(number))
            return bool(hits)
        for each in texts:  # noqa: SIM110 -- `any` with a generator costs twice as much
            if each in text:
                return True
        return False

    return accepts


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _unlikely_first(node: Node) -> tuple[bool, int]:
    """What a rule looks for seldom holds; what it leaves out seldom does either, so its `not` is nearly always true."""
    return isinstance(node, Not), node.cost

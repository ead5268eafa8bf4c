"""The same tests for the usual event, whose fields hold one text each: a tree of nodes enters, a quick test leaves.

The tests of `nodes.py` ask whether any text of a field satisfies them; most fields hold one text or none. Here a field
is that one text, or `ABSENT`, and nothing is looped over. Where a field holds a list or an object the test raises
`SeveralError`, and the caller asks the node itself; both give the same answer wherever both give one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from detectors.sigma.nodes import All, AnyOf, IsNull, Leaf, Node, Not
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
            self._view = View(self.event)
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
    writer = _Writer()
    code = compile(f"lambda t: {writer.expression(node)}", "<rule>", "eval")
    test: SingleTest = eval(code, writer.names)  # noqa: S307
    return test


class _Writer:
    """Writes expressions; `names` are the fields, texts and tests that they refer to."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"ABSENT": ABSENT}

    def name(self, value: object) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def expression(self, node: Node) -> str:
        match node:
            case Leaf(field=field) if field.keys:
                return self.leaf(node)
            case IsNull(field=field):
                return f"t[{self.name(field)}] is ABSENT"
            case Not(child=child):
                return f"not ({self.expression(child)})"
            case All(children=children):
                return self.joined(" and ", sorted(children, key=_unlikely_first))
            case AnyOf(children=children):
                return self.joined(" or ", sorted(children, key=lambda child: child.cost))
            case _:
                return f"{self.name(node.test)}(t.view)"

    def joined(self, word: str, nodes: Sequence[Node]) -> str:
        return word.join(f"({self.expression(node)})" for node in nodes)

    def leaf(self, leaf: Leaf) -> str:
        field, texts = f"t[{self.name(leaf.field)}]", leaf.texts
        if leaf.place is None or (leaf.place != "equals" and "" in texts):
            return f"(x := {field}) is not ABSENT and {self.name(leaf.accepts)}(x)"
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


#: Of more texts than this one in another is looked for by a loop.
_MOST_SPELLED = 24


def _one_inside(texts: Sequence[str]) -> Callable[[str], bool]:
    beyond_ascii = not any(map(str.isascii, texts))

    def accepts(text: str) -> bool:
        if beyond_ascii and text.isascii():
            return False
        for each in texts:  # noqa: SIM110 -- `any` with a generator costs twice as much
            if each in text:
                return True
        return False

    return accepts


def _unlikely_first(node: Node) -> tuple[bool, int]:
    """What a rule looks for seldom holds; what it leaves out seldom does either, so its `not` is nearly always true."""
    return isinstance(node, Not), node.cost

"""The compiled form of a rule: a tree of nodes, each a test over a view, and the reasons why it
holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from detectors.sigma.view import Field, View, fold, has_null, texts

Test: TypeAlias = Callable[[View], bool]
MAX_VALUE = 500  # characters of a value shown in a reason


@dataclass(frozen=True, slots=True)
class Match:
    """One reason: in which selection, which field of the event (its own key), with which value.

    `field` is empty for a reason that no single field gives; `value` is cut to 500 characters.
    """

    selection: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of every accepted text, without case; `starts` and `ends`: the text begins, ends with it."""

    text: str
    starts: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Together:
    """All of the parts are in every accepted text."""

    parts: tuple["Holds", ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the parts is in every accepted text."""

    parts: tuple["Holds", ...]


Holds: TypeAlias = Piece | Together | OneOf
Place: TypeAlias = Literal["equals", "startswith", "endswith", "contains"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Any text of `field` satisfies `accepts`. `cost` is the rough price of the test, for ordering.

    `place` says where one of `texts` must be in a text, where that is all that the leaf asks. `holds` says what is in
    every accepted text; None when that is not known.
    """

    selection: str
    field: Field
    accepts: Callable[[str], bool]
    test: Test
    cost: int
    holds: Holds | None = None
    place: Place | None = None
    texts: tuple[str, ...] = ()

    def reasons(self, view: View) -> list[Match]:
        return [
            _match(self.selection, key, text)
            for key, value in view.located(self.field)
            for text in texts(value)
            if self.accepts(text if self.field.exact else fold(text))
        ][:1]


@dataclass(frozen=True, slots=True)
class IsNull:
    """The field is missing, null, has a null element or no element."""

    selection: str
    field: Field
    test: Test
    cost: int = 6

    def reasons(self, view: View) -> list[Match]:
        return [Match(self.selection, self.field.name, "")] if self.test(view) else []


@dataclass(frozen=True, slots=True)
class Present:
    """The key of the field is in the event, or is not, as wanted."""

    selection: str
    field: Field
    test: Test
    cost: int = 6

    def reasons(self, view: View) -> list[Match]:
        if not self.test(view):
            return []
        for key, value in view.located(self.field):
            return [_match(self.selection, key, next(texts(value), ""))]
        return [Match(self.selection, self.field.name, "")]


@dataclass(frozen=True, slots=True)
class Refers:
    """A text of `field` stands in a relation to a text of another field of the same event."""

    selection: str
    field: Field
    other: Field
    relation: Callable[[str, str], bool]
    test: Test
    cost: int = 8

    def reasons(self, view: View) -> list[Match]:
        others = view[self.other]
        return [
            _match(self.selection, key, text)
            for key, value in view.located(self.field)
            for text in texts(value)
            if any(self.relation(text if self.field.exact else fold(text), o) for o in others)
        ][:1]


@dataclass(frozen=True, slots=True)
class Not:
    child: "Node"
    test: Test
    cost: int

    def reasons(self, view: View) -> list[Match]:
        return []


@dataclass(frozen=True, slots=True)
class All:
    children: tuple["Node", ...]
    test: Test
    cost: int

    def reasons(self, view: View) -> list[Match]:
        if not self.test(view):
            return []
        return [reason for child in self.children for reason in child.reasons(view)]


@dataclass(frozen=True, slots=True)
class AnyOf:
    children: tuple["Node", ...]
    test: Test
    cost: int

    def reasons(self, view: View) -> list[Match]:
        return [r for child in self.children if child.test(view) for r in child.reasons(view)]


Node: TypeAlias = Leaf | IsNull | Present | Refers | Not | All | AnyOf


def is_null(selection: str, on: Field) -> Node:
    def test(view: View) -> bool:
        pairs = view.located(on)
        return not pairs or any(has_null(value) for _, value in pairs)

    return IsNull(selection, on, test)


def present(selection: str, on: Field, wanted: bool) -> Node:
    return Present(selection, on, lambda view: bool(view.located(on)) is wanted)


def refers(selection: str, on: Field, other: Field, relation: Callable[[str, str], bool]) -> Node:
    def test(view: View) -> bool:
        return any(relation(text, to) for text in view[on] for to in view[other])

    return Refers(selection, on, other, relation, test)


def negated(child: Node) -> Node:
    inner = child.test
    return Not(child, lambda view: not inner(view), child.cost + 1)


def all_of(children: Sequence[Node]) -> Node:
    """AND; the cheapest test goes first (tests have no effects, so the order is free)."""
    if len(children) == 1:
        return children[0]
    tests = [child.test for child in sorted(children, key=lambda child: child.cost)]
    cost = sum(child.cost for child in children)
    if len(tests) == 2:
        first, second = tests
        return All(tuple(children), lambda view: first(view) and second(view), cost)
    if len(tests) == 3:
        one, two, three = tests
        return All(tuple(children), lambda view: one(view) and two(view) and three(view), cost)

    def test(view: View) -> bool:
        for each in tests:  # noqa: SIM110 -- `all` with a generator costs twice as much
            if not each(view):
                return False
        return True

    return All(tuple(children), test, cost)


def any_of(children: Sequence[Node]) -> Node:
    """OR; the cheapest test goes first."""
    if len(children) == 1:
        return children[0]
    tests = [child.test for child in sorted(children, key=lambda child: child.cost)]
    cost = sum(child.cost for child in children)
    if len(tests) == 2:
        first, second = tests
        return AnyOf(tuple(children), lambda view: first(view) or second(view), cost)

    def test(view: View) -> bool:
        for each in tests:  # noqa: SIM110 -- `any` with a generator costs twice as much
            if each(view):
                return True
        return False

    return AnyOf(tuple(children), test, cost)


def necessary_texts(node: Node, key: str) -> frozenset[str] | None:
    """The only texts the event key may hold if the node is to match; None when any may.

    Only fields that read `key` first give one, so routing by the result never loses a match.
    """
    if isinstance(node, Leaf):
        on = node.field
        plain = node.place == "equals" and on.keys[:1] == (key,) and not (on.union or on.exact)
        return frozenset(node.texts) if plain else None
    if isinstance(node, All):
        known = [t for child in node.children if (t := necessary_texts(child, key)) is not None]
        return frozenset.intersection(*known) if known else None
    if isinstance(node, AnyOf):
        parts = [necessary_texts(child, key) for child in node.children]
        known = [part for part in parts if part is not None]
        return frozenset.union(*known) if len(known) == len(parts) else None
    return None


def _match(selection: str, key: str, text: str) -> Match:
    return Match(selection, key, text[:MAX_VALUE])

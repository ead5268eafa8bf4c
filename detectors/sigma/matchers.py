"""From typed rule values over one field to a node: (field, values) enters, a compiled test leaves.

Values are ORed; each of them holds when any text of the field satisfies it. Patterns without a
wildcard inside become set, suffix, prefix and substring tests; others are matched piece by piece
from the left, which takes linear time and lets wildcards cross line breaks.
"""

import re
from collections.abc import Callable, Sequence

from detectors.sigma.addresses import in_networks
from detectors.sigma.comparisons import comparison
from detectors.sigma.errors import RuleRefused
from detectors.sigma.nodes import Holds, Leaf, Node, OneOf, Piece, Test, Together, any_of, is_null, present, refers
from detectors.sigma.regular_expressions import pieces_of, searcher
from detectors.sigma.values import (
    DASHES,
    Comparison,
    Exists,
    Network,
    Null,
    Pattern,
    Reference,
    Regex,
    Value,
    Wild,
)
from detectors.sigma.view import Field, View, fold

Accept = Callable[[str], bool]
FieldOf = Callable[[str, bool], Field]  # (rule field, exact) -> field of the event

RELATIONS: dict[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__,
    "contains": str.__contains__,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
MAX_SPELLED_DASHES = 1  # a literal with more interchangeable dashes is searched as an expression
_DASH_CLASS = "[" + re.escape(DASHES) + "]"


def any_value(selection: str, name: str, values: Sequence[Value], field_of: FieldOf) -> Node:
    """A node for `name` having any of the values. An empty `name` searches all values of the
    event.
    """
    folded = field_of(name, False)
    nodes: list[Node] = []
    if not name:
        values = [_inside(value) for value in values]
    patterns = [value for value in values if isinstance(value, Pattern)]
    plain = _spelled([value for value in patterns if not value.cased], folding=True)
    cased = _spelled([value for value in patterns if value.cased], folding=False)
    if plain:
        nodes += _pattern_leaves(selection, folded, plain)
    if cased:
        nodes += _pattern_leaves(selection, field_of(name, True), cased)
    networks = [value.network for value in values if isinstance(value, Network)]
    if networks:
        nodes.append(_leaf(selection, field_of(name, True), in_networks(networks), cost=12))
    for value in values:
        if isinstance(value, (Pattern, Network)):
            continue
        nodes.append(_other(selection, name, value, field_of))
    return any_of(nodes)


def _other(selection: str, name: str, value: Value, field_of: FieldOf) -> Node:
    exact = field_of(name, True)
    if isinstance(value, Null):
        return is_null(selection, exact)
    if isinstance(value, Exists):
        return present(selection, exact, value.wanted)
    if isinstance(value, Reference):
        on = field_of(name, value.cased)
        return refers(selection, on, field_of(value.field, value.cased), RELATIONS[value.place])
    if isinstance(value, Regex):
        accepts = searcher(value.pattern, value.flags)
        return _leaf(selection, exact, accepts, 30, pieces_of(value.pattern, value.flags))
    if isinstance(value, Comparison):
        return _leaf(selection, exact, comparison(value), cost=12)
    raise TypeError(value)


def _inside(value: Value) -> Value:
    """A keyword is looked for anywhere in a value (specification, "Keyword search")."""
    if isinstance(value, Pattern):
        return Pattern((Wild.MANY, *value.parts, Wild.MANY), value.cased, value.octets)
    if isinstance(value, Regex):
        return value
    raise RuleRefused("no_keyword", value=str(value))


def _spelled(patterns: Sequence[Pattern], *, folding: bool) -> list[tuple[str | Wild, ...]]:
    """The parts of the patterns, folded, without repeated `*`, and with a single dash spelled
    out.
    """
    result: list[tuple[str | Wild, ...]] = []
    for pattern in patterns:
        parts: list[str | Wild] = []
        for part in pattern.parts:
            if part is Wild.MANY and parts[-1:] == [Wild.MANY]:
                continue
            parts.append(fold(part) if folding and isinstance(part, str) else part)
        if 0 < parts.count(Wild.DASH) <= MAX_SPELLED_DASHES:
            result += [tuple(d if p is Wild.DASH else p for p in parts) for d in DASHES]
        else:
            result.append(tuple(parts))
    return [_joined(parts) for parts in result]


def _joined(parts: Sequence[str | Wild]) -> tuple[str | Wild, ...]:
    joined: list[str | Wild] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)


def _pattern_leaves(selection: str, on: Field, patterns: list[tuple[str | Wild, ...]]) -> list[Node]:
    equal: set[str] = set()
    starts: list[str] = []
    ends: list[str] = []
    inside: list[str] = []
    nodes: list[Node] = []
    for parts in patterns:
        match parts:
            case ():
                equal.add("")
            case (str() as text,):
                equal.add(text)
            case (Wild.MANY,) | (Wild.MANY, Wild.MANY):
                inside.append("")
            case (str() as text, Wild.MANY):
                starts.append(text)
            case (Wild.MANY, str() as text):
                ends.append(text)
            case (Wild.MANY, str() as text, Wild.MANY):
                inside.append(text)
            case _:
                nodes.append(_leaf(selection, on, glob(parts), 10, _pieces(parts)))
    if equal:
        nodes.append(_equality(selection, on, frozenset(equal)))
    if ends:
        nodes.append(_ends(selection, on, tuple(ends)))
    if starts:
        nodes.append(_starts(selection, on, tuple(starts)))
    if inside:
        nodes.append(_inside_leaf(selection, on, tuple(inside)))
    return nodes


def _leaf(selection: str, on: Field, accepts: Accept, cost: int, holds: Holds | None = None) -> Node:
    def test(view: View) -> bool:
        for text in view[on]:  # noqa: SIM110
            if accepts(text):
                return True
        return False

    return Leaf(selection, on, accepts, test, cost, holds=holds)


def _pieces(parts: Sequence[str | Wild]) -> Holds:
    """The texts between the wildcards: they are in everything that the pattern fits."""
    last = len(parts) - 1
    return Together(tuple(Piece(part, n == 0, n == last) for n, part in enumerate(parts) if isinstance(part, str)))


def _equality(selection: str, on: Field, equal: frozenset[str]) -> Node:
    def test(view: View) -> bool:
        for text in view[on]:  # noqa: SIM110
            if text in equal:
                return True
        return False

    texts = tuple(sorted(equal))
    holds = OneOf(tuple(Piece(text, True, True) for text in texts))
    return Leaf(selection, on, equal.__contains__, test, 1, holds, "equals", texts)


def _ends(selection: str, on: Field, ends: tuple[str, ...]) -> Node:
    def test(view: View) -> bool:
        for text in view[on]:  # noqa: SIM110
            if text.endswith(ends):
                return True
        return False

    holds = OneOf(tuple(Piece(text, ends=True) for text in ends))
    return Leaf(selection, on, lambda text: text.endswith(ends), test, 2 + len(ends) // 16, holds, "endswith", ends)


def _starts(selection: str, on: Field, starts: tuple[str, ...]) -> Node:
    def test(view: View) -> bool:
        for text in view[on]:  # noqa: SIM110
            if text.startswith(starts):
                return True
        return False

    holds = OneOf(tuple(Piece(text, starts=True) for text in starts))
    return Leaf(
        selection, on, lambda text: text.startswith(starts), test, 2 + len(starts) // 16, holds, "startswith", starts
    )


def _inside_leaf(selection: str, on: Field, inside: tuple[str, ...]) -> Node:
    accepts: Accept
    test: Test
    if len(inside) == 1:
        only = inside[0]

        def accepts(text: str) -> bool:
            return only in text

        def test(view: View) -> bool:
            for text in view[on]:  # noqa: SIM110
                if only in text:
                    return True
            return False

    else:

        def accepts(text: str) -> bool:
            return any(piece in text for piece in inside)

        def test(view: View) -> bool:
            for text in view[on]:
                for piece in inside:
                    if piece in text:
                        return True
            return False

    holds = OneOf(tuple(map(Piece, inside)))
    return Leaf(selection, on, accepts, test, 3 + len(inside), holds, "contains", inside)


def glob(parts: Sequence[str | Wild]) -> Accept:
    """Whole-text match of a wildcard pattern: pieces between `*` are found from left to right.

    Taking the leftmost place of each piece is enough, since every piece has a fixed length; the
    last one is tied to the end.
    """
    pieces: list[list[str | Wild]] = [[]]
    for part in parts:
        if part is Wild.MANY:
            pieces.append([])
        else:
            pieces[-1].append(part)
    expressions = [re.compile("".join(map(_source, piece)), re.DOTALL) for piece in pieces]
    head, *middle = expressions
    if not middle:
        return lambda text: head.fullmatch(text) is not None
    *middle, tail = middle
    tail_length = sum(len(part) if isinstance(part, str) else 1 for part in pieces[-1])

    def accepts(text: str) -> bool:
        found = head.match(text)
        if found is None:
            return False
        position = found.end()
        for piece in middle:
            found = piece.search(text, position)
            if found is None:
                return False
            position = found.end()
        start = len(text) - tail_length
        return start >= position and tail.fullmatch(text, start) is not None

    return accepts


def _source(part: str | Wild) -> str:
    if isinstance(part, str):
        return re.escape(part)
    return _DASH_CLASS if part is Wild.DASH else "."

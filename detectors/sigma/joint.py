"""Rules that are tried together again and again: rules and the kind of an event enter, one quick function leaves.

It does what the tests of `single.py` do one after the other, for flat events of just that kind: which key a field is
read from is known when it is written, what the kind alone settles is left out, and each field's text is made once, in a
local name. It raises `SeveralError` where they do.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from detectors.sigma.nodes import All, AnyOf, IsNull, Leaf, Node, Not, Present
from detectors.sigma.single import Keys, Texts, Writer
from detectors.sigma.view import Event, Field, View, fold

R = TypeVar("R")
JointTest: TypeAlias = Callable[[Event], list[R]]


class Kind:
    """Flat events that have the same keys, and the same values of those keys that are in `fixed`."""

    __slots__ = ("_fixed", "_view", "keys")

    def __init__(self, keys: Keys, fixed: Event) -> None:
        self.keys = keys
        self._fixed = fixed
        self._view = View(fixed)

    def settles(self, node: Node) -> bool | None:
        """Return what a node's test says of every event of this kind; None where that depends on the event."""
        match node:
            case Leaf(field=field) | IsNull(field=field) | Present(field=field) if field.keys:
                key = self.keys[field]
                return node.test(self._view) if not key or (key in self._fixed and not field.union) else None
            case Not(child=child):
                settled = self.settles(child)
                return None if settled is None else not settled
            case All(children=children):
                return self._joined(children, decides=False)
            case AnyOf(children=children):
                return self._joined(children, decides=True)
            case _:
                return None

    def _joined(self, children: Iterable[Node], decides: bool) -> bool | None:
        every: bool | None = not decides
        for child in children:
            settled = self.settles(child)
            if settled is decides:
                return decides
            if settled is None:
                every = None
        return every


def joint_test(rules: Iterable[tuple[R, Node]], kind: Kind) -> JointTest[R]:
    """Return the function that gives those of the rules that match a flat event of this kind, in their order.

    Like in `single_test`, no text of a rule is code.
    """
    writer = _JointWriter(kind)
    lines = [f" if {writer.expression(node)}: found.append({writer.name(rule)})" for rule, node in rules]
    head = [f" {local} = {writer.text(field)}" for field, local in writer.fields.items()]
    source = "\n".join(["def joint(e):", *head, " view, found = None, []", *lines, " return found"])
    exec(compile(source, "<rules>", "exec"), writer.names)  # noqa: S102
    joint: JointTest[R] = writer.names["joint"]
    return joint


class _JointWriter(Writer):
    """Writes expressions over `e`, an event of a known kind; `fields` are the local names of the fields' texts."""

    view = "(view or (view := View(e)))"

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self._kind = kind
        self.fields: dict[Field, str] = {}
        self.names |= {"View": View, "fold": fold, "seen": _seen, "str": str, "type": type}

    def expression(self, node: Node) -> str:
        settled = self._kind.settles(node)
        return super().expression(node) if settled is None else str(settled)

    def read(self, field: Field) -> str:
        return self.fields.setdefault(field, f"f{len(self.fields)}")

    def text(self, field: Field) -> str:
        """Return the expression that makes a field's text."""
        if field.union:
            return f"seen(e, {self.name(field)}, None)"
        text = "w" if field.exact else "w.lower() if w.isascii() else fold(w)"
        key = self.name(self._kind.keys[field])
        return f"({text}) if type(w := e[{key}]) is str else seen(e, {self.name(field)}, w)"


def _seen(event: Event, field: Field, value: Any) -> str:
    """Return a field's text where it is no text of the event: the value of its key, or nothing that is known."""
    return str(value) if type(value) is int else Texts(event, None)[field]

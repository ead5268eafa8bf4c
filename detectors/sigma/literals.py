"""What stands in the JSON line of every event that a rule matches: a rule's tree enters, literals to scan for leave.

All parts of an OR are needed, of an AND the one that is rarest in logs. What every JSON writer writes the same way is
preferred, so that a line of any producer is scanned as it lies: a run of plain signs, a backslash as two, and the
quotation mark where a value begins or ends. A sign that some escape (`/`, `<`, `&`, `"` ... and all beyond ASCII) is
looked for in each of its forms, where nothing else is rare. A value that may come as a JSON number has no quotation
marks; a whole number stands alone.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from detectors.sigma.logsource import Place, Route
from detectors.sigma.nodes import All, AnyOf, Holds, Leaf, Node, OneOf, Piece, Together
from detectors.sigma.rarity import expected, expected_word

_PLAIN = r"A-Za-z0-9 _.,:;()\[\]{}@#%!?$|^~*\\-"
_PLAIN_RUN = re.compile(f"[{_PLAIN}]+")
#: How writers of JSON have the other signs of ASCII; hexadecimal digits in upper case are found, too.
_FORMS: dict[str, tuple[str, ...]] = {sign: (sign, rf"\u{ord(sign):04x}") for sign in "<>&'+=`"}
_FORMS |= {"/": ("/", r"\/", r"\u002f"), '"': (r"\"", r"\u0022")}
_RUNS_WITH = {sign: re.compile(f"[{sign}{_PLAIN}]*{sign}[{sign}{_PLAIN}]*") for sign in _FORMS}
#: A literal that is in fewer of a million lines than this is rare enough: signs with several forms are let alone.
_RARE = 1_000.0
#: A shorter text is in nearly every line, unless it is two signs that are rare beside each other.
_SHORTEST = 3
_TWO_SIGNS = re.compile(r"[^A-Za-z0-9 \x80-\xff]{2}")
#: Longer texts are hardly rarer, and the database grows with them.
_LONGEST = 24
_WORD_END = re.compile(r"(?<=[a-z0-9])(?![a-z0-9])")
#: So many signs at the end of a text are looked for first.
_TAIL = 8
#: How the text of a JSON number, `true` or `false` may begin and end.
_BARE = re.compile(r"[-+0-9.e]*")
_WORDS = ("true", "false")
_ALONE = re.compile(r"[A-Za-z0-9_]+")
#: To try a rule takes so much longer than to be told of a literal, or twice that: so much more often may it be there.
_WORTH = 2.0
_MOST_BESIDE = 3
#: A rule that is tried on more of a million lines than this has a bad literal; the log source may name a better one.
_COMMON = 300_000.0
#: Signs that are equal without case to more than their own upper and lower case: å (ångström), ß, digraphs, some Greek.
_ODD = re.compile(
    "[\u00c5\u00e5\u00df\u1e9e\u212b\u01c4-\u01cc\u01f1-\u01f3\u0398\u03a3\u03a9\u03b8\u03c2\u03c3\u03c9\u03f4\u1f80-\u1fff\u2126\u0130\u0131]"
)


class Literal(NamedTuple):
    """A text in lower case as it stands in a line of JSON, a sign for each byte (Latin-1).

    `alone`: no letter, digit or `_` is beside it.
    """

    text: str
    alone: bool = False


class Needed(NamedTuple):
    """Literals of which one is in every such line, and in about how many of a million lines one is."""

    literals: frozenset[Literal]
    expected: float


def needed(node: Node, route: Route) -> Needed | None:
    """Return what the lines hold that a rule matches; None where nothing is known."""
    texts = _of_node(node)
    if texts is None or texts.expected > _COMMON:
        return _rarest([texts, _of_source(route)])
    return texts


def needed_beside(node: Node, route: Route, first: Needed) -> list[frozenset[Literal]]:
    """Return what the same lines hold beside `first`, which is not rare: other parts of an AND, and the log source."""
    parts = {part.literals: part for part in _parts(node) if part.expected < first.expected * _WORTH}
    found = sorted(parts.values(), key=lambda part: part.expected)[:_MOST_BESIDE]
    source = _of_source(route)
    return [part.literals for part in (*found, *([source] if source else [])) if part.literals != first.literals]


def _of_source(route: Route) -> Needed | None:
    """Return the names of a log source: every line that comes from it has one."""
    return _rarest([_any_of([_of_place(place) for place in group]) for group in route.groups])


def _parts(node: Node) -> Iterator[Needed]:
    """Yield what is known of each part of an AND."""
    if isinstance(node, All):
        for child in node.children:
            yield from _parts(child)
    elif isinstance(node, Leaf) and isinstance(node.holds, Together):
        yield from filter(None, map(_of_text, node.holds.parts))
    elif (only := _of_node(node)) is not None:
        yield only


def _of_node(node: Node) -> Needed | None:
    if isinstance(node, Leaf):
        return None if node.holds is None else _of_text(node.holds)
    if isinstance(node, All):
        return _rarest([_of_node(child) for child in node.children])
    if isinstance(node, AnyOf):
        return _any_of([_of_node(child) for child in node.children])
    return None


def _of_text(holds: Holds) -> Needed | None:
    if isinstance(holds, Piece):
        return _of_piece(holds)
    return (_any_of if isinstance(holds, OneOf) else _rarest)([_of_text(part) for part in holds.parts])


def _of_place(place: Place) -> Needed | None:
    names = (place.datasets, place.channels, place.codes, place.providers)
    return _rarest([_any_of([_of_piece(_name(name)) for name in given]) for given in names if given])


def _name(name: str) -> Piece:
    return Piece(name.rstrip("*"), True, not name.endswith("*"))


def _any_of(parts: list[Needed | None]) -> Needed | None:
    known = [part for part in parts if part is not None]
    if not parts or len(known) < len(parts):
        return None
    if len(known) == 1:
        return known[0]
    return Needed(frozenset().union(*(part.literals for part in known)), sum(part.expected for part in {*known}))


def _rarest(parts: Iterable[Needed | None]) -> Needed | None:
    return min((part for part in parts if part is not None), key=lambda part: part.expected, default=None)


@lru_cache(maxsize=4096)
def _of_piece(piece: Piece) -> Needed | None:
    plain = _rarest([_beyond_ascii(piece.text), *(_needed([literal]) for literal in _literals(piece))])
    if plain is not None and plain.expected < _RARE:
        return plain
    return _rarest([plain, *_in_each_form(piece)])


def _needed(literals: Iterable[Literal]) -> Needed:
    every = frozenset(literals)
    return Needed(every, sum(map(_expected, every)))


def _expected(literal: Literal) -> float:
    return expected_word(literal.text) if literal.alone else expected(literal.text)


def _literals(piece: Piece) -> list[Literal]:
    text = piece.text
    if piece.starts and piece.ends and _may_be_bare(text):
        return [Literal(text.lower(), alone=True)] if len(text) >= _SHORTEST and _ALONE.fullmatch(text) else []
    return [Literal(one) for run in _PLAIN_RUN.finditer(text) for one in _cut(_quoted(run, piece))]


def _in_each_form(piece: Piece) -> Iterator[Needed]:
    """Yield the literals of a piece's runs that hold one sign, again and again maybe, that has several forms."""
    for sign, forms in _FORMS.items():
        for run in _RUNS_WITH[sign].finditer(piece.text) if sign in piece.text else ():
            for one in _cut(_written(run[0]) if sign == '"' else _quoted(run, piece)):
                yield Needed(frozenset(Literal(one.replace(sign, form)) for form in forms), expected(one))


def _quoted(run: re.Match[str], piece: Piece) -> str:
    """Return a run of a piece as it stands in JSON, with the quotation marks that are beside it for sure."""
    text = piece.text
    quoted_start = piece.starts and not (_BARE.fullmatch(text) or any(word.startswith(text) for word in _WORDS))
    quoted_end = piece.ends and not (_BARE.fullmatch(text) or any(word.endswith(text) for word in _WORDS))
    start = '"' if quoted_start and run.start() == 0 else ""
    end = '"' if quoted_end and run.end() == len(text) else ""
    return f"{start}{_written(run[0])}{end}"


def _written(text: str) -> str:
    return text.lower().replace("\\", "\\\\")


def _beyond_ascii(text: str) -> Needed | None:
    """Return how JSON has a sign beyond ASCII, such as an emoji: as it is or escaped, in lower or in upper case.

    Of a sign beyond U+FFFF it is the first three of four bytes, and the first of two escapes, which many share.
    """
    for sign in "" if text.isascii() else text:
        forms = {sign, sign.lower(), sign.upper(), sign.title()}
        if not sign.isascii() and all(len(form) == 1 for form in forms) and not _ODD.fullmatch(sign):
            raw = {form.encode()[:3].decode("latin-1") for form in forms}
            escaped = {r"\u" + form.encode("utf-16-be").hex()[:4] for form in forms}
            return _needed(map(Literal, raw | escaped))
    return None


def _may_be_bare(text: str) -> bool:
    return _BARE.fullmatch(text) is not None or text in _WORDS


def _cut(text: str) -> list[str]:
    """Return the text up to where its last signs are rarest, and no more of it than is worth looking for.

    Hyperscan looks for the last eight signs of a literal, then whether the others are before them: of `powershell.exe`
    and a hundred more names it should not find every `hell.exe`.
    """
    if len(text) < _SHORTEST:
        return [text] if _TWO_SIGNS.fullmatch(text) and expected(text) < _RARE else []
    ends = [len(text), *(found.start() for found in _WORD_END.finditer(text, min(len(text), _TAIL)))]
    end = min(ends, key=lambda end: expected(text[max(0, end - _TAIL) : end])) if len(ends) > 1 else len(text)
    return [text[max(0, end - _LONGEST) : end]]

"""Which lines of a frame may match any rule: raw JSON lines enter, the few worth parsing leave.

Every match of a rule needs certain texts in the event (`Leaf.holds`): all parts of an OR, the best part of an AND; a
rule of regular expressions alone needs at least the names of its log source. One Hyperscan database holds them for all
rules, and scans a whole frame at once, caseless; a line that it finds must hold a text of the second best part of the
AND, too. It only ever weakens: a line without the texts matches no rule; one with them is evaluated as ever.

Only runs of signs that no JSON writer escapes are looked for, so a line from any producer is scanned as it lies.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import hyperscan

from detectors.sigma.logsource import Place, Route
from detectors.sigma.nodes import All, AnyOf, Leaf, Node
from detectors.sigma.rule import Rule

#: Signs that every JSON writer writes as they are (some escape `/`, `<`, `>`, `&`, `=`, `'` and all beyond ASCII).
_PLAIN_RUN = re.compile(r"[a-z0-9 _.,:;()\[\]{}@#%!?$|^~*-]+")
#: A shorter text is in nearly every line.
_SHORTEST = 3
_SHORTEST_NUMBER = 4
#: A number in a text makes it as rare as that many letters more do.
_NUMBER = re.compile(r"[0-9]{4}")
_NUMBER_WORTH = 6
#: Longer texts are no rarer, and the database grows with them.
_LONGEST = 24
#: The one sign beyond ASCII that is lower-cased to an ASCII letter (U+212A KELVIN SIGN, "k").
_KELVIN = "\u212a".encode()


class Prefilter:
    """The necessary texts of a set of rules. Where some rule has none, `active` is False: every line is a candidate."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        needed = [(necessary(rule.node) or markers(rule.route), second(rule.node)) for rule in rules]
        self.active = bool(needed) and all(texts is not None for texts, _ in needed)
        self._database: Any = None
        self._also: list[list[bytes]] = []
        if self.active:
            literals = sorted({text.encode() for texts, _ in needed if texts for text in texts} | {_KELVIN})
            self._also = [_also(literal.decode(), needed) for literal in literals]
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=literals,
                ids=list(range(len(literals))),
                flags=[hyperscan.HS_FLAG_CASELESS] * len(literals),
                literal=True,
            )

    def candidates(self, lines: list[bytes]) -> list[tuple[int, bytes]]:
        """Return the lines that may match a rule, with their numbers from 0."""
        if not self.active:
            return list(enumerate(lines))
        hits: list[tuple[int, int]] = []
        self._database.scan(
            b"\n".join(lines), match_event_handler=lambda text, _start, end, _flags, _context: hits.append((end, text))
        )
        if not hits:
            return []
        limits = list(accumulate(len(line) + 1 for line in lines))
        numbers: set[int] = set()
        for end, text in hits:
            number = bisect_left(limits, end)
            if number not in numbers and self._holds_also(text, lines[number]):
                numbers.add(number)
        return [(number, lines[number]) for number in sorted(numbers)]

    def _holds_also(self, text: int, line: bytes) -> bool:
        also = self._also[text]
        if not also:
            return True
        folded = line.lower()
        return any(each in folded for each in also)


def necessary(node: Node) -> frozenset[str] | None:
    """Return texts of which one is in the JSON line of every event that a node accepts; None where there are none."""
    if isinstance(node, Leaf):
        return _any_of([_one(_best_run(text)) for text in node.holds]) if node.holds else None
    if isinstance(node, All):
        return next(iter(_parts(node)), None)
    if isinstance(node, AnyOf):
        return _any_of([necessary(child) for child in node.children])
    return None


def second(node: Node) -> frozenset[str] | None:
    """Return further texts of which one is in each such line, too: those of the second best part of an AND."""
    parts = _parts(node) if isinstance(node, All) else []
    return parts[1] if len(parts) > 1 else None


def _parts(node: All) -> list[frozenset[str]]:
    """Return the necessary texts of each part that has some, the rarest first."""
    parts = [texts for child in node.children if (texts := necessary(child)) is not None]
    return sorted(parts, key=_rarity, reverse=True)


def _also(text: str, needed: list[tuple[frozenset[str] | None, frozenset[str] | None]]) -> list[bytes]:
    """Return the texts of which one must stand beside this one for any rule to match; none where it is enough alone."""
    seconds = [also for texts, also in needed if texts and text in texts]
    also = _any_of(seconds) or frozenset()
    return sorted(each.encode() for each in also)


def markers(route: Route) -> frozenset[str] | None:
    """Return texts of which one is in every line of a log source; None where the source has no such names."""
    groups = [_any_of([_of_place(place) for place in group]) for group in route.groups]
    return max((group for group in groups if group is not None), key=_rarity, default=None)


def _of_place(place: Place) -> frozenset[str] | None:
    names = (place.datasets, place.channels, place.codes, place.providers)
    parts = [_any_of([_one(_best_run(name.rstrip("*"))) for name in given]) for given in names if given]
    return max((part for part in parts if part is not None), key=_rarity, default=None)


def _any_of(parts: list[frozenset[str] | None]) -> frozenset[str] | None:
    if not parts or any(part is None for part in parts):
        return None
    return frozenset().union(*(part for part in parts if part))


def _one(run: str) -> frozenset[str] | None:
    return frozenset({run}) if run else None


def _rarity(texts: frozenset[str]) -> tuple[int, int]:
    """Longer texts are rarer, a number (`4688`, `c0000072`) is rarer than a word; and fewer texts are found less."""
    return min(len(text) + _NUMBER_WORTH * bool(_NUMBER.search(text)) for text in texts), -len(texts)


def _best_run(text: str) -> str:
    run = max(_PLAIN_RUN.findall(text.lower()), key=len, default="")[:_LONGEST].strip()
    return run if len(run) >= (_SHORTEST_NUMBER if run.isdigit() else _SHORTEST) else ""

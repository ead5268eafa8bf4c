"""Which rules may match which lines of a frame: raw JSON lines enter, the few worth parsing leave, each with its rules.

Every rule is filed under literals of which one stands in each line that it matches (`literals.py`). One Hyperscan
database finds those of all rules in a line at once, without case. A line without any is not parsed; of the
others the rules that were hit are tried, as far as their log source fits. It only ever weakens: what is left out cannot
match. A rule without literals is tried on every line of its log source.
"""

import re
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import hyperscan

from detectors.sigma.garbage import uncollected
from detectors.sigma.literals import Literal, needed
from detectors.sigma.logsource import ORIGIN_NAMES, Origin, Route, origin
from detectors.sigma.nodes import necessary_texts
from detectors.sigma.rule import Rule
from detectors.sigma.single import Keys, SeveralError, SingleTest, Texts, single_test
from detectors.sigma.view import Event, has_objects

#: Origins whose rules are remembered; a foreign sender may invent any number.
MAX_ORIGINS = 8_192
#: Sets of keys that are remembered, and for each of them origins with literals that were hit together.
MAX_SHAPES = 4_096
MAX_TRIED = 1_024
#: Signs beyond ASCII that are an ASCII letter to a comparison without case: the Kelvin sign, the long s, I with and i
#: without a dot. A line with one, also as JSON writers escape it, is tried with every rule.
_SIGNS = "\u212a\u017f\u0130\u0131"
_LIKE_ASCII = (*_SIGNS, *(rf"\\u{ord(sign):04x}" for sign in _SIGNS))
_ANY = 0


class Prefilter:
    """An index of rules by their literals. Where some rule has none, every line is a candidate.

    `evaluations` counts how often a rule was tried on an event.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._codes = [necessary_texts(rule.node, "event.code") for rule in self._rules]
        routes: dict[Route, int] = {}
        self._route_of = [routes.setdefault(rule.route, len(routes)) for rule in self._rules]
        self._routes = tuple(routes)
        filed: dict[Literal, list[int]] = {}
        self._always: list[int] = []
        with uncollected():
            for number, rule in enumerate(self._rules):
                found = needed(rule.node, rule.route)
                for literal in found.literals if found else ():
                    filed.setdefault(literal, []).append(number)
                if found is None:
                    self._always.append(number)
        self._filed = [self._always, *filed.values()]
        self._tests = [_Tried(rule) for rule in self._rules]
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._places: dict[Origin, _Place] = {}
        self._hits: dict[int, list[int]] = {}
        self._lines: list[bytes] = []
        self.evaluations = 0
        self._scan = _database(filed).scan

    def candidates(self, lines: list[bytes]) -> list[tuple[int, bytes]]:
        """Return the lines that may match a rule, with their numbers from 0."""
        self._hits = hits = {}
        self._lines = lines
        found: list[int] = []
        append = found.append

        def note(literal: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            append(literal)

        scan = self._scan
        candidates = []
        for number, line in enumerate(lines):
            scan(line, match_event_handler=note)
            if found or self._always:
                hits[number] = found[:]
                found.clear()
                candidates.append((number, line))
        return candidates

    def matching(self, number: int, event: Event) -> list[Rule]:
        """Return the rules that match the event of a line that `candidates` has just given, in their order."""
        names = tuple(event)
        shape = self._shapes.get(names) or self._remember_shape(names)
        seen = (shape.origin(event), tuple(self._hits[number]))
        try:
            tried = shape.tried.get(seen)
            if tried is None:
                tried = self._remember_tried(shape, event, seen)
        except TypeError:  # a list or an object where a name of the log source belongs
            tried = self._tried(origin(event), seen[1])
        if not tried:
            return []
        self.evaluations += len(tried)
        texts = Texts(event, shape.keys if _is_flat(self._lines[number]) or not has_objects(event) else None)
        try:
            return [each.rule for each in tried if each.test(texts)]
        except SeveralError:
            return [each.rule for each in tried if each.matches(texts)]

    def _tried(self, at: Origin, hits: tuple[int, ...]) -> list["_Tried"]:
        """Return the rules that were hit and whose log source holds there."""
        place = self._places.get(at)
        if place is None:
            if len(self._places) >= MAX_ORIGINS:
                self._places.clear()
            place = self._places[at] = _Place(at, [route.holds(at) for route in self._routes])
        every = range(len(self._rules))
        filed = set(self._always).union(*(every if literal == _ANY else self._filed[literal] for literal in hits))
        return [self._tests[number] for number in sorted(filed) if self._fits(number, place)]

    def _remember_tried(self, shape: "_Shape", event: Event, seen: tuple[Any, tuple[int, ...]]) -> list["_Tried"]:
        if len(shape.tried) >= MAX_TRIED:
            shape.tried.clear()
        shape.tried[seen] = tried = self._tried(origin(event), seen[1])
        return tried

    def _remember_shape(self, names: tuple[str, ...]) -> "_Shape":
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
        self._shapes[names] = shape = _Shape(names)
        return shape

    def _fits(self, number: int, place: "_Place") -> bool:
        if not place.routes[self._route_of[number]]:
            return False
        codes = self._codes[number]
        return codes is None or not place.code or place.code in codes


class _Shape:
    """Events with the same keys: where they keep what rules ask for, and which rules are tried on them.

    `origin` gives what the names of the log source say; by that and the literals that were hit go the rules in `tried`.
    """

    __slots__ = ("keys", "origin", "tried")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.keys = Keys(names)
        known = [name for name in ORIGIN_NAMES if name in names]
        self.origin: Callable[[Event], Any] = itemgetter(*known) if known else lambda _: None
        self.tried: dict[tuple[Any, tuple[int, ...]], list[_Tried]] = {}


class _Place:
    """Where events come from, and which routes hold there."""

    __slots__ = ("code", "routes")

    def __init__(self, at: Origin, routes: list[bool]) -> None:
        self.code = at.code
        self.routes = routes


class _Tried:
    """A rule that is tried on events; its quick test is written when it is first tried, for most rules never are."""

    __slots__ = ("rule", "test")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.test: SingleTest = self._first

    def _first(self, texts: Texts) -> bool:
        self.test = single_test(self.rule.node)
        return self.test(texts)

    def matches(self, texts: Texts) -> bool:
        """Return the same for any event."""
        try:
            return self.test(texts)
        except SeveralError:
            return self.rule.node.test(texts.view)


def _is_flat(line: bytes) -> bool:
    """Whether a glance shows that an object holds neither lists nor other objects."""
    return line.count(b"{") == 1 and b"[" not in line


def _database(literals: Iterable[Literal]) -> Any:
    """Compile the literals; they have numbers from 1, `_ANY` is a sign that is like an ASCII letter."""
    texts = [*(sign.encode() for sign in _LIKE_ASCII), *map(_expression, literals)]
    numbers = [*(_ANY for _ in _LIKE_ASCII), *range(1, len(texts) - len(_LIKE_ASCII) + 1)]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH] * len(texts)
    database.compile(expressions=texts, ids=numbers, flags=flags)
    return database


def _expression(literal: Literal) -> bytes:
    text = re.escape(literal.text.encode("latin-1"))
    return rb"\b%b\b" % text if literal.alone else text

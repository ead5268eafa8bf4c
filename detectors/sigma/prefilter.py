"""Which rules may match which lines of a frame: raw JSON lines enter, the few worth parsing leave, each with its rules.

Every rule is filed under literals of which one stands in each line that it matches (`literals.py`). One Hyperscan
database finds those of all rules in a line at once, without case. What was hit together points to a group of rules: of
a rule whose literals are not rare others must be hit, too. A line that points to none is not parsed; of the others that
group is tried, as far as its log source fits. It only ever weakens: what is left out cannot match. A rule without
literals is tried on every line of its log source.
"""

import re
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import hyperscan

from detectors.sigma.garbage import uncollected
from detectors.sigma.joint import JointTest, Kind, joint_test
from detectors.sigma.literals import Literal, needed, needed_beside
from detectors.sigma.logsource import ORIGIN_NAMES, Origin, Route, origin
from detectors.sigma.nodes import necessary_texts
from detectors.sigma.rule import Rule
from detectors.sigma.single import Keys, SeveralError, Texts, single_test
from detectors.sigma.view import Event, View, has_objects

#: Origins whose rules are remembered; a foreign sender may invent any number.
MAX_ORIGINS = 8_192
#: Sets of keys that are remembered, and for each of them origins with literals that were hit together.
MAX_SHAPES = 4_096
MAX_PLANS = 1_024
#: Literals hit together of which it is remembered which rules they point to; not if there are many at once.
MAX_GROUPS = 16_384
MAX_HITS = 128
#: A rule whose literals are in more of a million lines than this is tried where others that it needs stand, too.
_FREQUENT = 3_000.0
#: Rules that were tried together so often get a function for all of them, unless they are too many.
OFTEN = 256
MOST_JOINT = 64
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
        beside: dict[int, list[frozenset[Literal]]] = {}
        self._always: list[int] = []
        with uncollected():
            for number, rule in enumerate(self._rules):
                found = needed(rule.node, rule.route)
                for literal in found.literals if found else ():
                    filed.setdefault(literal, []).append(number)
                if found is None:
                    self._always.append(number)
                elif found.expected > _FREQUENT:
                    beside[number] = needed_beside(rule.node, rule.route, found)
            for other in frozenset().union(*(others for each in beside.values() for others in each)):
                filed.setdefault(other, [])
            numbers = {literal: number for number, literal in enumerate(filed, 1)}
            others_of = {
                rule: [frozenset(numbers[other] for other in others) for others in each]
                for rule, each in beside.items()
            }
            self._alone = [(), *(tuple(rule for rule in rules if rule not in beside) for rules in filed.values())]
            self._beside = [
                (),
                *(tuple((rule, others_of[rule]) for rule in rules if rule in beside) for rules in filed.values()),
            ]
            self._tests = [_Tried(rule) for rule in self._rules]
        self._flat: dict[tuple[str, ...], _Shape] = {}
        self._nested: dict[tuple[str, ...], _Shape] = {}
        self._places: dict[Origin, _Place] = {}
        self._hit: dict[int, _Group] = {}
        self._groups: dict[tuple[int, ...], _Group] = {}
        self._known: dict[tuple[int, ...], _Group] = {}
        self._lines: list[bytes] = []
        self.evaluations = 0
        self._scan = _database(filed).scan

    def candidates(self, lines: list[bytes]) -> list[tuple[int, bytes]]:
        """Return the lines that may match a rule, with their numbers from 0."""
        self._hit = hit = {}
        self._lines = lines
        found: list[int] = []
        append = found.append

        def note(literal: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            append(literal)

        scan, groups = self._scan, self._groups
        candidates = []
        for number, line in enumerate(lines):
            scan(line, note)
            if found or self._always:
                seen = tuple(found)
                found.clear()
                group = groups.get(seen)
                if group is None:
                    group = self._remember_group(seen)
                if group.rules:
                    hit[number] = group
                    candidates.append((number, line))
        return candidates

    def matching(self, number: int, event: Event) -> list[Rule]:
        """Return the rules that match the event of a line that `candidates` has just given, in their order."""
        # A brace that opens the line opens the event itself.
        shapes = self._flat if self._lines[number].find(b"{", 1) < 0 or not has_objects(event) else self._nested
        names = tuple(event)
        shape = shapes.get(names) or self._remember_shape(names, shapes)
        group = self._hit[number]
        try:
            plan = shape.plans.get((shape.origin(event), group)) or self._remember_plan(shape, event, group)
            for name in plan.numbers:
                if type(event[name]) is not int:  # true and 1.0 are equal to 1
                    plan = self._plan(shape, event, group)
                    break
        except TypeError:  # a list or an object where a name of the log source belongs
            plan = self._plan(shape, event, group)
        self.evaluations += len(plan.tried)
        try:
            return plan.test(event)
        except SeveralError:
            return plan.with_several(event)

    def _tried(self, at: Origin, group: "_Group") -> list["_Tried"]:
        """Return the rules of a group whose log source holds there."""
        place = self._places.get(at)
        if place is None:
            if len(self._places) >= MAX_ORIGINS:
                self._places.clear()
            place = self._places[at] = _Place(at, [route.holds(at) for route in self._routes])
        routes, code = place.routes, place.code
        return [
            self._tests[number]
            for number in group.rules
            if routes[self._route_of[number]] and ((codes := self._codes[number]) is None or not code or code in codes)
        ]

    def _remember_group(self, hits: tuple[int, ...]) -> "_Group":
        if max(len(self._groups), len(self._known)) >= MAX_GROUPS:
            self._groups.clear()
            self._known.clear()
        rules = self._pointed_to(hits)
        group = self._known.setdefault(rules, _Group(rules))
        if len(hits) <= MAX_HITS:
            self._groups[hits] = group
        return group

    def _pointed_to(self, hits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the rules of which a literal was hit, and one of all others that it needs beside that."""
        if _ANY in hits:
            return tuple(range(len(self._rules)))
        found = set(self._always).union(*[self._alone[literal] for literal in hits])
        lacks = frozenset(hits).isdisjoint
        for literal in hits:
            found.update([rule for rule, others in self._beside[literal] if not any(map(lacks, others))])
        return tuple(sorted(found))

    def _plan(self, shape: "_Shape", event: Event, group: "_Group") -> "_Plan":
        return _Plan(self._tried(origin(event), group), shape.keys, {name: event[name] for name in shape.names})

    def _remember_plan(self, shape: "_Shape", event: Event, group: "_Group") -> "_Plan":
        if len(shape.plans) >= MAX_PLANS:
            shape.plans.clear()
            shape.alike.clear()
        plan = self._plan(shape, event, group)
        if _PLAIN.issuperset(map(type, plan.fixed.values())):
            at = shape.origin(event)
            plan = shape.alike.setdefault((at, tuple(map(id, plan.tried))), plan)
            shape.plans[at, group] = plan
        return plan

    def _remember_shape(self, names: tuple[str, ...], shapes: dict[tuple[str, ...], "_Shape"]) -> "_Shape":
        if len(shapes) >= MAX_SHAPES:
            shapes.clear()
        shapes[names] = shape = _Shape(names, flat=shapes is self._flat)
        return shape


class _Group:
    """Rules that literals hit together point to, as their numbers; one object for the same rules, so it is a key."""

    __slots__ = ("rules",)

    def __init__(self, rules: tuple[int, ...]) -> None:
        self.rules = rules


class _Shape:
    """Events with the same keys, all flat or all with objects: how what rules ask for is read, and what is tried.

    `origin` gives what the `names` of the log source say; by that and the rules pointed to go the `plans`; groups of
    which the same rules are of the log source share one, in `alike`.
    """

    __slots__ = ("alike", "keys", "names", "origin", "plans")

    def __init__(self, keys: tuple[str, ...], flat: bool) -> None:
        self.keys = Keys(keys) if flat else None
        self.names = [name for name in ORIGIN_NAMES if name in keys]
        self.origin: Callable[[Event], Any] = itemgetter(*self.names) if self.names else lambda _: None
        self.plans: dict[tuple[Any, _Group], _Plan] = {}
        self.alike: dict[tuple[Any, tuple[int, ...]], _Plan] = {}


class _Plan:
    """Rules that are tried together, one by one at first; what is tried often gets a function of its own (`test`).

    `fixed` are the names of the log source, `numbers` those of them that are numbers. `keys` are those of flat events,
    None for those with objects.
    """

    __slots__ = ("_keys", "_uses", "fixed", "numbers", "test", "tried")

    def __init__(self, tried: list["_Tried"], keys: Keys | None, fixed: Event) -> None:
        self.tried = tried
        self.fixed = fixed
        self.numbers = [name for name, value in fixed.items() if type(value) is not str]
        self._keys = keys
        self._uses = 0
        self.test: JointTest[Rule] = self._one_by_one if self.tried else _nothing

    def with_several(self, event: Event) -> list[Rule]:
        """Do what `test` does, for an event of which a field holds several values; such events will come again."""
        self.test = self._by_view
        return self._by_view(event)

    def _by_view(self, event: Event) -> list[Rule]:
        view = View(event, self._keys)
        return [each.rule for each in self.tried if each.rule.node.test(view)]

    def _one_by_one(self, event: Event) -> list[Rule]:
        self._uses += 1
        if self._uses == OFTEN and self._keys is not None and len(self.tried) <= MOST_JOINT:
            rules = ((each.rule, each.rule.node) for each in self.tried)
            self.test = joint_test(rules, Kind(self._keys, self.fixed))
        texts = Texts(event, self._keys)
        return [each.rule for each in self.tried if each.test(texts)]


#: Types of names of a log source by which plans are kept.
_PLAIN = {str, int}


def _nothing(_event: Event) -> list[Rule]:
    return []


class _Place:
    """Where events come from, and which routes hold there."""

    __slots__ = ("code", "routes")

    def __init__(self, at: Origin, routes: list[bool]) -> None:
        self.code = at.code
        self.routes = routes


class _Tried:
    """A rule that is tried on events, and its quick test."""

    __slots__ = ("rule", "test")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.test = single_test(rule.node)


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
    # What may stand beside a value in JSON, or beside its digits: narrower than `\b`, and quicker to look for.
    return rb'[\s:,"\[]%b[\s,}"\].]' % text if literal.alone else text

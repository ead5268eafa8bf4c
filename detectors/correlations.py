"""Correlations: events that rules have matched enter, in any order, alerts of correlation rules leave.

Time is the events' own. Events wait, sorted by their time, until the *watermark* has passed them: the latest time that
was seen, less a lateness bound. Only then are they evaluated, in order, so the alerts are the same for every order of
arrival within the bound; an event behind the watermark is too late and is counted. With `early`, what only grows with
more events (`GROWING`) is also said at once, as soon as what is known satisfies it. The evaluation in order then raises
no second alert for that burst: it finds a window that ends at most one timespan before the one that was said.

After an alert a group is silent for one timespan, so the windows of two alerts of a group never overlap.

No input, no output, no clock: the caller brings the times, saves what `dump` gives and goes on from it with `load`.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from detectors.alerts import MAX_EVIDENCE, Burst, correlation_alert
from detectors.measures import Hit, Lines, Value, Window, measures_of, window_of
from detectors.sigma import Correlation, Rule
from detectors.sigma.correlation import (
    GROWING,
    OF_RULES,
    OF_VALUES,
    VALUE_COUNT,
    VALUE_PERCENTILE,
    Key,
    Number,
    Part,
    number,
    silenced,
)
from pipeline.event import Event, decode, encode, from_micros, to_micros

SECOND = 1_000_000
#: Further ahead of its receipt than this, in microseconds, a time is no wrong time zone but a clock that is broken.
AHEAD = 86_400 * SECOND
#: The watermark moves in so many steps through the lateness bound: one look at what waits for many events that came.
_STEPS = 20
_NEVER = -(2**62)
_ALWAYS = 2**62
#: Groups wake to forget when one of so many parts of their events can go.
_PART = 8
#: Entries of groups that may be out of date before it is looked at.
_FEW = 1_000
#: Values of one event that are measured, where the field holds a list.
_MAX_VALUES = 100
#: Values of different events that are one object where they are equal.
_MAX_KNOWN = 4_096
#: Bytes of JSON lines that `dump` gives together.
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the state. Without `lateness` (microseconds) every event waits for `finish`."""

    lateness: int | None = 300 * SECOND
    groups: int = 100_000  # of each correlation
    events: int = 10_000  # of each group
    evidence_bytes: int = 200_000_000  # of all events that are kept to be shown


@dataclass(slots=True)
class Counts:
    """What happened, in events (groups where it says so); kept over restarts."""

    events: int = 0
    repeated: int = 0
    too_late: int = 0
    too_far_ahead: int = 0
    groups_evicted: int = 0
    events_evicted: int = 0
    without_evidence: int = 0


class _Said(NamedTuple):
    """An alert that was raised early: when its window ends, its id, and the groups of other correlations it went to."""

    time: int
    id: str
    placed: tuple[tuple[int, int, Key], ...]  # (correlation, part, group)


class _Group:
    """The events of one group, sorted; those before `settled` were evaluated in order.

    `fired` is the end of the window of the last alert. `ordered` and `known` are the windows that end at the last
    settled and at the last known event; they are made when there are enough events for an alert.
    """

    __slots__ = ("fired", "hits", "key", "known", "ordered", "said", "settled", "wake")

    def __init__(self, key: Key, hit: Hit) -> None:
        self.key = key
        self.hits = [hit]
        self.settled = 0
        self.fired = _NEVER
        self.said: list[_Said] | None = None
        self.ordered: Window | None = None
        self.known: Window | None = None
        self.wake = _ALWAYS


@dataclass(slots=True)
class _Evidence:
    """How many bytes of events are kept to be shown."""

    bytes: int = 0


_wake = attrgetter("wake")


class _Sleepers:
    """Groups by when to look at them again, in steps of time: what moves the watermark by whole steps ends whole steps.

    A group has an entry where its `wake` says; one that it has elsewhere is out of date.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._by_step: dict[int, list[_Group]] = {}
        self._steps: list[int] = []  # a heap
        self._entries = 0

    def put(self, group: _Group, due: int) -> None:
        """Look at the group when the watermark has passed this time, in microseconds."""
        step, before = due // self._step, group.wake // self._step
        group.wake = due
        if step == before:
            return
        sleeping = self._by_step.get(step)
        if sleeping is None:
            self._by_step[step] = [group]
            heappush(self._steps, step)
        else:
            sleeping.append(group)
        self._entries += 1

    def awake(self, watermark: int) -> Iterator[_Group]:
        """Yield the groups that are due, by their times in every step."""
        while self._steps and self._steps[0] * self._step < watermark:
            step = heappop(self._steps)
            sleeping = self._by_step.pop(step)
            self._entries -= len(sleeping)
            for group in sorted(sleeping, key=_wake):
                if group.wake // self._step == step:
                    group.wake = _ALWAYS
                    yield group

    def tidy(self, groups: Mapping[Key, _Group]) -> None:
        """Leave out what is out of date where that is most of it; these are the groups that there are."""
        if self._entries <= 2 * len(groups) + _FEW:
            return
        self._by_step.clear()
        self._steps.clear()
        self._entries = 0
        for group in groups.values():
            due, group.wake = group.wake, _ALWAYS
            self.put(group, due)


class _Groups:
    """One correlation's groups, and when to look at which."""

    def __init__(
        self,
        number: int,
        rule: Correlation,
        limits: Limits,
        early: bool,
        counts: Counts,
        evidence: "_Evidence",
        step: int,
    ) -> None:
        self.number = number
        self.rule = rule
        self.groups: OrderedDict[Key, _Group] = OrderedDict()
        self._evidence = evidence
        self._span = rule.span
        self._least = rule.least if rule.slides else 1
        self._slides = rule.slides
        self.counts_rules = rule.type in OF_RULES
        self.values = _values_of(rule)
        self._most_groups = limits.groups
        self._most_events = max(limits.events, 2 * rule.least)
        self._early = early and self._slides and rule.type in GROWING
        self._counts = counts
        self._sleepers = _Sleepers(step)
        self.watermark = _NEVER

    def insert(self, key: Key, hit: Hit) -> Burst | None:
        """Put an event in its place; return the burst that is said early with it."""
        group = self.groups.get(key)
        if group is None:
            group = self._begin(key, hit)
        else:
            self.groups.move_to_end(key)
            hits = group.hits
            if not hits or hit[0] > hits[-1][0]:
                hits.append(hit)
            elif not self._place(group, hit):
                return None
            self._keep(hit)
            if len(hits) > self._most_events:
                self._make_room(group)
        if len(group.hits) < self._least:
            return None
        if hit[0] < group.wake and (due := self._due(group)) < group.wake:
            self._sleepers.put(group, due)
        return self._early_burst(group) if self._early else None

    def settle(self, watermark: int) -> Iterator[tuple[_Group, Burst]]:
        """Evaluate in order what lies before the watermark; yield the bursts with their groups."""
        self.watermark = watermark
        for group in self._sleepers.awake(watermark):
            for burst in self._slide(group) if self._slides else self._close(group):
                yield group, burst
            self._put_to_sleep(group)

    def remove(self, key: Key, time: int, identifier: str, part: int) -> None:
        """Take back an event that was put in early and came out otherwise."""
        group = self.groups.get(key)
        if group is None:
            return
        place = bisect_left(group.hits, (time, identifier, part))
        if place < len(group.hits) and group.hits[place][:3] == (time, identifier, part) and place >= group.settled:
            self._drop(group.hits[place : place + 1])
            del group.hits[place]
            group.known = None

    def _begin(self, key: Key, hit: Hit) -> _Group:
        group = self.groups[key] = _Group(key, hit)
        self._keep(hit)
        self._sleepers.put(group, self._due(group))
        if len(self.groups) > self._most_groups:
            self._evict()
        return group

    def _place(self, group: _Group, hit: Hit) -> bool:
        """Insert into the sorted hits, not after the last; False where it is there already."""
        hits, order = group.hits, hit[:3]
        place = bisect_left(hits, order)
        if place < len(hits) and hits[place][:3] == order:
            self._counts.repeated += 1
            return False
        hits.insert(place, hit)
        if group.known is not None:
            group.known.insert(hit, place)
        return True

    def _early_burst(self, group: _Group) -> Burst | None:
        hits = group.hits
        end = hits[-1].time
        if end <= max(group.fired, group.said[-1].time if group.said else _NEVER) + self._span:
            group.known = None
            return None
        start = end - self._span
        if hits[-self._least].time < start:
            return None
        known = group.known
        if known is None:
            known = group.known = window_of(self.rule, bisect_left(hits, (start,)))
        known.move(hits, len(hits), start)
        measured = known.measured(hits)
        return self._burst(group, end, measured, hits[known.lo : known.hi]) if self._holds(measured) else None

    def _slide(self, group: _Group) -> Iterator[Burst]:
        """Look at the window that ends at each time before the watermark at which an event happened."""
        hits, span, least = group.hits, self._span, self._least
        if len(hits) < least:
            return
        place = group.settled
        end = group.settled = bisect_left(hits, (self.watermark,), place)
        while place < end:
            time = hits[place].time
            if time <= group.fired + span:
                place = bisect_left(hits, (group.fired + span + 1,), place, end)
                continue
            while place < end and hits[place].time == time:
                place += 1
            start = time - span
            if place < least or hits[place - least].time < start:
                continue
            window = group.ordered
            if window is None or not window.hi or hits[window.hi - 1].time < start:
                window = group.ordered = window_of(self.rule, bisect_left(hits, (start,), 0, place))
            window.move(hits, place, start)
            measured = window.measured(hits)
            if self._holds(measured):
                group.fired = time
                yield self._burst(group, time, measured, hits[window.lo : window.hi])

    def _close(self, group: _Group) -> Iterator[Burst]:
        """Look at each window that begins with the first event after the last window and that is over."""
        hits = group.hits
        while hits and hits[0].time + self._span < self.watermark:
            close = hits[0].time + self._span
            end = bisect_left(hits, (close + 1,))
            for measured, part in measures_of(self.rule, hits[:end]):
                if self._holds(measured):
                    yield self._burst(group, close, measured, part)
                    break
            self._drop(hits[:end])
            del hits[:end]

    def _holds(self, measured: Number) -> bool:
        return self.rule.condition.holds(measured)

    def _burst(self, group: _Group, time: int, measured: Number, hits: Sequence[Hit]) -> Burst:
        evidence: list[bytes] = []
        for hit in hits:
            evidence += _shown(hit)
            if len(evidence) >= MAX_EVIDENCE:
                evidence[MAX_EVIDENCE - 1 :] = _shown(hits[-1])[-1:]
                break
        parts = [0] * len(self.rule.parts)
        for hit in hits:
            parts[hit.part] += 1
        return Burst(
            self.rule, group.key, time, hits[0].time, hits[-1].time, len(hits), measured, tuple(parts),
            tuple(evidence),
        )  # fmt: skip

    def _put_to_sleep(self, group: _Group) -> None:
        """Forget what no window can hold any more, and say when to look again."""
        if group.said is not None and group.said[0].time < self.watermark - self._span:
            group.said = [item for item in group.said if item.time >= self.watermark - self._span] or None
        if self._slides:
            self._forget_passed(group)
        if group.hits:
            self._sleepers.put(group, self._due(group))
        elif group.fired + self._span >= self.watermark:
            self._sleepers.put(group, group.fired + self._span)
        else:
            del self.groups[group.key]

    def _due(self, group: _Group) -> int:
        """When something may come of the group's events: an alert, or that a good part of them can be forgotten."""
        hits, span = group.hits, self._span
        if not self._slides:
            return hits[0].time + span
        passes = hits[len(hits) // _PART].time + span
        first = max(group.settled, self._least - 1)  # the first event with which an alert can come
        if first >= len(hits):
            return passes
        return min(passes, max(hits[first].time, group.fired + span + 1))

    def _forget_passed(self, group: _Group) -> None:
        first = bisect_left(group.hits, (self.watermark - self._span,))
        if first:
            self._cut(group, first)

    def _make_room(self, group: _Group) -> None:
        """Of too many events, give up the oldest."""
        self._forget_passed(group)
        too_many = len(group.hits) - self._most_events
        if too_many > 0:
            first = too_many + self._most_events // 10
            self._cut(group, first)
            self._counts.events_evicted += first

    def _cut(self, group: _Group, first: int) -> None:
        for window in (group.ordered, group.known):
            if window is not None:
                window.forget(group.hits, first)
        self._drop(group.hits[:first])
        del group.hits[:first]
        group.settled = max(group.settled - first, 0)

    def _evict(self) -> None:
        _, group = self.groups.popitem(last=False)
        self._drop(group.hits)
        self._counts.groups_evicted += 1
        self._counts.events_evicted += len(group.hits)
        group.hits, group.wake = [], _ALWAYS
        self._sleepers.tidy(self.groups)

    def _keep(self, hit: Hit) -> None:
        _, _, _, values, lines = hit
        if len(values) > 1:
            self._least = 1  # of values fewer events may have enough
        self._evidence.bytes += len(lines) if type(lines) is bytes else _size(lines)

    def _drop(self, hits: Iterable[Hit]) -> None:
        self._evidence.bytes -= sum(_size(hit.lines) for hit in hits)

    def forget(self) -> int:
        """Forget every group; return how many events they had."""
        held = [hit for group in self.groups.values() for hit in group.hits]
        self._drop(held)
        self.groups.clear()
        return len(held)

    def dump(self) -> Iterator[list[Any]]:
        """Give each group as plain values, the one longest without an event first."""
        for group in self.groups.values():
            said = [[item.time, item.id, item.placed] for item in group.said or ()]
            yield [self.number, group.key, group.fired, group.settled, said, [_plain(hit) for hit in group.hits]]

    def load(self, fired: int, settled: int, key: Key, said: list[_Said], hits: list[Hit]) -> None:
        """Take a group as it was given."""
        group = _Group(key, hits[0]) if hits else _Group(key, _NO_HIT)
        group.hits, group.fired, group.settled, group.said = hits, fired, settled, said or None
        self.groups[key] = group
        for hit in hits:
            self._keep(hit)
        self._sleepers.put(group, _NEVER)


class _Scope:
    """Events that share one clock: those of a site as they happen, or those of an import."""

    def __init__(self, groups: list[_Groups], lateness: int | None, step: int) -> None:
        self.groups = groups
        self.by_depth = sorted(groups, key=lambda each: each.rule.depth)
        self.lateness = lateness
        self.step = step
        self.watermark = _NEVER
        self.lanes: dict[str, int] = {}
        self.heard = _NEVER
        self.moves_at = _NEVER if lateness is not None else _ALWAYS  # no lane moves the watermark before this time

    def moved(self, lane: str, time: int) -> int | None:
        """The new watermark, where this time of a lane moves it."""
        if time > self.lanes.get(lane, _NEVER):
            self.lanes[lane] = time
        if self.lateness is None:
            return None
        watermark = (min(self.lanes.values()) - self.lateness) // self.step * self.step
        self.moves_at = max(watermark, self.watermark) + self.step + self.lateness
        return watermark if watermark > self.watermark else None


class Correlations:
    """All correlations of a rule set.

    `feed` what rules have matched, with the time of receipt and a lane: what one reader has read in turn (a partition);
    the slowest lane holds the watermark. Alerts come back as soon as they can be said.
    """

    def __init__(self, rules: Sequence[Correlation], limits: Limits = Limits(), early: bool = False) -> None:
        self.counts = Counts()
        self._evidence = _Evidence()
        self._rules = tuple(rules)
        self._limits = limits
        self._early = early
        self._silent = silenced(self._rules)
        self._of_rule: dict[str, list[tuple[int, int, Part]]] = {}
        for place, rule in enumerate(self._rules):
            for part_number, part in enumerate(rule.parts):
                self._of_rule.setdefault(part.rule.id, []).append((place, part_number, part))
        self._scopes: dict[str, _Scope] = {"": self._scope(limits.lateness)}

    @property
    def groups(self) -> int:
        """How many groups are held."""
        return sum(len(each.groups) for scope in self._scopes.values() for each in scope.groups)

    @property
    def watermark(self) -> int:
        """Before this everything was evaluated, in microseconds since 1970."""
        return self._scopes[""].watermark

    def takes(self, rule: Rule | Correlation) -> bool:
        """Whether some correlation refers to the rule."""
        return rule.id in self._of_rule

    def feed(
        self,
        event: Event,
        rules: Sequence[str],
        line: bytes | None = None,
        received: int | None = None,
        lane: str = "",
        scope: str = "",
    ) -> list[Event]:
        """Take an event that the rules of these identifiers have matched; it must have an id and a readable time.

        `line` is the event as JSON, where the caller has it. Events of a `scope` with a name (an import) are correlated
        among themselves, and wait until the scope is closed.
        """
        time = to_micros(event["@timestamp"])
        within = self._scopes.get(scope)
        if within is None:
            within = self._scopes[scope] = self._scope(None)
        if not self._comes_in_time(within, time, received):
            return []
        found: list[Event] = []
        line = _compact(encode(event)) if line is None else line
        lines = self._affordable(line, len(line))
        counted: set[tuple[int, Key]] | None = set() if len(rules) > 1 else None
        for rule in rules:
            for place, part_number, part in self._of_rule.get(rule, ()):
                groups = within.groups[place]
                values = groups.values(part, event)
                if values is None:
                    continue
                hit = Hit(time, event["event.id"], part_number if groups.counts_rules else 0, values, lines)
                for key in part.keys(event):
                    takes = counted is None or groups.counts_rules or _is_new(counted, place, key)
                    if takes and (burst := groups.insert(key, hit)) is not None:
                        self._say_early(within, groups, burst, found)
        clock = time if received is None else min(time, received)
        if received is not None:
            within.heard = max(within.heard, received)
        if clock >= within.moves_at:
            if (watermark := within.moved(lane, clock)) is not None:
                self._settle(within, watermark, found)
        elif clock > within.lanes.get(lane, _NEVER):
            within.lanes[lane] = clock
        return found

    def advance(self, time: int) -> list[Event]:
        """All lanes have brought everything up to this time, in microseconds since 1970, as far as it is to come."""
        found: list[Event] = []
        scope = self._scopes[""]
        for lane in scope.lanes or ("",):
            if (watermark := scope.moved(lane, time)) is not None:
                self._settle(scope, watermark, found)
        return found

    def tick(self, now: int, lanes: Mapping[str, int]) -> list[Event]:
        """Nothing came, and time passes: how far each lane is, in microseconds since 1970, and what time it is.

        A scope of its own is closed when nothing was heard of it for the lateness bound. Where the clock was set back
        behind the watermark, everything is forgotten: else all that comes would be too late until it is there again.
        """
        found: list[Event] = []
        live = self._scopes[""]
        if live.watermark > now:
            self.counts.events_evicted += sum(each.forget() for each in live.groups)
            live = self._scopes[""] = self._scope(self._limits.lateness)
        for lane, time in lanes.items():
            if (watermark := live.moved(lane, min(time, now))) is not None:
                self._settle(live, watermark, found)
        for name in [name for name in self._scopes if name]:
            if now - self._scopes[name].heard > (self._limits.lateness or 0):
                self._settle(self._scopes.pop(name), _ALWAYS, found)
        return found

    def waits(self) -> bool:
        """Whether anything is held that a later time could settle."""
        return any(each.groups for scope in self._scopes.values() for each in scope.groups)

    def finish(self) -> list[Event]:
        """No more will come: evaluate everything and forget it."""
        found: list[Event] = []
        for scope in self._scopes.values():
            self._settle(scope, _ALWAYS, found)
        self._scopes = {"": self._scope(self._limits.lateness)}
        return found

    def dump(self) -> Iterator[bytes]:
        """Give everything that is held as JSON lines, some megabytes together."""
        held = [orjson.dumps({"counts": asdict(self.counts), "rules": [_signature(rule) for rule in self._rules]})]
        size = 0
        for name, scope in self._scopes.items():
            held.append(orjson.dumps([name, scope.watermark, scope.lanes, scope.heard]))
            for each in scope.by_depth:
                for group in each.dump():
                    held.append(orjson.dumps(group))
                    size += len(held[-1])
                    if size >= _CHUNK:
                        yield b"\n".join(held)
                        held, size = [], 0
        yield b"\n".join(held)

    def load(self, chunks: Iterable[bytes]) -> None:
        """Go on from what `dump` gave. Groups of a correlation that has changed since are left out.

        Raises:
            ValueError: it is no dump.
        """
        numbers: dict[int, int] = {}
        scope = self._scopes[""]
        for chunk in chunks:
            for line in chunk.split(b"\n"):
                given = orjson.loads(line)
                if isinstance(given, dict):
                    for name, value in given["counts"].items():
                        setattr(self.counts, name, value)
                    now = {_signature(rule): place for place, rule in enumerate(self._rules)}
                    numbers = {was: now[rule] for was, rule in enumerate(given["rules"]) if rule in now}
                elif isinstance(given[0], str):
                    name, watermark, lanes, heard = given
                    scope = self._scopes.setdefault(name, self._scope(None))
                    scope.watermark, scope.lanes, scope.heard = watermark, lanes, heard
                    for each in scope.groups:
                        each.watermark = watermark
                elif given[0] in numbers:
                    was, key, fired, settled, said, hits = given
                    scope.groups[numbers[was]].load(
                        fired, settled, tuple(key), _said(said, numbers), [_hit(hit) for hit in hits]
                    )

    def _scope(self, lateness: int | None) -> _Scope:
        step = max((lateness or 0) // _STEPS, SECOND // 10)
        groups = [
            _Groups(place, rule, self._limits, self._early, self.counts, self._evidence, step)
            for place, rule in enumerate(self._rules)
        ]
        return _Scope(groups, lateness, step)

    def _comes_in_time(self, within: _Scope, time: int, received: int | None) -> bool:
        if received is not None and time > received + AHEAD:
            self.counts.too_far_ahead += 1
        elif time < within.watermark:
            self.counts.too_late += 1
        else:
            self.counts.events += 1
            return True
        return False

    def _affordable(self, lines: Lines, size: int) -> Lines:
        """The lines of an event, or nothing where too much is kept already."""
        if self._evidence.bytes + size <= self._limits.evidence_bytes:
            return lines
        self.counts.without_evidence += 1
        return b""

    def _say_early(self, scope: _Scope, groups: _Groups, burst: Burst, found: list[Event]) -> None:
        group = groups.groups[burst.key]
        placed: list[tuple[int, int, Key]] = []
        group.said = group.said or []
        group.said.append(_Said(burst.time, burst.id, ()))
        self._raise(burst, found)
        self._pass_on(scope, burst, found, placed)
        group.said[-1] = group.said[-1]._replace(placed=tuple(placed))

    def _settle(self, scope: _Scope, watermark: int, found: list[Event]) -> None:
        scope.watermark = watermark
        for groups in scope.by_depth:
            for group, burst in groups.settle(watermark):
                said = _taken(group, burst)
                if said is not None:  # as it is known now it takes the place of what was said
                    for place, part, key in said.placed:
                        scope.groups[place].remove(key, said.time, said.id, part)
                else:
                    self._raise(burst, found)
                self._pass_on(scope, burst, found, [])

    def _raise(self, burst: Burst, found: list[Event]) -> None:
        if burst.rule not in self._silent:
            found.append(correlation_alert(burst))

    def _pass_on(self, scope: _Scope, burst: Burst, found: list[Event], placed: list[tuple[int, int, Key]]) -> None:
        """An alert takes part in the correlations that refer to its rule, in the groups of all of its events."""
        for place, part_number, part in self._of_rule.get(burst.rule.id, ()):
            groups = scope.groups[place]
            events = [decode(line) for line in burst.evidence]
            keys = dict.fromkeys(key for event in events for key in part.keys(event))
            values = dict.fromkeys(value for event in events for value in groups.values(part, event) or ())
            if not values and groups.rule.type in OF_VALUES:
                continue
            number_of_part = part_number if groups.counts_rules else 0
            lines = self._affordable(burst.evidence, _size(burst.evidence))
            hit = Hit(burst.time, burst.id, number_of_part, tuple(values), lines)
            for key in list(keys)[:MAX_EVIDENCE]:
                placed.append((place, number_of_part, key))
                if (early := groups.insert(key, hit)) is not None:
                    self._say_early(scope, groups, early, found)


def _taken(group: _Group, burst: Burst) -> _Said | None:
    """Take out what was said early of this burst."""
    said = group.said or []
    span = burst.rule.span
    for place, item in enumerate(said):
        if burst.time <= item.time <= burst.time + span:
            group.said = said[place + 1 :] or None
            return item
    return None


def _is_new(counted: set[tuple[int, Key]], place: int, key: Key) -> bool:
    """An event that two of a correlation's rules match is one event; say whether it was not counted yet."""
    if (place, key) in counted:
        return False
    counted.add((place, key))
    return True


def _values_of(rule: Correlation) -> Callable[[Part, Event], tuple[Value, ...] | None]:
    """Return what reads what a correlation measures of an event; None where the event does not have it."""
    if not rule.fields:
        return lambda _part, _event: ()
    if rule.type == VALUE_COUNT or (rule.condition.percentile is None and rule.type == VALUE_PERCENTILE):
        return _texts()
    return _numbers


def _texts() -> Callable[[Part, Event], tuple[Value, ...] | None]:
    """Return what reads texts; equal ones are mostly one object, so that less is held, and counted quicker."""
    known: dict[tuple[Value, ...], tuple[Value, ...]] = {}

    def read(part: Part, event: Event) -> tuple[Value, ...] | None:
        if len(known) >= _MAX_KNOWN:
            known.clear()
        found = tuple(part.values_of(event)[:_MAX_VALUES])
        return known.setdefault(found, found) or None

    return read


def _numbers(part: Part, event: Event) -> tuple[Value, ...] | None:
    found = part.values_of(event)[:_MAX_VALUES]
    return tuple(exact for value in found if (exact := number(value[0])) is not None) or None


def _compact(line: bytes) -> bytes:
    """A copy: what the encoder gives keeps some kilobytes of its buffer."""
    return bytes(memoryview(line))


def _size(lines: Lines) -> int:
    return len(lines) if isinstance(lines, bytes) else sum(map(len, lines))


def _shown(hit: Hit) -> Sequence[bytes]:
    """Return the events of a hit as JSON; what is known of it where they were too much to keep."""
    if hit.lines == b"":
        return [_stub(hit)]
    return [hit.lines] if isinstance(hit.lines, bytes) else hit.lines


def _stub(hit: Hit) -> bytes:
    return encode({"@timestamp": from_micros(hit.time), "event.id": hit.id})


_NO_HIT = Hit(0, "", 0, (), b"")


def _signature(rule: Correlation) -> str:
    """What groups are kept by: another rule's, or those of the same rule as it was before, mean something else."""
    return f"{rule.id} {rule.signature}"


def _plain(hit: Hit) -> list[Any]:
    values = [list(value) if isinstance(value, tuple) else str(value) for value in hit.values]
    lines = hit.lines.decode() if isinstance(hit.lines, bytes) else [line.decode() for line in hit.lines]
    return [hit.time, hit.id, hit.part, values, lines]


def _hit(given: list[Any]) -> Hit:
    time, identifier, part, values, lines = given
    return Hit(
        time,
        identifier,
        part,
        tuple(tuple(value) if isinstance(value, list) else _exact(value) for value in values),
        lines.encode() if isinstance(lines, str) else tuple(line.encode() for line in lines),
    )


def _exact(text: str) -> Number:
    exact = Fraction(text)
    return int(exact) if exact.denominator == 1 else exact


def _said(given: list[Any], numbers: Mapping[int, int]) -> list[_Said]:
    return [
        _Said(time, identifier, tuple((numbers[was], part, tuple(key)) for was, part, key in placed if was in numbers))
        for time, identifier, placed in given
    ]

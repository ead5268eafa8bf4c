"""The groups of one correlation: hits enter in any order, bursts leave, early or in the order of time."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from detectors.alerts import MAX_EVIDENCE, Burst
from detectors.correlations.bounds import AFTER_ALL, BEFORE_ALL, Counts, Evidence, Limits
from detectors.correlations.group import Group, Said
from detectors.correlations.hits import Hit, reader_of, shown, size_of
from detectors.correlations.measures import measures_of, window_of
from detectors.correlations.saving import plain
from detectors.correlations.waking import Sleepers, Steps
from detectors.sigma import Correlation
from detectors.sigma.correlation import GROWING, OF_RULES, Key, Number

#: Groups wake to forget when one of so many parts of their events can go.
_PART = 8


class Groups:
    """One correlation's groups, and when to look at which.

    Where one event alone raises no alert, the first of a group is all that is held of it: mostly no second one comes,
    and that is a quarter less memory.
    """

    def __init__(
        self,
        number: int,
        rule: Correlation,
        limits: Limits,
        early: bool,
        counts: Counts,
        evidence: Evidence,
        step: int,
    ) -> None:
        self.number = number
        self.rule = rule
        self.groups: OrderedDict[Key, Group | Hit] = OrderedDict()
        self._evidence = evidence
        self._span = rule.span
        self._least = rule.least if rule.slides else 1
        self._slides = rule.slides
        self.counts_rules = rule.type in OF_RULES
        self.values = reader_of(rule)
        self._most_groups = limits.groups
        self._most_events = max(limits.events, 2 * rule.least)
        self._early = early and self._slides and rule.type in GROWING
        self._counts = counts
        self._sleepers = Sleepers(step)
        self._alone: Steps[Key] = Steps(step)
        self.watermark = BEFORE_ALL

    def insert(self, key: Key, hit: Hit) -> Burst | None:
        """Put an event in its place; return the burst that is said early with it."""
        held = self.groups.get(key)
        if held is None:
            group = self._first(key, hit)
            if group is None:
                return None
        else:
            group = held if isinstance(held, Group) else self._begin(key, held)
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
            self._sleepers.wake(group, due)
        return self._early_burst(group) if self._early else None

    def settle(self, watermark: int) -> Iterator[tuple[Group, Burst]]:
        """Evaluate in order what lies before the watermark; yield the bursts with their groups."""
        self.watermark = watermark
        for group in self._sleepers.awake(watermark):
            for burst in self._slide(group) if self._slides else self._close(group):
                yield group, burst
            self._put_to_sleep(group)
        for _, keys in self._alone.passed(watermark):
            for key in keys:
                self._forget_alone(key)

    def remove(self, key: Key, time: int, identifier: str, part: int) -> None:
        """Take back an event that was put in early and came out otherwise."""
        held = self.groups.get(key)
        if held is None:
            return
        group = held if isinstance(held, Group) else self._begin(key, held)
        place = bisect_left(group.hits, (time, identifier, part))
        if place < len(group.hits) and group.hits[place][:3] == (time, identifier, part) and place >= group.settled:
            self._drop(group.hits[place : place + 1])
            del group.hits[place]
            group.known = None

    def _first(self, key: Key, hit: Hit) -> Group | None:
        """Return the group that an event begins; None where it is held alone."""
        self._keep(hit)
        group = None
        if self._least > 1:
            self._hold_alone(key, hit)
        else:
            group = self._begin(key, hit)
        if len(self.groups) > self._most_groups:
            self._evict()
        return group

    def _hold_alone(self, key: Key, hit: Hit) -> None:
        self.groups[key] = hit
        self._alone.put(key, hit.time + self._span)

    def _begin(self, key: Key, hit: Hit) -> Group:
        group = self.groups[key] = Group(key, [hit])
        self._sleepers.wake(group, self._due(group))
        return group

    def _place(self, group: Group, hit: Hit) -> bool:
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

    def _early_burst(self, group: Group) -> Burst | None:
        hits = group.hits
        end = hits[-1].time
        if end <= max(group.fired, group.said[-1].time if group.said else BEFORE_ALL) + self._span:
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

    def _slide(self, group: Group) -> Iterator[Burst]:
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

    def _close(self, group: Group) -> Iterator[Burst]:
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

    def _burst(self, group: Group, time: int, measured: Number, hits: Sequence[Hit]) -> Burst:
        evidence: list[bytes] = []
        for hit in hits:
            evidence += shown(hit)
            if len(evidence) >= MAX_EVIDENCE:
                evidence[MAX_EVIDENCE - 1 :] = shown(hits[-1])[-1:]
                break
        parts = [0] * len(self.rule.parts)
        for hit in hits:
            parts[hit.part] += 1
        return Burst(
            self.rule, group.key, time, hits[0].time, hits[-1].time, len(hits), measured, tuple(parts),
            tuple(evidence),
        )  # fmt: skip

    def _put_to_sleep(self, group: Group) -> None:
        """Forget what no window can hold any more, and say when to look again."""
        if group.said is not None and group.said[0].time < self.watermark - self._span:
            group.said = [item for item in group.said if item.time >= self.watermark - self._span] or None
        if self._slides:
            self._forget_passed(group)
        if group.hits:
            self._sleepers.wake(group, self._due(group))
        elif group.fired + self._span >= self.watermark:
            self._sleepers.wake(group, group.fired + self._span)
        else:
            del self.groups[group.key]

    def _forget_alone(self, key: Key) -> None:
        held = self.groups.get(key)
        if not isinstance(held, Hit):
            return
        if held.time < self.watermark - self._span:
            self._drop((held,))
            del self.groups[key]
        else:
            self._alone.put(key, held.time + self._span)

    def _due(self, group: Group) -> int:
        """When something may come of the group's events: an alert, or that a good part of them can be forgotten."""
        hits, span = group.hits, self._span
        if not self._slides:
            return hits[0].time + span
        passes = hits[len(hits) // _PART].time + span
        first = max(group.settled, self._least - 1)  # the first event with which an alert can come
        if first >= len(hits):
            return passes
        return min(passes, max(hits[first].time, group.fired + span + 1))

    def _forget_passed(self, group: Group) -> None:
        first = bisect_left(group.hits, (self.watermark - self._span,))
        if first:
            self._cut(group, first)

    def _make_room(self, group: Group) -> None:
        """Of too many events, give up the oldest."""
        self._forget_passed(group)
        too_many = len(group.hits) - self._most_events
        if too_many > 0:
            first = too_many + self._most_events // 10
            self._cut(group, first)
            self._counts.events_evicted += first

    def _cut(self, group: Group, first: int) -> None:
        for window in (group.ordered, group.known):
            if window is not None:
                window.forget(group.hits, first)
        self._drop(group.hits[:first])
        del group.hits[:first]
        group.settled = max(group.settled - first, 0)

    def _evict(self) -> None:
        _, held = self.groups.popitem(last=False)
        hits = _hits_of(held)
        self._drop(hits)
        self._counts.groups_evicted += 1
        self._counts.events_evicted += len(hits)
        if isinstance(held, Group):
            held.hits, held.wake = [], AFTER_ALL
        self._tidy()

    def _tidy(self) -> None:
        """Leave out of what sleeps what is out of date, where that is most of it."""
        if self._sleepers.outdated(len(self.groups)):
            for held in self.groups.values():
                if isinstance(held, Group):
                    due, held.wake = held.wake, AFTER_ALL
                    self._sleepers.wake(held, due)
        if self._alone.outdated(len(self.groups)):
            for key, held in self.groups.items():
                if isinstance(held, Hit):
                    self._alone.put(key, held.time + self._span)

    def _keep(self, hit: Hit) -> None:
        _, _, _, values, lines = hit
        if len(values) > 1:
            self._least = 1  # of values fewer events may have enough
        self._evidence.bytes += len(lines) if type(lines) is bytes else size_of(lines)

    def _drop(self, hits: Iterable[Hit]) -> None:
        self._evidence.bytes -= sum(size_of(hit.lines) for hit in hits)

    def forget(self) -> int:
        """Forget every group; return how many events they had."""
        held = [hit for each in self.groups.values() for hit in _hits_of(each)]
        self._drop(held)
        self.groups.clear()
        return len(held)

    def dump(self) -> Iterator[list[Any]]:
        """Give each group as plain values, the one longest without an event first."""
        for key, held in self.groups.items():
            group = held if isinstance(held, Group) else Group(key, [held])
            said = [[item.time, item.id, item.placed] for item in group.said or ()]
            yield [self.number, key, group.fired, group.settled, said, [plain(hit) for hit in group.hits]]

    def load(self, fired: int, settled: int, key: Key, said: list[Said], hits: list[Hit]) -> None:
        """Take a group as it was given."""
        for hit in hits:
            self._keep(hit)
        if len(hits) == 1 and self._least > 1 and (fired, settled, said) == (BEFORE_ALL, 0, []):
            self._hold_alone(key, hits[0])
            return
        group = self.groups[key] = Group(key, hits)
        group.fired, group.settled, group.said = fired, settled, said or None
        self._sleepers.wake(group, BEFORE_ALL)


def _hits_of(held: Group | Hit) -> Sequence[Hit]:
    return held.hits if isinstance(held, Group) else (held,)

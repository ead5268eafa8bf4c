"""What a correlation measures: the hits of a window enter, a number leaves that its condition is asked about.

A window that slides keeps its measure up to date hit by hit; one that is looked at once, at its end, is measured whole.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

from detectors.correlations.hits import Hit
from detectors.sigma import Correlation
from detectors.sigma.correlation import (
    EVENT_COUNT,
    TEMPORAL,
    TEMPORAL_ORDERED,
    VALUE_AVG,
    VALUE_COUNT,
    VALUE_MEDIAN,
    VALUE_SUM,
    Number,
)


class Window:
    """The hits from `lo` to before `hi` of a sorted list, counted."""

    __slots__ = ("hi", "lo")

    def __init__(self, start: int) -> None:
        self.lo = self.hi = start

    def move(self, hits: Sequence[Hit], hi: int, start: int) -> None:
        """Take in the hits up to before `hi`, leave out those before the time `start`; one at least stays."""
        self.hi = hi
        self.lo = bisect_left(hits, (start,), self.lo, hi)

    def insert(self, hit: Hit, place: int) -> None:
        """A hit was put into the list at `place`, before others; what was left out already stays out."""
        if place < self.hi:
            self.hi += 1
            if place < self.lo:
                self.lo += 1

    def forget(self, hits: Sequence[Hit], first: int) -> None:
        """The hits before `first` are about to be deleted from the list."""
        self.lo = max(self.lo - first, 0)
        self.hi = max(self.hi - first, 0)

    def measured(self, hits: Sequence[Hit]) -> Number:
        """What is measured of the hits in the window."""
        return self.hi - self.lo


class _Kept(Window):
    """What is measured is kept up to date with each hit that comes and goes."""

    __slots__ = ()

    def move(self, hits: Sequence[Hit], hi: int, start: int) -> None:
        lo = self.lo
        self._add(hits[self.hi : hi])
        super().move(hits, hi, start)
        self._remove(hits[lo : self.lo])

    def insert(self, hit: Hit, place: int) -> None:
        if self.lo <= place < self.hi:
            self._add((hit,))
        super().insert(hit, place)

    def forget(self, hits: Sequence[Hit], first: int) -> None:
        self._remove(hits[self.lo : min(first, self.hi)])
        super().forget(hits, first)

    def _add(self, hits: Sequence[Hit]) -> None:
        raise NotImplementedError

    def _remove(self, hits: Sequence[Hit]) -> None:
        raise NotImplementedError


class _Distinct(_Kept):
    """How many values there are."""

    __slots__ = ("_seen",)

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._seen: dict[object, int] = {}

    def _things(self, hit: Hit) -> Sequence[object]:
        return hit.values

    def _add(self, hits: Sequence[Hit]) -> None:
        seen = self._seen
        for hit in hits:
            for thing in self._things(hit):
                seen[thing] = seen.get(thing, 0) + 1

    def _remove(self, hits: Sequence[Hit]) -> None:
        seen = self._seen
        for hit in hits:
            for thing in self._things(hit):
                if seen[thing] == 1:
                    del seen[thing]
                else:
                    seen[thing] -= 1

    def measured(self, hits: Sequence[Hit]) -> Number:
        return len(self._seen)


class _Parts(_Distinct):
    """How many of the rules were matched."""

    __slots__ = ()

    def _things(self, hit: Hit) -> Sequence[object]:
        return (hit.part,)


class _Ordered(_Parts):
    """How many of the rules were matched one after the other in the order in which they are named."""

    __slots__ = ()

    def measured(self, hits: Sequence[Hit]) -> Number:
        if len(self._seen) < 2:
            return len(self._seen)
        return _longest_chain(hits[self.lo : self.hi])


class _Sum(_Kept):
    """The sum of the numbers."""

    __slots__ = ("_sum",)

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._sum: Number = 0

    def _add(self, hits: Sequence[Hit]) -> None:
        self._sum += sum(map(_total, hits))

    def _remove(self, hits: Sequence[Hit]) -> None:
        self._sum -= sum(map(_total, hits))

    def measured(self, hits: Sequence[Hit]) -> Number:
        return self._sum


_WINDOWS: dict[str, type[Window]] = {
    EVENT_COUNT: Window,
    VALUE_COUNT: _Distinct,
    TEMPORAL: _Parts,
    TEMPORAL_ORDERED: _Ordered,
    VALUE_SUM: _Sum,
}


def window_of(correlation: Correlation, start: int) -> Window:
    """An empty window of a correlation that slides."""
    return _WINDOWS[correlation.type](start)


def measures_of(correlation: Correlation, hits: Sequence[Hit]) -> Iterator[tuple[Number, Sequence[Hit]]]:
    """What is measured of whole windows, each with its hits: one number, or the share of each value in percent."""
    kind = correlation.type
    if kind in _WINDOWS:
        window = window_of(correlation, 0)
        window.move(hits, len(hits), hits[0].time)
        yield window.measured(hits), hits
        return
    if kind not in (VALUE_AVG, VALUE_MEDIAN) and correlation.condition.percentile is None:
        yield from _shares(hits)
        return
    numbers = sorted(value for hit in hits for value in hit.values if not isinstance(value, tuple))
    if kind == VALUE_AVG:
        yield Fraction(sum(numbers), len(numbers)), hits
    elif kind == VALUE_MEDIAN:
        middle = len(numbers) // 2
        yield Fraction(numbers[middle] + numbers[(len(numbers) - 1) // 2], 2), hits
    else:
        share = (correlation.condition.percentile or 0) / 100
        yield numbers[max(math.ceil(share * len(numbers)), 1) - 1], hits  # the nearest rank: a value that was there


def _shares(hits: Sequence[Hit]) -> Iterator[tuple[Number, Sequence[Hit]]]:
    counts = Counter(value for hit in hits for value in hit.values)
    for value, times in sorted(counts.items(), key=lambda pair: (pair[1], str(pair[0]))):
        yield Fraction(100 * times, counts.total()), [hit for hit in hits if value in hit.values]


def _total(hit: Hit) -> Number:
    return sum(value for value in hit.values if not isinstance(value, tuple))


def _longest_chain(hits: Sequence[Hit]) -> int:
    """The most rules that follow each other in the order of their numbers; what has one time follows either way."""
    longest: dict[int, int] = {}
    for _, part in sorted((hit.time, hit.part) for hit in hits):
        before = max((length for other, length in longest.items() if other < part), default=0)
        longest[part] = max(longest.get(part, 0), before + 1)
    return max(longest.values())

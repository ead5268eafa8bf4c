"""Which groups to look at when: a group and a time enter, the groups that are due leave."""

from collections.abc import Iterator
from heapq import heappop, heappush
from operator import attrgetter
from typing import Generic, TypeVar

from detectors.correlations.bounds import AFTER_ALL
from detectors.correlations.group import Group

T = TypeVar("T")

#: Entries that may be out of date before it is looked at.
_FEW = 1_000
_wake = attrgetter("wake")


class Steps(Generic[T]):
    """Things by steps of time: what moves the watermark by whole steps ends whole steps."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries = 0
        self._things: dict[int, list[T]] = {}
        self._order: list[int] = []  # a heap

    def put(self, thing: T, due: int) -> None:
        """Give it back when the watermark has passed this time, in microseconds."""
        step = due // self.size
        things = self._things.get(step)
        if things is None:
            self._things[step] = [thing]
            heappush(self._order, step)
        else:
            things.append(thing)
        self.entries += 1

    def passed(self, watermark: int) -> Iterator[tuple[int, list[T]]]:
        """Yield the steps that are over, each with its things."""
        while self._order and self._order[0] * self.size < watermark:
            step = heappop(self._order)
            things = self._things.pop(step)
            self.entries -= len(things)
            yield step, things

    def outdated(self, things: int) -> bool:
        """Whether most of it must be out of date where there are so many things; then everything is taken out."""
        if self.entries <= 2 * things + _FEW:
            return False
        self._things.clear()
        self._order.clear()
        self.entries = 0
        return True


class Sleepers(Steps[Group]):
    """Groups by when to look at them again.

    A group has an entry where its `wake` says; one that it has elsewhere is out of date.
    """

    def wake(self, group: Group, due: int) -> None:
        """Look at the group when the watermark has passed this time, in microseconds."""
        before, group.wake = group.wake, due
        if due // self.size != before // self.size:
            self.put(group, due)

    def awake(self, watermark: int) -> Iterator[Group]:
        """Yield the groups that are due, by their times in every step."""
        for step, groups in self.passed(watermark):
            for group in sorted(groups, key=_wake):
                if group.wake // self.size == step:
                    group.wake = AFTER_ALL
                    yield group

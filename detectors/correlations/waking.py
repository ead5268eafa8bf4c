"""Which groups to look at when: a group and a time enter, the groups that are due leave."""

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from operator import attrgetter

from detectors.correlations.bounds import AFTER_ALL
from detectors.correlations.group import Group
from detectors.sigma.correlation import Key

#: Entries of groups that may be out of date before it is looked at.
_FEW = 1_000
_wake = attrgetter("wake")


class Sleepers:
    """Groups by when to look at them again, in steps of time: what moves the watermark by whole steps ends whole steps.

    A group has an entry where its `wake` says; one that it has elsewhere is out of date.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._by_step: dict[int, list[Group]] = {}
        self._steps: list[int] = []  # a heap
        self._entries = 0

    def put(self, group: Group, due: int) -> None:
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

    def awake(self, watermark: int) -> Iterator[Group]:
        """Yield the groups that are due, by their times in every step."""
        while self._steps and self._steps[0] * self._step < watermark:
            step = heappop(self._steps)
            sleeping = self._by_step.pop(step)
            self._entries -= len(sleeping)
            for group in sorted(sleeping, key=_wake):
                if group.wake // self._step == step:
                    group.wake = AFTER_ALL
                    yield group

    def tidy(self, groups: Mapping[Key, Group]) -> None:
        """Leave out what is out of date where that is most of it; these are the groups that there are."""
        if self._entries <= 2 * len(groups) + _FEW:
            return
        self._by_step.clear()
        self._steps.clear()
        self._entries = 0
        for group in groups.values():
            due, group.wake = group.wake, AFTER_ALL
            self.put(group, due)

"""One group of a correlation: its events, what was raised of them, and when to look at it again."""

from typing import NamedTuple

from detectors.alerts import Burst
from detectors.correlations.bounds import AFTER_ALL, BEFORE_ALL
from detectors.correlations.hits import Hit
from detectors.correlations.measures import Window
from detectors.sigma.correlation import Key


class Said(NamedTuple):
    """An alert that was raised early: when its window ends, its id, and the groups of other correlations it went to."""

    time: int
    id: str
    placed: tuple[tuple[int, int, Key], ...]  # (correlation, part, group)


class Group:
    """The events of one group, sorted; those before `settled` were evaluated in order.

    `fired` is the end of the window of the last alert. `ordered` and `known` are the windows that end at the last
    settled and at the last known event; they are made when there are enough events for an alert.
    """

    __slots__ = ("fired", "hits", "key", "known", "ordered", "said", "settled", "wake")

    def __init__(self, key: Key, hits: list[Hit]) -> None:
        self.key = key
        self.hits = hits
        self.settled = 0
        self.fired = BEFORE_ALL
        self.said: list[Said] | None = None
        self.ordered: Window | None = None
        self.known: Window | None = None
        self.wake = AFTER_ALL

    def taken(self, burst: Burst) -> Said | None:
        """Take out what was said early of this burst."""
        said = self.said or []
        span = burst.rule.span
        for place, item in enumerate(said):
            if burst.time <= item.time <= burst.time + span:
                self.said = said[place + 1 :] or None
                return item
        return None

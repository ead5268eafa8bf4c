"""How far time has come: what was read last of each lane enters, the watermark leaves."""

from detectors.correlations.bounds import AFTER_ALL, BEFORE_ALL
from detectors.correlations.groups import Groups


class Scope:
    """Events that share one clock: those of a site as they happen, or those of an import."""

    def __init__(self, groups: list[Groups], lateness: int | None, step: int) -> None:
        self.groups = groups
        self.by_depth = sorted(groups, key=lambda each: each.rule.depth)
        self.lateness = lateness
        self.step = step
        self.watermark = BEFORE_ALL
        self.lanes: dict[str, int] = {}
        self.heard = BEFORE_ALL
        #: No lane moves the watermark before this time.
        self.moves_at = BEFORE_ALL if lateness is not None else AFTER_ALL

    def moved(self, lane: str, time: int) -> int | None:
        """The new watermark, where this time of a lane moves it."""
        if time > self.lanes.get(lane, BEFORE_ALL):
            self.lanes[lane] = time
        if self.lateness is None:
            return None
        watermark = (min(self.lanes.values()) - self.lateness) // self.step * self.step
        self.moves_at = max(watermark, self.watermark) + self.step + self.lateness
        return watermark if watermark > self.watermark else None

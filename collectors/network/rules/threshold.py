"""Hits of rules enter, those that are told leave: `threshold`, `detection_filter`, `xbits`, in the packets' time.

Source: https://docs.suricata.io/en/latest/rules/thresholding.html.
"""

from collections import OrderedDict

from collectors.network.flows import SECOND
from collectors.network.rules.rule import Bit, PacketRule, Threshold

#: Counters, and marks on addresses, that are held; of more, the one longest unused goes.
MAX_COUNTERS = 100_000
_Key = tuple[object, ...]


class Thresholds:
    """The counters of all rules. `evicted` is how many had to go before their time."""

    def __init__(self, most: int = MAX_COUNTERS) -> None:
        self.evicted = 0
        self._most = most
        #: When a counter began, how many came since, and when the last did.
        self._counters: OrderedDict[_Key, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counters)

    def passes(self, rule: PacketRule, source: bytes, destination: bytes, time: int) -> bool:
        """Whether a hit is told: every threshold of the rule must say so."""
        said = [
            self._passes(each, (rule.gid, rule.sid, number, *tracked(each.track, source, destination)), time)
            for number, each in enumerate(rule.thresholds)
        ]  # each counts, whatever the others say
        return all(said)

    def _passes(self, threshold: Threshold, key: _Key, time: int) -> bool:
        began, count = self._counters.get(key, (time, 0))
        if time - began >= threshold.seconds * SECOND or time < began - threshold.seconds * SECOND:
            began, count = time, 0
        count += 1
        told = {
            "limit": count <= threshold.times, "both": count == threshold.times,
            "threshold": count == threshold.times, "detection_filter": count > threshold.times,
        }[threshold.kind]  # fmt: skip
        if threshold.kind == "threshold" and told:
            count = 0
        self._counters[key] = began, count
        self._counters.move_to_end(key)
        if len(self._counters) > self._most:
            self._counters.popitem(last=False)
            self.evicted += 1
        return told


class Marks:
    """Marks on addresses that end by themselves (`xbits`)."""

    def __init__(self, most: int = MAX_COUNTERS) -> None:
        self.evicted = 0
        self._most = most
        self._until: OrderedDict[_Key, int] = OrderedDict()

    def has(self, bit: Bit, source: bytes, destination: bytes, time: int) -> bool:
        """Whether one of the names is there."""
        where = tracked(bit.track, source, destination)
        return any(self._until.get((name, *where), -1) >= time for name in bit.names)

    def mark(self, bit: Bit, source: bytes, destination: bytes, time: int) -> None:
        """Set, unset or toggle it."""
        where = tracked(bit.track, source, destination)
        for name in bit.names:
            key = (name, *where)
            there = self._until.pop(key, -1) >= time
            if bit.action == "set" or (bit.action == "toggle" and not there):
                self._until[key] = time + bit.seconds * SECOND
                if len(self._until) > self._most:
                    self._until.popitem(last=False)
                    self.evicted += 1


def tracked(track: str, source: bytes, destination: bytes) -> tuple[bytes, ...]:
    """Return what is counted by."""
    return {"by_src": (source,), "by_dst": (destination,), "by_both": (source, destination)}.get(track, ())

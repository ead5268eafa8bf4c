"""Flows of one direction enter, connections leave: each waits a little for its other direction.

An exporter ends both directions of a connection at about the same time, so a few seconds find nearly all. What finds
none leaves alone. Held is a bounded number; the oldest leaves first.
"""

from collections import OrderedDict

from collectors.netflow.flows import Flow

#: Flows that wait at the most, of all exporters of a source.
MOST_HELD = 20_000

Key = tuple[str, int, int, tuple[str, int], tuple[str, int]]
Pair = tuple[Flow, Flow | None]


class Pairing:
    """The flows that wait. `seconds` 0: none does."""

    def __init__(self, seconds: float, most: int = MOST_HELD) -> None:
        self._seconds, self._most = seconds, most
        self._held: OrderedDict[Key, tuple[float, Flow]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, exporter: str, domain: int, flow: Flow, now: float) -> list[Pair]:
        """Take a flow; return what is complete by it."""
        if not self._seconds or flow.both:
            return [(flow, None)]
        ends = [(side.address, side.port) for side in flow.sides]
        key = (exporter, domain, flow.protocol, min(ends), max(ends))
        known = self._held.pop(key, None)
        if known is not None and known[1].sides[0].address != flow.sides[0].address:
            return [(known[1], flow)]
        done: list[Pair] = [] if known is None else [(known[1], None)]
        self._held[key] = (now + self._seconds, flow)
        if len(self._held) > self._most:
            done.append((self._held.popitem(last=False)[1][1], None))
        return done

    def ripe(self, now: float) -> list[Pair]:
        """Return those that have waited long enough."""
        done: list[Pair] = []
        while self._held:
            key, (until, flow) = next(iter(self._held.items()))
            if until > now:
                break
            del self._held[key]
            done.append((flow, None))
        return done

    def all(self) -> list[Pair]:
        """Return all that wait: nothing more comes."""
        return self.ripe(float("inf"))

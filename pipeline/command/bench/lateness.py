"""When things were sent and when they were seen enter, how late 99 of 100 were leaves."""

from bisect import bisect_left
from collections.abc import Sequence

Counts = Sequence[tuple[float, int]]


def late_seconds(sent: Counts, seen: Counts, share: float = 0.99) -> float:
    """Return how long it took until an event was seen, for `share` of the events, in seconds.

    Both are (moment, how many so far): event number k was sent at the first moment with k or more sent (its batch's
    start is not later), and seen at the first moment with k or more seen. One that was never seen counts as endless.
    """
    if not sent:
        return float("nan")
    seen_counts = [count for _, count in seen]
    delays: list[tuple[float, int]] = []
    before = 0
    for moment, count in sent:
        place = bisect_left(seen_counts, count)
        late = seen[place][0] - moment if place < len(seen) else float("inf")
        delays.append((late, count - before))
        before = count
    delays.sort()
    wanted, passed = share * before, 0
    for late, events in delays:
        passed += events
        if passed >= wanted:
            return round(late, 3)
    return float("inf")

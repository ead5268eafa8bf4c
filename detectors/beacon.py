"""Beacons: connections from a host of ours to outside enter, alerts on pairs that talk by the clock leave.

The score is that of RITA v5 (Active Countermeasures, https://github.com/activecm/rita, analysis/beacons.go): a quarter
each for regular intervals and regular sizes (Bowley's skewness and the median absolute deviation), an even histogram of
24 bars over a day (coefficient of variation, or one or two heights), and how much of the day it goes on. A destination
is the TLS server name where one was seen, else the address. Every pair is scored once an hour over its last 24 hours.

That takes most of a day. So a new pair is looked at as soon as it has been even for some minutes, by the first three
scores over its own time (our own addition): an alert of level low, days before RITA's where a beacon is slow.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from detectors.behaviour import DAY, HOUR, SECOND, About, Behaviour, Keys, Seen, alert, text, whole
from pipeline.event import Event
from pipeline.networks import LOCAL, OUTSIDE, Site
from pipeline.settings import Behaviours

BEACON = About(
    "beacon", "medium", ("attack.command-and-control", "attack.t1071", "attack.t1573"),
    ("https://github.com/activecm/rita",),
)  # fmt: skip
EARLY = About("regular_contacts", "low", BEACON.tags, BEACON.references)

#: Bars of the histogram, and seconds of the time that it covers.
_BARS, _RANGE = 24, 86_400
#: Bars of about one height: within this share of the highest (RITA: histogram mode sensitivity).
_SAME_HEIGHT = 0.05
#: Bars that may be of a third height, and bars that there must be before two heights are looked for.
_OUTLIERS, _BIMODAL_BARS = 1, 11
#: Bars that there must be before the duration counts, and bars in a row that are all that is asked for.
_DURATION_BARS, _IDEAL_RUN = 6, 12
#: Quartiles closer to each other than this say nothing of skewness.
_LEAST_SPREAD = 10
#: Connections of a pair of which time and size are kept: the last of a day. The histogram has all of them.
_MOST_POINTS = 1000
#: Such points of all pairs together, 8 bytes each.
_ALL_POINTS = 4_000_000
#: More connections in a day are no beacon (RITA: a strobe).
_STROBE = 86_400
#: Time servers and resolvers are asked by the clock; tunnels through the latter are for `dns_tunnel.py`.
_CLOCKED = frozenset((("udp", 53), ("tcp", 53), ("udp", 123), ("udp", 5353)))
_CLOCKED_PROTOCOLS = frozenset(("dns", "ntp"))
#: What a packet to a time server is at most, in bytes with headers; a larger one is no such question.
_NTP_PACKET = 100


class Scores(NamedTuple):
    """The four scores, each from 0 to 1."""

    intervals: float
    sizes: float
    histogram: float
    duration: float

    @property
    def total(self) -> float:
        """A quarter of each, to three decimals."""
        return _three(sum(self) / 4)


def _three(value: float) -> float:
    return math.floor(value * 1000 + 0.5) / 1000


def median(ordered: Sequence[float]) -> float:
    """The median of sorted numbers."""
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def skewness(ordered: Sequence[float]) -> float:
    """Bowley's skewness of at least three sorted numbers: quartiles are medians of the halves, without the middle."""
    half = len(ordered) // 2
    low, middle, high = median(ordered[:half]), median(ordered), median(ordered[-half:])
    if high - low < _LEAST_SPREAD or middle in (low, high):
        return 0.0
    return (low + high - 2 * middle) / (high - low)


def deviation(ordered: Sequence[float]) -> float:
    """The median absolute deviation about the median."""
    middle = median(ordered)
    return median(sorted(abs(value - middle) for value in ordered))


def evenness(ordered: Sequence[float], of_nothing: float) -> float:
    """How alike sorted numbers are: half by their skewness, half by their deviation, as a share of the median.

    `of_nothing` stands for the second half where the median is below 1.
    """
    middle = median(ordered)
    share = max((middle - deviation(ordered)) / middle, 0.0) if middle >= 1 else of_nothing
    return _three((1 - abs(skewness(ordered)) + share) / 2)


def interval_score(times: Sequence[int]) -> float:
    """The score of sorted times in seconds; those of one second count once."""
    gaps = sorted(later - earlier for earlier, later in pairwise(times) if later > earlier)
    return evenness(gaps, 1.0) if len(gaps) >= 3 else 0.0


def size_score(sizes: Sequence[int]) -> float:
    """The score of sizes in bytes."""
    return evenness(sorted(sizes), 0.0) if len(sizes) >= 3 else 0.0


def bars(times: Iterable[int], start: int, end: int, count: int = _BARS) -> list[int]:
    """The histogram of times from `start` to `end`; the last bar takes its end, too."""
    found = [0] * count
    for time in times:
        found[min(int((time - start) * count / (end - start)), count - 1)] += 1
    return found


def histogram_score(heights: Sequence[int], bimodal_bars: int = _BIMODAL_BARS) -> float:
    """The score of a histogram: how even it is, or how well one or two heights describe it."""
    mean = sum(heights) / len(heights)
    if not mean:
        return 0.0
    spread = math.sqrt(sum((height - mean) ** 2 for height in heights) / len(heights)) / mean
    even = _three(1 - spread) if spread <= 1 else 0.0
    filled = [height for height in heights if height]
    if len(filled) < bimodal_bars:
        return even
    step = math.ceil(max(filled) * _SAME_HEIGHT)
    two = sum(number for _, number in Counter(height // step for height in filled).most_common(2))
    return max(even, min(_three(two / max(len(filled) - _OUTLIERS, 1)), 1.0))


def longest_run(heights: Sequence[int]) -> int:
    """The most bars in a row that are not empty, over the end into the start."""
    longest = run = 0
    for height in (*heights, *heights):
        run = run + 1 if height else 0
        longest = max(longest, run)
    return min(longest, len(heights))


def duration_score(heights: Sequence[int], first: int, last: int, start: int, end: int) -> float:
    """The score of how much of the time from `start` to `end` is covered, or how long it goes on without a gap."""
    if sum(1 for height in heights if height) < _DURATION_BARS:
        return 0.0
    covered = math.ceil((last - first) / (end - start) * 1000) / 1000
    in_a_row = math.ceil(longest_run(heights) / _IDEAL_RUN * 1000) / 1000
    return min(max(covered, in_a_row), 1.0)


class Pair:
    """Connections of a pair: their seconds and bytes, sorted by time; `hours` is how many there were in which hour."""

    __slots__ = ("hours", "looked", "sizes", "times")

    def __init__(self, plain: tuple[int, list[int], list[int], list[list[int]]] = (0, [], [], [])) -> None:
        self.looked = plain[0]
        self.times = array("I", plain[1])
        self.sizes = array("I", plain[2])
        self.hours: dict[int, int] = {}
        self.hours.update((hour, number) for hour, number in plain[3])

    def add(self, second: int, size: int) -> int:
        """Put a connection in its place; return how many points more are held."""
        times, sizes = self.times, self.sizes
        place = len(times)
        while place and (times[place - 1], sizes[place - 1]) > (second, size):
            place -= 1
        times.insert(place, second)
        sizes.insert(place, size)
        self.hours[second // 3600] = self.hours.get(second // 3600, 0) + 1
        if len(times) <= _MOST_POINTS:
            return 1
        del times[0], sizes[0]
        return 0

    def forget(self, start: int) -> int:
        """Forget what was before this second; return how many points that were."""
        gone = 0
        while gone < len(self.times) and self.times[gone] < start:
            gone += 1
        del self.times[:gone], self.sizes[:gone]
        for hour in [hour for hour in self.hours if (hour + 1) * 3600 <= start]:
            del self.hours[hour]
        return gone

    def scores(self, start: int, end: int) -> Scores:
        """Return the scores over this time, in seconds."""
        times = self.times
        kept = self.hours
        if sum(kept.values()) > len(times):  # of the others only the hour is known
            heights = [0] * _BARS
            for hour, number in kept.items():
                heights[min(max(int((hour * 3600 - start) * _BARS / (end - start)), 0), _BARS - 1)] += number
            first = min(kept) * 3600
        else:
            heights, first = bars(times, start, end), times[0]
        return Scores(
            interval_score(times), size_score(self.sizes), histogram_score(heights),
            duration_score(heights, max(first, start), times[-1], start, end),
        )  # fmt: skip

    def plain(self) -> tuple[int, list[int], list[int], list[list[int]]]:
        """Give it as JSON can write it."""
        return self.looked, self.times.tolist(), self.sizes.tolist(), [list(item) for item in self.hours.items()]


class Beacon(Behaviour):
    """Beacons."""

    name = "beacon"
    kinds = frozenset(("flow", "tls"))
    latest = math.inf

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._score = settings.beacon.score
        self._least = settings.beacon.connections
        self._early = settings.beacon
        self.told.age = DAY
        self._pairs: Keys[Pair] = Keys(self.most, DAY, Pair, Pair.plain)
        self._names: Keys[str] = Keys(self.most, HOUR, str)
        self.tables |= {"pairs": self._pairs, "names": self._names}
        self._points = 0

    def take(self, seen: Seen) -> Iterable[Event]:
        if seen.kind == "tls":
            flow, server = text(seen.event, "flow.id"), text(seen.event, "tls.client.server_name").lower()
            if flow and server:
                self._names.set(flow, server, seen.time)
            return ()
        if not self._is_of_interest(seen):
            return ()
        flow = text(seen.event, "flow.id")
        destination = (self._names.look(flow, seen.time) if flow else None) or seen.destination
        self._names.drop(flow)
        key = (seen.source, destination, seen.port, seen.transport)
        pair = self._pairs.touch(key, seen.time)
        sent = whole(seen.event, "source.bytes")
        self._points += pair.add(min(max(seen.start // SECOND, 0), 2**32 - 1), min(max(sent, 0), 2**32 - 1))
        if self._points > _ALL_POINTS:
            self._make_room()
        if not pair.looked:
            pair.looked = seen.time
        if seen.time < pair.looked + HOUR:
            return self._look_early(key, pair, seen)
        pair.looked = seen.time
        return self._look(key, pair, seen)

    def _is_of_interest(self, seen: Seen) -> bool:
        if self.site.where(seen.source) != LOCAL or self.site.where(seen.destination) != OUTSIDE or not seen.ended:
            return False
        if seen.transport not in ("tcp", "udp") or text(seen.event, "event.outcome") == "failure" or seen.refused:
            return False
        if (seen.transport, seen.port) not in _CLOCKED and seen.protocol not in _CLOCKED_PROTOCOLS:
            return True
        if seen.port != 123 and seen.protocol != "ntp":
            return False
        packets, sent = whole(seen.event, "source.packets"), whole(seen.event, "source.bytes")
        return packets > 0 and sent > packets * _NTP_PACKET

    def _look(self, key: tuple[Any, ...], pair: Pair, seen: Seen) -> Iterable[Event]:
        end = seen.time // SECOND
        start = end - _RANGE
        self._points -= pair.forget(start)
        total = sum(pair.hours.values())
        if total < self._least or total > _STROBE or len(pair.times) < 4:
            return
        scores = pair.scores(start, end + 1)
        if scores.total < self._score or not self.is_news(key, seen.time):
            return
        level = "high" if scores.total >= 1 else ""
        values = {"score": round(scores.total * 100, 1), "duration": round(scores.duration * 100, 1)}
        yield _told(BEACON, seen, key, pair, scores, values, level, total)

    def _look_early(self, key: tuple[Any, ...], pair: Pair, seen: Seen) -> Iterable[Event]:
        """Look at a pair for as long as it is young, each time that it has so many connections more."""
        times, early = pair.times, self._early
        if len(times) % early.early_connections or len(times) >= _MOST_POINTS:
            return
        span = times[-1] - times[0]
        if span < early.early_minutes * 60:
            return
        heights = bars(times, times[0], times[-1] + 1)
        scores = Scores(interval_score(times), size_score(pair.sizes), histogram_score(heights), 0.0)
        score = _three(sum(scores) / 3)
        if score < early.early_score or not self.is_news((*key, "early"), seen.time):
            return
        values = {"score": round(score * 100, 1), "minutes": round(span / 60, 1)}
        yield _told(EARLY, seen, key, pair, scores, values, "", len(times))

    def _make_room(self) -> None:
        oldest = self._pairs.drop_oldest()
        if oldest is not None:
            self._points -= len(oldest.times)

    def load(self, rows: Iterable[list[Any]]) -> None:
        super().load(rows)
        self._points = sum(len(pair.times) for _, pair in self._pairs.items())


def _told(
    rule: About,
    seen: Seen,
    key: tuple[Any, ...],
    pair: Pair,
    scores: Scores,
    more: dict[str, Any],
    level: str,
    count: int,
) -> Event:
    source, destination, port, transport = key
    gaps = sorted(later - earlier for earlier, later in pairwise(pair.times) if later > earlier)
    values = {
        "source": source, "destination": destination, "port": f"{port}/{transport}", "count": count,
        "interval": float(median(gaps)), "jitter": float(deviation(gaps)),
        "intervals": round(scores.intervals * 100, 1), "sizes": round(scores.sizes * 100, 1),
        "histogram": round(scores.histogram * 100, 1), **more,
    }  # fmt: skip
    entities = {
        "source.ip": source, "destination.ip": seen.destination, "destination.port": port,
        "destination.domain": destination if destination != seen.destination else "",
    }  # fmt: skip
    return alert(rule, seen, key, entities, values, level=level, count=count)

"""Exfiltration: connections from a host of ours to outside enter, alerts on unusually much that leaves leave.

What a host sends to one address outside in a clock hour, and in one connection, is held to a bound (those of Slips,
https://github.com/stratosphereips/StratosphereLinuxIPS) *and* to the host's own hours: the robust z score 0.6745 (x -
median) / MAD (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993). A host that is not known for a day yet
is told all the same, in a lower level.
"""

import math
from collections.abc import Iterable
from typing import Any

from detectors.beacon import deviation, median
from detectors.behaviour import DAY, HOUR, About, Behaviour, Seen, alert, lists, numbers, text, whole
from pipeline.event import Event
from pipeline.networks import LOCAL, OUTSIDE, Site
from pipeline.settings import Behaviours

EXFILTRATION = About("exfiltration", "high", ("attack.exfiltration", "attack.t1048", "attack.t1041"))

_MEGABYTE = 1_000_000
#: Hours of a host that are kept, and from how many on it is known.
_MOST_HOURS, _KNOWN_HOURS = 168, 24
#: A deviation below this many bytes is none: else the quietest host is told of first.
_LEAST_DEVIATION = 1_000_000
_ROBUST = 0.6745


class Exfiltration(Behaviour):
    """Exfiltration."""

    name = "exfiltration"
    kinds = frozenset(("flow",))
    latest = math.inf

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.exfiltration
        self._hour, self._flow = chosen.hour_mb * _MEGABYTE, chosen.flow_mb * _MEGABYTE
        self._deviation = chosen.deviation
        self._sent = lists(self.most, 2 * HOUR)  # of source and destination: hour, bytes
        self._hosts = lists(self.most, 7 * DAY)  # of a source: the hour, its bytes, and those of the hours before
        self._flows = numbers(self.most, DAY)  # of a connection that goes on: bytes told of so far
        self.tables |= {"sent": self._sent, "hosts": self._hosts, "flows": self._flows}

    def take(self, seen: Seen) -> Iterable[Event]:
        total = whole(seen.event, "source.bytes")
        if total <= 0 or self.site.where(seen.source) != LOCAL or self.site.where(seen.destination) != OUTSIDE:
            return
        hour = seen.time // HOUR
        more = self._more(seen, total)
        host = self._hosts.touch(seen.source, seen.time)
        _count(host, hour, more)
        pair = self._sent.touch((seen.source, seen.destination), seen.time)
        if not pair or pair[0] != hour:
            pair[:] = [hour, 0]
        pair[1] += more
        much, what = max((pair[1] / self._hour, "hour"), (total / self._flow, "flow"))
        if much < 1 or not self._is_unusual(host):
            return
        if not self.is_news((seen.source, seen.destination), seen.time):
            return
        known = len(host) - 2 >= _KNOWN_HOURS
        values = {
            "source": seen.source, "destination": seen.destination, "megabytes": round(pair[1] / _MEGABYTE, 1),
            "flow": round(total / _MEGABYTE, 1), "usual": _usual(host) if known else "?",
            "z": round(_z(host), 1) if known else "?",
        }  # fmt: skip
        entities = {"source.ip": seen.source, "destination.ip": seen.destination, "destination.port": seen.port}
        key = (seen.source, seen.destination, hour, what)
        yield alert(EXFILTRATION, seen, key, entities, values, level="high" if known else "medium")

    def _more(self, seen: Seen, total: int) -> int:
        """Return the bytes that are new: a connection is told of on the way, too, each time with all of them."""
        flow = text(seen.event, "flow.id")
        if not flow:
            return total
        before = self._flows.look(flow, seen.time) or 0
        if seen.ended:
            self._flows.drop(flow)
        else:
            self._flows.set(flow, max(total, before), seen.time)
        return max(total - before, 0)

    def _is_unusual(self, host: list[Any]) -> bool:
        return len(host) - 2 < _KNOWN_HOURS or _z(host) >= self._deviation


def _count(host: list[Any], hour: int, more: int) -> None:
    """Add bytes to a host's hour; hours without any count as 0."""
    if not host:
        host[:] = [hour, 0]
    if hour > host[0]:
        past = [host[1], *[0] * min(hour - host[0] - 1, _MOST_HOURS)]
        host[:] = [hour, 0, *(host[2:] + past)[-_MOST_HOURS:]]
    host[1] += more


def _usual(host: list[Any]) -> float:
    return round(median(sorted(host[2:])) / _MEGABYTE, 1)


def _z(host: list[Any]) -> float:
    before = sorted(host[2:])
    return float(_ROBUST * (host[1] - median(before)) / max(deviation(before), _LEAST_DEVIATION))

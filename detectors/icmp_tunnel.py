"""ICMP tunnels: echoes enter, alerts on pairs that exchange many of changing sizes or contents leave.

A ping carries 32 or 56 bytes, always the same. The thresholds are our own.
"""

from collections.abc import Iterable

from detectors.behaviour import MINUTE, About, Behaviour, Seen, alert, recents, whole
from pipeline.event import Event
from pipeline.networks import NOWHERE, Site
from pipeline.settings import Behaviours

ICMP_TUNNEL = About(
    "icmp_tunnel", "medium", ("attack.command-and-control", "attack.t1095", "attack.exfiltration", "attack.t1048.003")
)

#: Echo request and answer, of ICMP and ICMPv6.
_ECHOES = frozenset((0, 8, 128, 129))
#: Different sizes from which echoes are no ping; one that tries out the way's MTU has some.
_SIZES = 3
#: The share of echoes with other contents than the one before from which they are none.
_CHANGING = 0.5


class IcmpTunnel(Behaviour):
    """ICMP tunnels."""

    name = "icmp_tunnel"
    kinds = frozenset(("icmp",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._echoes, self._payload = settings.icmp_tunnel.echoes, settings.icmp_tunnel.payload
        self._windows = recents(self.most, MINUTE)
        self.tables |= {"windows": self._windows}

    def take(self, seen: Seen) -> Iterable[Event]:
        size = whole(seen.event, "icmp.bytes")
        changes = seen.event.get("icmp.changes") is True
        if whole(seen.event, "icmp.type") not in _ECHOES or not (size > self._payload or changes):
            return
        if NOWHERE in (self.site.where(seen.source), self.site.where(seen.destination)):
            return
        key = tuple(sorted((seen.source, seen.destination)))
        window = self._windows.touch(key, seen.time)
        count = window.add((seen.id, size, changes), seen.time, seen.id, MINUTE, self._echoes)
        if count < self._echoes:
            return
        sizes = {each for _, each, _ in window.values}
        others = sum(is_other for _, _, is_other in window.values)
        if (len(sizes) < _SIZES and others < self._echoes * _CHANGING) or not self.is_news(key, seen.time):
            return
        values = {
            "source": seen.source, "destination": seen.destination, "count": count, "sizes": len(sizes),
            "largest": max(sizes), "changing": others,
        }  # fmt: skip
        entities = {"source.ip": seen.source, "destination.ip": seen.destination}
        yield alert(ICMP_TUNNEL, seen, key, entities, values, window)

"""Long connections: connections from a host of ours to outside enter, alerts on those that last for hours leave.

The hours are those of RITA v5 (1, 4, 8, 12). A sensor that tells of a connection on the way makes the alert early; each
grade of it is told once.
"""

import math
from collections.abc import Iterable

from detectors.behaviour import HOUR, About, Behaviour, Seen, alert, text, whole
from pipeline.event import Event
from pipeline.networks import LOCAL, OUTSIDE, Site
from pipeline.settings import Behaviours

LONG_CONNECTION = About(
    "long_connection", "informational", ("attack.command-and-control", "attack.t1571", "attack.t1572"),
    ("https://github.com/activecm/rita",),
)  # fmt: skip


class LongConnection(Behaviour):
    """Long connections."""

    name = "long_connection"
    kinds = frozenset(("flow",))
    latest = math.inf

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.long_connection
        grades = {
            "informational": chosen.hours_informational, "low": chosen.hours_low, "medium": chosen.hours_medium,
            "high": chosen.hours_high,
        }  # fmt: skip
        self._grades = [(int(hours * HOUR), level) for level, hours in grades.items()]
        self._least = min(lasting for lasting, _ in self._grades)
        self.told.age = max(7 * 24 * HOUR, self.told.age)

    def take(self, seen: Seen) -> Iterable[Event]:
        told = whole(seen.event, "event.duration")  # an event that comes late is not as long as it is late
        lasted = told // 1000 if told >= 0 else seen.time - seen.start
        if lasted < self._least or seen.refused or text(seen.event, "event.outcome") == "failure":
            return
        if self.site.where(seen.source) != LOCAL or self.site.where(seen.destination) != OUTSIDE:
            return
        level = [grade for lasting, grade in self._grades if lasted >= lasting][-1]
        began = (seen.time - lasted) // HOUR if not text(seen.event, "event.start") else seen.start
        key = (seen.source, seen.source_port, seen.destination, seen.port, seen.transport, began)
        if not self.is_news((*key, level), seen.time):
            return
        values = {
            "source": seen.source, "destination": seen.destination, "port": f"{seen.port}/{seen.transport}",
            "hours": round(lasted / HOUR, 1), "sent": _megabytes(seen, "source.bytes"),
            "received": _megabytes(seen, "destination.bytes"),
        }  # fmt: skip
        entities = {
            "source.ip": seen.source, "source.port": seen.source_port, "destination.ip": seen.destination,
            "destination.port": seen.port,
        }  # fmt: skip
        yield alert(LONG_CONNECTION, seen, (*key, level), entities, values, level=level)


def _megabytes(seen: Seen, name: str) -> float:
    return round(max(whole(seen.event, name), 0) / 1e6, 2)

"""Sources that do not work enter, an alert leaves for each that has not for a minute: nobody need look to know it."""

import time
from collections.abc import Sequence

from collectors.listening import Listening
from pipeline.event import Event
from pipeline.own_alerts import own_alert

#: How long a place may fail before it is told, in seconds: a restart of a switch or of a service is over by then.
PATIENCE = 60.0


class Deafness:
    """Which places of which sources fail, and since when; each stretch is told once."""

    def __init__(self, observer: str, patience: float = PATIENCE) -> None:
        self._observer = observer
        self._patience = patience
        self._since: dict[tuple[str, str], tuple[float, float]] = {}  # by the steady clock, and by the wall's
        self._told: set[tuple[str, str]] = set()
        self._due: list[tuple[str, str]] = []

    def alerts(self, sources: Sequence[Listening]) -> list[Event]:
        """Return the alerts that are due now, until they are `told`."""
        failing = {(source.source, place): why for source in sources for place, why in source.failures.items()}
        for gone in self._since.keys() - failing.keys():
            del self._since[gone]
            self._told.discard(gone)
        now, found = time.monotonic(), []
        self._due = []
        for key, why in failing.items():
            began, at = self._since.setdefault(key, (now, time.time()))
            if now - began >= self._patience and key not in self._told:
                self._due.append(key)
                source, place = key
                once = f"{source} {place} {int(at)}"
                reason = f"{place}: {why}"
                found.append(own_alert("collectors.source_failed", source, reason, self._observer, "high", once))
        return found

    def told(self) -> None:
        """Those that were due have been raised."""
        self._told.update(self._due)

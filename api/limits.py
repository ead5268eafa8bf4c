"""How often: requests of a user, or log-ins from an address, enter; how long to wait leaves (a token bucket)."""

import time
from threading import Lock

#: So many names are remembered; then those that have waited longest are forgotten.
_MOST = 10_000
_MINUTE = 60.0


class Limit:
    """So many in a minute for each name, as many at once."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left: dict[str, tuple[float, float]] = {}  # what was left, and when
        self._lock = Lock()

    def take(self, name: str, now: float | None = None) -> float:
        """Return 0, or the seconds after which this name may ask again."""
        now = time.monotonic() if now is None else now
        with self._lock:
            left, then = self._left.pop(name, (self._most, now))
            left = min(self._most, left + (now - then) * self._most / _MINUTE)
            wait = 0.0 if left >= 1 else (1 - left) * _MINUTE / self._most
            self._left[name] = (left - 1 if not wait else left, now)
            if len(self._left) > _MOST:
                self._left.pop(next(iter(self._left)))
        return wait

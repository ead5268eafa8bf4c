"""A watchdog over connections: a time and a connection enter; one that takes longer is cut off."""

import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


class Watchdog(threading.Thread):
    """Cuts connections off that take too long: however slowly the other side sends, a sending ends in time."""

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._condition = threading.Condition()
        self._watched: dict[int, _Watched] = {}
        self._numbers = itertools.count()
        self._stopped = False
        self.start()

    @contextlib.contextmanager
    def within(self, seconds: float, connection: Callable[[], socket.socket | None]) -> Iterator["_Watched"]:
        """Cut off what `connection` returns when the block takes longer; it is then `cut`."""
        number, watched = next(self._numbers), _Watched(time.monotonic() + seconds, connection)
        with self._condition:
            self._watched[number] = watched
            if len(self._watched) == 1 or watched.until < self._next():
                self._condition.notify()
        try:
            yield watched
        finally:
            with self._condition:
                del self._watched[number]

    def stop(self) -> None:
        """Watch no more than what is watched now."""
        with self._condition:
            self._stopped = True
            self._condition.notify()

    def _next(self) -> float:
        return min((each.until for each in self._watched.values()), default=float("inf"))

    def run(self) -> None:
        """Watch, until `stop` and nothing is watched any more."""
        while True:
            with self._condition:
                while (left := self._next() - time.monotonic()) > 0:
                    if self._stopped and not self._watched:
                        return
                    self._condition.wait(min(left, 3600.0) if not self._stopped else min(left, 0.5))
                late = [each for each in self._watched.values() if each.until <= time.monotonic()]
                for each in late:
                    each.cut = True
                    each.until += 1.0  # again and again: it may only connect now, and then wait for something else
            for each in late:
                cut_off(each.connection())


@dataclass(slots=True)
class _Watched:
    until: float
    connection: Callable[[], socket.socket | None]
    cut: bool = False


def cut_off(connection: Any) -> None:
    """End both directions of a connection, also of one that another thread reads from through TLS."""
    if connection is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


def is_open(connection: socket.socket | None) -> bool:
    """Say whether the other side of an idle connection has neither closed it nor said anything."""
    if connection is None:
        return False
    before = connection.gettimeout()
    try:
        connection.settimeout(0)
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            connection.settimeout(before)
    return False

"""How a process is told to stop: SIGTERM or Ctrl-C enters, an event that every loop looks at leaves."""

import queue
import signal
import threading
from types import FrameType

#: What a supervisor, systemd, Docker and Ctrl-C send.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping(threading.Event):
    """An event that a signal handler may set.

    `threading.Event` must not be: a handler runs in the main thread between any two steps of it, also while that thread
    is inside `wait` and holds the event's lock, which `set` then waits for without end. Of the standard library's
    queues `SimpleQueue` is the one that says that its `put` may be called so (documentation of `queue`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = False
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """Say whether to stop."""
        return self._told

    def set(self) -> None:
        """Stop; wakes all who wait."""
        self._told = True
        self._wakes.put(None)

    def clear(self) -> None:
        """Go on. Not for signal handlers."""
        self._told = False
        while not self._wakes.empty():
            self._wakes.get()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds at the most; say whether to stop."""
        if not self._told:
            try:
                self._wakes.get(timeout=None if timeout is None else max(timeout, 0.0))
            except queue.Empty:
                return self._told
            self._wakes.put(None)  # for the next one who waits
        return self._told


def stop_on_signals() -> Stopping:
    """Return what is set once this process is told to stop; for the main thread."""
    stopping = Stopping()

    def tell(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for each in _SIGNALS:
        signal.signal(each, tell)
    return stopping

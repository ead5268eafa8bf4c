"""Work on packs, one at a time: what looks at a change and makes it enters, its answer leaves, or that it was given up.

It takes all of a processor for seconds, so it runs on the threads of searches, and never on two of them. What is given
up changes nothing: whoever was told so may rely on it.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import HTTPException

from api.searching import Searching
from pipeline.messages import say

#: How long somebody waits for a pack to be loaded and tried, in seconds: SigmaHQ's takes about ten.
PATIENCE = 240.0
_AGAIN_SECONDS = "10"
T = TypeVar("T")


class GivenUp(Exception):
    """Nobody waits for this work any more."""


class Turn:
    """One piece of work: it is claimed before it changes something, or given up; never both."""

    def __init__(self, until: float) -> None:
        self.until = until  # by the monotonic clock
        self._lock = threading.Lock()
        self._claimed = self._given_up = False

    def claim(self) -> None:
        """Say that from now on something is changed.

        Raises:
            GivenUp: it was told already that nothing is.
        """
        with self._lock:
            if self._given_up:
                raise GivenUp
            self._claimed = True

    def give_up(self) -> bool:
        """Forbid that something is changed; False when it is too late for that."""
        with self._lock:
            self._given_up = not self._claimed
            return self._given_up


class Turns:
    """Gives everybody a turn; one for each application."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._busy = threading.Lock()

    def refuse_when_busy(self) -> None:
        """Answer 429 when somebody has a turn: before a file is taken in vain."""
        if self._busy.locked():
            raise _busy()

    async def take(self, searching: Searching, work: Callable[[Turn], T]) -> T:
        """Return what `work` returns. Answers 429 when somebody else has a turn, 503 when it takes too long."""
        if not self._busy.acquire(blocking=False):
            raise _busy()
        turn = Turn(time.monotonic() + self._patience)
        try:
            running = searching.start(lambda: work(turn))
        except HTTPException:
            self._busy.release()
            raise
        running.add_done_callback(lambda _: self._busy.release())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(running), self._patience)
        except TimeoutError as error:
            if turn.give_up():
                raise HTTPException(503, say("api.packs_slow", seconds=self._patience)) from error
        return await asyncio.wrap_future(running)  # it is being saved: one transaction


def _busy() -> HTTPException:
    return HTTPException(429, say("api.packs_busy"), {"Retry-After": _AGAIN_SECONDS})

"""What a source has open: ports and tasks enter, one handle to show and close them leaves."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pipeline.logs import log
from pipeline.messages import say


@dataclass(slots=True)
class Listening:
    """The open ports and running tasks of one source, and what could not be opened."""

    source: str
    places: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    _closers: list[Callable[[], object]] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def opened(self, place: str, close: Callable[[], object]) -> None:
        """Note an open port or file pattern."""
        self.places.append(place)
        self._closers.append(close)
        log("collectors").info("listening", source=self.source, place=place)

    def failed(self, place: str, why: str) -> None:
        """Note what could not be opened; the other sources go on, and health shows it."""
        self.failures[place] = why
        log("collectors").error("cannot_listen", source=self.source, place=place, reason=why)

    def task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the source is open."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    async def close(self) -> None:
        """Close the ports and end the tasks."""
        for close in self._closers:
            close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failed(self.source, repr(task.exception()))


def reason(error: OSError) -> str:
    """Say why a port cannot be opened, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return say("collectors.port_in_use")
    if error.errno == errno.EACCES:
        return say("collectors.port_not_allowed")
    return str(error)

"""What a source has open: ports and tasks enter, one handle to show and close them leaves."""

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pipeline.logs import log
from pipeline.messages import say

#: How long a source may take to close before its tasks are ended, in seconds.
_CLOSE_SECONDS = 5.0
#: Failures of one source that health shows; a folder of 10,000 unreadable files is one fault.
_MAX_FAILURES = 100


@dataclass(slots=True)
class Listening:
    """The open ports and running tasks of one source, and what could not be opened."""

    source: str
    places: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    #: What a source that has packet rules says of them: how many are loaded and refused, and the first reasons.
    packet_rules: dict[str, Any] = field(default_factory=dict)
    #: How many records wait on the disk before they can be taken in.
    buffered: Callable[[], int] = lambda: 0
    _closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def opened(self, place: str) -> None:
        """Note an open port or file pattern."""
        self.places.append(place)
        log("collectors").info("listening", source=self.source, place=place)

    def failed(self, place: str, why: str) -> None:
        """Note what does not work; the other sources go on, and health shows it until `mended`."""
        if self.failures.get(place) != why:
            log("collectors").error("cannot_listen", source=self.source, place=place, reason=why)
        if place in self.failures or len(self.failures) < _MAX_FAILURES:
            self.failures[place] = why

    def mended(self, place: str) -> None:
        """Note that it works again."""
        if self.failures.pop(place, None) is not None:
            log("collectors").info("mended", source=self.source, place=place)

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call `close` at the end: it takes in what has come, and takes no more."""
        self._closers.append(close)

    def task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something for as long as the source is open."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    async def close(self) -> None:
        """Close the ports and end the tasks."""
        closing = asyncio.gather(*(close() for close in self._closers), return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            for result in await asyncio.wait_for(closing, _CLOSE_SECONDS):
                if isinstance(result, Exception):
                    log("collectors").error("cannot_close", source=self.source, fault=repr(result))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failed(self.source, repr(task.exception()))


def reason(error: OSError) -> str:
    """Say why a port cannot be opened, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return say("collectors.port_in_use")
    if error.errno == errno.EACCES:
        return say("collectors.port_not_allowed")
    return str(error)

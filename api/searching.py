"""Searches in their own threads: a query enters, the answer's JSON leaves, or a word that it takes too long.

A search of the embedded store cannot be stopped. So few run at once, on threads of their own: one that never ends costs
one of these threads and keeps nobody from logging in, listing alerts or reading the health page.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import orjson
from fastapi import HTTPException
from starlette.responses import Response

from pipeline.messages import say

#: Searches at the same time; the store uses one core for each.
AT_ONCE = 4
#: Searches that wait for a thread; more are told to come again.
WAITING = 32
#: How long somebody waits for an answer, in seconds.
PATIENCE = 30.0
T = TypeVar("T")


class Searching:
    """Runs searches; one for each application."""

    def __init__(self, patience: float = PATIENCE, waiting: int = WAITING) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "search")
        self._patience = patience
        self._places = threading.BoundedSemaphore(AT_ONCE + waiting)

    async def answer(self, search: Callable[[], Any]) -> Response:
        """Return the JSON of what `search` returns. Answers 429 when too many wait, 503 when it takes too long."""
        return Response(await self.result(lambda: orjson.dumps(search())), media_type="application/json")

    async def result(self, work: Callable[[], T]) -> T:
        """Return what `work` returns. Answers 429 and 503 as `answer`."""
        running = self.start(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(running), self._patience)
        except TimeoutError as error:
            raise HTTPException(503, say("api.too_slow", seconds=self._patience)) from error

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Let one of the threads do it, in the language of the one who asks. Answers 429 when too many wait."""
        if not self._places.acquire(blocking=False):
            raise HTTPException(429, say("api.busy"), {"Retry-After": "5"})
        running = self._threads.submit(contextvars.copy_context().run, work)
        running.add_done_callback(lambda _: self._places.release())
        return running

    def close(self) -> None:
        """Take no more searches; what runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

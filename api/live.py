"""The route of live changes: marks of what changed leave, as Server-Sent Events, for as long as the session lasts.

One task looks once a second for all who listen (`pipeline/marks.py`); no thread waits with them. A stream ends with its
session, or when what its user may do or see changed; it does not keep a session open.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.access import Anyone, user_of
from pipeline.identity.users import User
from pipeline.logs import log
from pipeline.marks import Marks
from pipeline.messages import say
from pipeline.stage import STATE_AWAY

router = APIRouter(tags=["live"])
#: Streams at once, of all and of one user.
MOST, MOST_OF_ONE = 64, 8
#: How often the marks are looked at, and whether who listens may still, in seconds.
LOOK_SECONDS = 1.0
CHECK_SECONDS = 10.0
_AGAIN_SECONDS = "30"
#: Who may read what sees the marks of it.
_NEEDS = {
    "queue": "alerts.read", "cases": "cases.read", "health": "site.read", "events": "events.read",
    "deliveries": "delivery.read", "sharing": "sharing.read",
}  # fmt: skip


@dataclass(eq=False)
class Stream:
    """One who listens; `current` says who that is now."""

    user: User
    current: Callable[[], User | None]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def end(self) -> None:
        """Let it end at once."""
        self.over = True
        self.woken.set()


class Live:
    """Everybody who listens; one for each application. All but `look` runs in the server's loop."""

    def __init__(self, look: Callable[[], Marks]) -> None:
        self._look = look
        self._streams: set[Stream] = set()
        self._marks: Marks = {}
        self._watching: asyncio.Task[None] | None = None

    def join(self, user: User, current: Callable[[], User | None]) -> Stream:
        """Let one more listen. Answers 429 where there are too many."""
        own = sum(1 for stream in self._streams if stream.user.name == user.name)
        if own >= MOST_OF_ONE or len(self._streams) >= MOST:
            told = say("api.live_full", limit=MOST_OF_ONE, all=MOST)
            raise HTTPException(429, told, {"Retry-After": _AGAIN_SECONDS})
        stream = Stream(user, current)
        self._streams.add(stream)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        return stream

    def leave(self, stream: Stream) -> None:
        """Forget one who listened."""
        self._streams.discard(stream)

    def close(self) -> None:
        """End all streams: the server stops."""
        for stream in self._streams:
            stream.end()
        if self._watching is not None:
            self._watching.cancel()

    def marks_of(self, user: User) -> Marks:
        """Return the marks that a user may know, as they are now; for who shows something before a stream is open."""
        return _known_to(user, self._marks or self._look())

    async def changes(self, stream: Stream) -> AsyncIterator[Marks]:
        """Yield the marks that a stream's user may know, now and whenever one changes."""
        told: Marks | None = None
        while not stream.over:
            stream.woken.clear()
            marks = _known_to(stream.user, self._marks)
            if self._marks and marks != told:
                told = marks
                yield marks
            await stream.woken.wait()

    async def _watch(self) -> None:
        """Look until nobody listens; a fault ends all streams, and whoever asks again starts anew."""
        checked = time.monotonic()
        try:
            while self._streams:
                try:
                    marks = await asyncio.to_thread(self._look)
                    if time.monotonic() - checked >= CHECK_SECONDS:
                        checked = time.monotonic()
                        await asyncio.to_thread(_check, list(self._streams))
                except STATE_AWAY as error:  # nothing can be said of it; a session that ended meanwhile waits
                    log("api").warning("live_waits", reason=str(error)[:300])
                else:
                    self._tell(marks)
                await asyncio.sleep(LOOK_SECONDS)
        except Exception:
            log("api").exception("live_fault")
        finally:
            self._watching, self._marks = None, {}
            for stream in self._streams:
                stream.end()

    def _tell(self, marks: Marks) -> None:
        changed, self._marks = marks != self._marks, marks
        for stream in self._streams:
            if changed or stream.over:
                stream.woken.set()


def _known_to(user: User, marks: Marks) -> Marks:
    return {name: mark for name, mark in marks.items() if _NEEDS[name] in user.permissions}


def _check(streams: list[Stream]) -> None:
    """End the streams of those who are no longer who they were: logged out, or with other rights."""
    for stream in streams:
        if stream.current() != stream.user:
            stream.over = True


async def _joined(request: Request, user: Anyone) -> AsyncIterator[tuple[Live, Stream]]:
    live: Live = request.app.state.live
    stream = live.join(user, lambda: user_of(request))
    try:
        yield live, stream
    finally:
        live.leave(stream)


@router.get("/live", response_class=EventSourceResponse)
async def listen(joined: Annotated[tuple[Live, Stream], Depends(_joined)]) -> AsyncIterator[ServerSentEvent]:
    """Send `changed` with a mark for each part that one may read (`queue`, `cases`, `health`, `events`, `deliveries`,
    `sharing`), at once and whenever one of them is another."""
    live, stream = joined
    async for marks in live.changes(stream):
        yield ServerSentEvent(event="changed", data=marks)

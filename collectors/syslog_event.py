"""One syslog message as it came enters, one event line leaves: what datagrams and streams share."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from collectors.envelope import Origin

#: At the end: nothing for this long means that all is read; and how long to go on reading at the most, in seconds.
QUIET_SECONDS, _LAST_READ_SECONDS = 0.1, 2.0


def event_of(
    origin: Origin, raw: bytes, position: tuple[str | bytes | int, ...], received: datetime, peer: str, limit: int
) -> bytes:
    """Return the event of a message, cut at `limit` bytes."""
    more = {"log.source.address": peer}
    if len(raw) > limit:
        more["error.message"] = f"message longer than {limit} bytes; the rest was left out"
    return origin.event(raw[:limit], position, received, more)


def address_of(peer: tuple[str, int]) -> str:
    """Return a sender as `host:port`."""
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"


async def until_quiet(count: Callable[[], int]) -> None:
    """Wait until what lies in the kernel's buffers has been read: nothing more has come for a moment."""
    deadline = time.monotonic() + _LAST_READ_SECONDS
    seen = -1
    while seen != count() and time.monotonic() < deadline:
        seen = count()
        await asyncio.sleep(QUIET_SECONDS)

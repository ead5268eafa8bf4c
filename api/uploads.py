"""Files that somebody sends: a request's body enters, a temporary file leaves, with a bound on its size and its time.

The file has no name, so nothing of it is left behind, whatever becomes of this process.
"""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from pipeline.disk import disk_of
from pipeline.messages import say

#: Bytes of a file; what is larger is brought by the command. SigmaHQ's repository has about 10 MB as a zip file.
MAX_BYTES = 64_000_000
#: How long it may take to come, in seconds: that many bytes at 2 Mbit/s.
_PATIENCE = 300.0
#: Files that come, or are looked at, at the same time.
_AT_ONCE = 4
#: No form of another site can send this kind, and a browser asks first.
_KIND = "application/octet-stream"


class Uploads:
    """Takes files in; one for each application."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[BinaryIO]:
        """Give the body as a file that is gone afterwards. Answers 408, 413 (`guard`), 415, 429 and 507."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
            raise HTTPException(415, say("api.upload_kind"))
        settings = request.app.state.settings
        if disk_of(settings).full():
            raise HTTPException(507, say("api.no_room"))
        if not self._places.acquire(blocking=False):
            raise HTTPException(429, say("api.busy"), {"Retry-After": "5"})
        try:
            with tempfile.TemporaryFile(dir=settings.data_dir) as file:
                await self._fill(file, request)
                yield file
        finally:
            self._places.release()

    async def _fill(self, file: BinaryIO, request: Request) -> None:
        try:
            async with asyncio.timeout(self._patience):
                async for part in request.stream():
                    await asyncio.to_thread(file.write, part)
        except TimeoutError as error:
            late = say("api.upload_slow", seconds=self._patience)
            raise HTTPException(408, late, {"Connection": "close"}) from error
        except ClientDisconnect as error:
            raise HTTPException(400, say("api.unreadable")) from error
        except OSError as error:
            raise HTTPException(507, say("api.no_room")) from error
        file.seek(0)

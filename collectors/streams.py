"""Connections enter, the records that come over them leave: what TCP, TLS and the sockets of this machine share.

While the intake has no room nothing is read; at the end what has been sent is read first.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Protocol, cast

from collectors.intake import Intake
from collectors.syslog_event import QUIET_SECONDS, until_quiet
from pipeline.logs import log

#: How often refused connections are told in the log, in seconds.
_TELL_SECONDS = 10.0


class Cutter(Protocol):
    """Cuts the bytes of a connection into records."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the records that are complete."""

    def end(self) -> list[bytes]:
        """Return what is left."""


class Streams:
    """The listening sockets and connections of one source, at most `most`. `kind` is what its log lines are of."""

    def __init__(self, kind: str, intake: Intake, most: int) -> None:
        self.intake, self.most = intake, most
        self.servers: list[asyncio.Server] = []
        self.open: set[Stream] = set()
        self.received = 0
        self._kind = kind
        self._refused = 0
        self._told = -_TELL_SECONDS

    def refuse(self, peer: str) -> None:
        """Note a connection that is one too many; the log is not for a flood to fill."""
        self._refused += 1
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            log(self._kind).warning("refused", peer=peer, connections=self._refused, most=self.most)
            self._refused = 0

    async def close(self) -> None:
        """Read what has been sent, also by those who wait to be accepted; then end the connections."""
        await until_quiet(lambda: self.received + len(self.open))
        for server in self.servers:
            server.close()
        for stream in list(self.open):
            stream.close()
        while self.open:
            await asyncio.sleep(QUIET_SECONDS)


class Stream(asyncio.Protocol, ABC):
    """One connection. Those of a kind say in `take` what becomes of its records."""

    def __init__(self, shared: Streams, cutter: Cutter) -> None:
        self._shared, self._cutter = shared, cutter
        self._count = 0
        self._paused = False

    @abstractmethod
    def peer(self, transport: asyncio.BaseTransport) -> str:
        """Note who has connected, and return the name that the log has for it."""

    @abstractmethod
    def take(self, first: int, records: list[bytes]) -> None:
        """Take in records; `first` is the number of the first one in this connection, from 1."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = self.peer(transport)
        if len(self._shared.open) >= self._shared.most:
            self._shared.refuse(peer)
            self._transport.abort()
            return
        self._shared.open.add(self)
        asyncio.get_running_loop().call_soon(self._wait_for_room)  # uvloop begins to read after this method

    def data_received(self, data: bytes) -> None:
        if self in self._shared.open:
            self._shared.received += len(data)
            self._take(self._cutter.feed(data))
            self._wait_for_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._shared.open:
            self._shared.open.discard(self)
            self._take(self._cutter.end())

    def close(self) -> None:
        """End the connection."""
        self._transport.abort()

    def _take(self, records: list[bytes]) -> None:
        if records:
            first = self._count + 1
            self._count += len(records)
            self.take(first, records)

    def _wait_for_room(self) -> None:
        if self._shared.intake.room or self._transport.is_closing():
            return
        self._transport.pause_reading()
        if not self._paused:
            self._paused = True
            self._shared.intake.when_open(self._resume)

    def _resume(self) -> None:
        self._paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

"""Syslog: datagrams and streams of a network enter, events leave.

UDP (RFC 5426, `datagrams.py`), TCP with both framings (RFC 6587) and TLS (RFC 5425); the messages are RFC 3164
or RFC 5424.
"""

import asyncio
import itertools
import socket
import time
from datetime import UTC, datetime
from typing import cast

from collectors import datagrams
from collectors.datagram_buffer import Datagram
from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening, reason
from collectors.syslog_event import QUIET_SECONDS, address_of, event_of, until_quiet
from collectors.syslog_framing import Framing
from collectors.tls import server_context
from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings import Settings, SyslogSource

#: How long a TLS client may take to shake hands, in seconds.
_HANDSHAKE_SECONDS = 10.0
#: How long a connection may be silent before the kernel asks whether its sender is still there, in seconds.
_KEEP_ALIVE_SECONDS = 60
#: How often refused connections are told in the log, in seconds.
_TELL_SECONDS = 10.0
_connections = itertools.count()


async def listen(source: SyslogSource, settings: Settings, intake: Intake) -> Listening:
    """Open the source's ports and take in what comes, until `Listening.close`.

    Raises:
        HaidangError: its time zone is unknown.
    """
    hints = Hints(dataset=source.dataset, timezone=zone(source.timezone), syslog=True)
    origin = Origin(source.name, settings.observer, settings.organization, hints, source.encoding)
    listening = Listening(source.name)
    if source.udp_port is not None:
        address = (source.host, source.udp_port)
        await datagrams.listen("udp", address, _decoder(origin, settings), settings, intake, listening)
    streams = _Streams(origin, intake, settings.limits.decode_bytes, source.max_connections)
    for name, number in (("tcp", source.tcp_port), ("tls", source.tls_port)):
        if number is not None:
            await _open_stream(name, number, source, settings, streams, listening)
    listening.on_close(streams.close)
    return listening


def _decoder(origin: Origin, settings: Settings) -> datagrams.Decode:
    limit = settings.limits.decode_bytes

    def decode(datagram: Datagram, started: int, _live: bool) -> list[bytes]:
        raw = datagram.raw.rstrip(b"\r\n\0")
        if not raw:
            return []
        received = datetime.fromtimestamp(datagram.received / 1e9, UTC)
        position = ("udp", started, datagram.number, raw)
        peer = address_of((datagram.host, datagram.port))
        return [event_of(origin, raw, position, received, peer, limit)]

    return decode


async def _open_stream(
    name: str, number: int, source: SyslogSource, settings: Settings, streams: "_Streams", listening: Listening
) -> None:
    try:
        context = server_context(settings) if name == "tls" else None
        server = await asyncio.get_running_loop().create_server(
            lambda: _Stream(streams), source.host, number, ssl=context, backlog=512,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
        )  # fmt: skip
    except HaidangError as error:
        listening.failed(f"{name} {source.host}:{number}", str(error))
    except OSError as error:
        listening.failed(f"{name} {source.host}:{number}", reason(error))
    else:
        streams.servers.append(server)
        listening.opened(f"{name} {source.host}:{server.sockets[0].getsockname()[1]}")


class _Streams:
    """The listening sockets and connections of one source, and what they share."""

    def __init__(self, origin: Origin, intake: Intake, limit: int, most: int) -> None:
        self.origin, self.intake, self.limit, self.most = origin, intake, limit, most
        self.servers: list[asyncio.Server] = []
        self.open: set[_Stream] = set()
        self.received = 0
        self._refused = 0
        self._told = -_TELL_SECONDS

    def refuse(self, peer: str) -> None:
        """Note a connection that is one too many; the log is not for a flood to fill."""
        self._refused += 1
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            log("syslog").warning("refused", peer=peer, connections=self._refused, most=self.most)
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


class _Stream(asyncio.Protocol):
    def __init__(self, shared: _Streams) -> None:
        self._shared = shared
        self._framing = Framing(shared.limit)
        self._count = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self._host, self._peer = str(peer[0]), address_of(peer)
        self._name = f"{self._peer} {time.time_ns()} {next(_connections)}"  # no other connection has it, ever
        if len(self._shared.open) >= self._shared.most:
            self._shared.refuse(self._peer)
            self._transport.abort()
            return
        self._shared.open.add(self)
        _keep_alive(transport.get_extra_info("socket"))
        asyncio.get_running_loop().call_soon(self._wait_for_room)  # uvloop begins to read after this method

    def data_received(self, data: bytes) -> None:
        if self in self._shared.open:
            self._shared.received += len(data)
            self._take(self._framing.feed(data))
            self._wait_for_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._shared.open:
            self._shared.open.discard(self)
            self._take(self._framing.end())

    def close(self) -> None:
        """End the connection."""
        self._transport.abort()

    def _take(self, messages: list[bytes]) -> None:
        if not messages:
            return
        received = datetime.now(UTC)
        shared = self._shared
        first = self._count + 1
        self._count += len(messages)
        lines = [
            event_of(shared.origin, raw, (self._name, number), received, self._peer, shared.limit)
            for number, raw in enumerate(messages, first)
        ]
        shared.intake.take(shared.origin.source, lines, self._host)

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


def _keep_alive(connection: socket.socket | None) -> None:
    """Let the kernel find out that a sender is gone (power, firewall): to be silent is no fault."""
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_SECONDS)

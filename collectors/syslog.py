"""Syslog: datagrams and streams of a network enter, events leave.

UDP (RFC 5426, `datagrams.py`), TCP with both framings (RFC 6587) and TLS (RFC 5425); the messages are RFC 3164
or RFC 5424.
"""

import asyncio
import itertools
import socket
import time
from datetime import UTC, datetime

from collectors import datagrams
from collectors.datagram_buffer import Datagram
from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening, reason
from collectors.streams import Stream, Streams
from collectors.syslog_event import address_of, event_of
from collectors.syslog_framing import Framing
from pipeline.messages import HaidangError
from pipeline.settings import Settings, SyslogSource
from pipeline.tls import server_context

#: How long a TLS client may take to shake hands, in seconds.
_HANDSHAKE_SECONDS = 10.0
#: How long a connection may be silent before the kernel asks whether its sender is still there, in seconds.
_KEEP_ALIVE_SECONDS = 60
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


class _Streams(Streams):
    """The connections of one source, and what they share."""

    def __init__(self, origin: Origin, intake: Intake, limit: int, most: int) -> None:
        super().__init__("syslog", intake, most)
        self.origin, self.limit = origin, limit


class _Stream(Stream):
    def __init__(self, shared: _Streams) -> None:
        super().__init__(shared, Framing(shared.limit))
        self._source = shared

    def peer(self, transport: asyncio.BaseTransport) -> str:
        peer = transport.get_extra_info("peername") or ("", 0)
        self._host, self._peer = str(peer[0]), address_of(peer)
        self._name = f"{self._peer} {time.time_ns()} {next(_connections)}"  # no other connection has it, ever
        _keep_alive(transport.get_extra_info("socket"))
        return self._peer

    def take(self, first: int, records: list[bytes]) -> None:
        received, source = datetime.now(UTC), self._source
        lines = [
            event_of(source.origin, raw, (self._name, number), received, self._peer, source.limit)
            for number, raw in enumerate(records, first)
        ]
        source.intake.take(source.origin.source, lines, self._host)


def _keep_alive(connection: socket.socket | None) -> None:
    """Let the kernel find out that a sender is gone (power, firewall): to be silent is no fault."""
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_SECONDS)

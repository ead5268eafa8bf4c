"""Syslog: datagrams and streams of a network enter, events leave.

UDP (RFC 5426), TCP with both framings (RFC 6587) and TLS (RFC 5425); the messages are RFC 3164 or RFC 5424.
"""

import asyncio
import itertools
import socket
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening, reason
from collectors.syslog_framing import Framing
from pipeline.logs import log
from pipeline.settings import Settings, SyslogSource

#: Room for datagrams in the kernel while we are busy, in bytes (the kernel grants at most net.core.rmem_max).
_UDP_BUFFER = 16_000_000
#: How often the kernel's own count of lost datagrams is read, in seconds.
_DROPS_SECONDS = 2.0
#: How long a TLS client may take to shake hands, in seconds.
_HANDSHAKE_SECONDS = 10.0
_connections = itertools.count()


async def listen(source: SyslogSource, settings: Settings, intake: Intake, tls: ssl.SSLContext) -> Listening:
    """Open the source's ports and take in what comes, until `Listening.close`."""
    hints = Hints(dataset=source.dataset, timezone=zone(source.timezone), syslog=True)
    origin = Origin(source.name, settings.observer, settings.organization, hints, source.encoding)
    loop = asyncio.get_running_loop()
    listening = Listening(source.name)
    limit = settings.limits.decode_bytes
    if source.udp_port is not None:
        where = f"udp {source.host}:{source.udp_port}"
        try:
            port = _udp_socket(source.host, source.udp_port)
            await loop.create_datagram_endpoint(lambda: _Datagrams(origin, intake, limit), sock=port)
        except OSError as error:
            listening.failed(where, reason(error))
        else:
            listening.opened(f"udp {source.host}:{port.getsockname()[1]}", port.close)
            listening.task(_count_kernel_drops(port, origin.source, intake))
    streams = _Streams(origin, intake, limit, source.max_connections)
    for name, number, context in (("tcp", source.tcp_port, None), ("tls", source.tls_port, tls)):
        if number is None:
            continue
        try:
            server = await loop.create_server(
                lambda: _Stream(streams), source.host, number, ssl=context, backlog=512,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
            )  # fmt: skip
        except OSError as error:
            listening.failed(f"{name} {source.host}:{number}", reason(error))
        else:
            listening.opened(f"{name} {source.host}:{server.sockets[0].getsockname()[1]}", server.close)
    return listening


def _udp_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER)
        udp.bind((host, port))
        udp.setblocking(False)
    except OSError:
        udp.close()
        raise
    return udp


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, origin: Origin, intake: Intake, limit: int) -> None:
        self._origin, self._intake, self._limit = origin, intake, limit
        self._started = time.time_ns()
        self._count = 0

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if not self._intake.room:
            self._intake.drop(self._origin.source, "intake_held")
            return
        self._count += 1
        raw = data[: self._limit].rstrip(b"\r\n\0")
        if raw:
            position = ("udp", self._started, self._count, raw)
            line = self._origin.event(
                raw, position, datetime.now(UTC), {"log.source.address": f"{address[0]}:{address[1]}"}
            )
            self._intake.take(self._origin.source, [line], address[0])


class _Streams:
    """What the connections of one source share."""

    def __init__(self, origin: Origin, intake: Intake, limit: int, most: int) -> None:
        self.origin, self.intake, self.limit, self.most = origin, intake, limit, most
        self.open = 0


class _Stream(asyncio.Protocol):
    def __init__(self, shared: _Streams) -> None:
        self._shared = shared
        self._framing = Framing(shared.limit)
        self._count = 0
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self._host, self._peer = str(peer[0]), f"{peer[0]}:{peer[1]}"
        self._position = (self._peer, time.time_ns(), next(_connections))
        self._shared.open += 1
        if self._shared.open > self._shared.most:
            log("syslog").warning("refused", peer=self._peer, open=self._shared.open, most=self._shared.most)
            self._refused = True
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._take(self._framing.feed(data))
        if not self._shared.intake.room:
            self._transport.pause_reading()
            self._shared.intake.when_open(self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.open -= 1
        if not self._refused:
            self._take(self._framing.end())
        if self._framing.cut:
            log("syslog").warning("cut", peer=self._peer, bytes=self._framing.cut, limit=self._shared.limit)

    def _take(self, messages: list[bytes]) -> None:
        if not messages:
            return
        received = datetime.now(UTC)
        lines = []
        for raw in messages:
            self._count += 1
            if raw:
                more = {"log.source.address": self._peer}
                if len(raw) >= self._shared.limit:
                    more["error.message"] = f"message cut at {self._shared.limit} bytes"
                position = (*self._position, self._count)
                lines.append(self._shared.origin.event(raw, position, received, more))
        self._shared.intake.take(self._shared.origin.source, lines, self._host)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


async def _count_kernel_drops(udp: socket.socket, source: str, intake: Intake) -> None:
    """Count the datagrams that the kernel threw away because its buffer was full (`drops` in /proc/net/udp)."""
    counted = 0
    while True:
        await asyncio.sleep(_DROPS_SECONDS)
        drops = kernel_drops(udp)
        if drops > counted:
            intake.drop(source, "kernel_buffer_full", drops - counted)
            counted = drops


def kernel_drops(udp: socket.socket) -> int:
    """Return how many datagrams the kernel has dropped for a socket; 0 where it does not say."""
    if udp.fileno() < 0:
        return 0
    inode = str(Path(f"/proc/self/fd/{udp.fileno()}").stat().st_ino)
    table = Path("/proc/net/udp6" if udp.family == socket.AF_INET6 else "/proc/net/udp")
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return 0
    return next((int(row.split()[12]) for row in rows if row.split()[9] == inode), 0)

"""A socket of this machine, to which other programs write lines: events leave. For Suricata's EVE.

The writer is the client; who may write, the file's mode says. While the pipeline cannot follow nothing is read: the
kernel holds the writer, who then drops by itself and counts that.
"""

import asyncio
import itertools
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.listening import reason as why_not
from collectors.streams import Stream, Streams
from collectors.syslog_event import until_quiet
from collectors.unpacking import Lines, line_fault
from pipeline.event import MAX_EVENT_BYTES
from pipeline.messages import HaidangError
from pipeline.settings import Settings, UnixSource

#: A larger record is cut; EVE's largest, of statistics, have some 100 KB.
_LARGEST = MAX_EVENT_BYTES
#: Datagrams that are read before others of the process have their turn.
_AT_ONCE = 200
#: Writers at once: Suricata opens one, or one a thread.
_MOST_CONNECTIONS = 256
_KERNEL_BYTES = 4_000_000
_connections = itertools.count()


async def listen(source: UnixSource, settings: Settings, intake: Intake) -> Listening:
    """Open the source's socket and take in what comes, until `Listening.close`.

    Raises:
        HaidangError: its time zone is unknown.
    """
    hints = Hints(dataset=source.dataset, timezone=zone(source.timezone))
    origin = Origin(source.name, settings.observer, settings.organization, hints, source.encoding)
    listening = Listening(source.name)
    place = f"unix {source.path}"
    socks = _Lines(origin, intake, settings.limits.decode_bytes)
    try:
        opened = _bind(source)
    except (OSError, HaidangError) as error:
        listening.failed(place, why_not(error) if isinstance(error, OSError) else str(error))
        return listening
    if source.type == "datagram":
        datagrams = _Datagrams(opened, socks)
        listening.on_close(datagrams.close)
        datagrams.start()
    else:
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Stream(socks), sock=opened)
        socks.servers.append(server)
        listening.on_close(socks.close)
    listening.opened(place)
    return listening


def _bind(source: UnixSource) -> socket.socket:
    """Open the socket; one that an earlier process has left is taken away, one that somebody listens on is not.

    Raises:
        OSError: it cannot be opened.
        HaidangError: another process listens on it.
    """
    kind = socket.SOCK_DGRAM if source.type == "datagram" else socket.SOCK_STREAM
    if source.path.is_socket():
        with socket.socket(socket.AF_UNIX, kind) as probe:
            try:
                probe.connect(str(source.path))
            except (ConnectionRefusedError, FileNotFoundError):
                source.path.unlink(missing_ok=True)
            else:
                raise HaidangError("collectors.socket_in_use", path=source.path)
    opened = socket.socket(socket.AF_UNIX, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        opened.bind(str(source.path))
        source.path.chmod(int(source.mode, 8))
        if kind == socket.SOCK_STREAM:
            opened.listen(_MOST_CONNECTIONS)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


class _Lines(Streams):
    """What the connections of one source share: lines enter, events go to the intake."""

    def __init__(self, origin: Origin, intake: Intake, limit: int) -> None:
        super().__init__("unix", intake, _MOST_CONNECTIONS)
        self._origin, self._limit = origin, limit

    def take(self, name: str, first: int, lines: list[bytes]) -> None:
        """Take lines in; `name` and the line's number make its id."""
        received = datetime.now(UTC)
        events = [self._event(line, (name, number), received) for number, line in enumerate(lines, first)]
        self.intake.take(self._origin.source, events)

    def _event(self, line: bytes, position: tuple[str, int], received: datetime) -> bytes:
        is_json = line.lstrip()[:1] == b"{" and len(line) <= _LARGEST
        if is_json or len(line) <= self._limit:
            return self._origin.line_event(line, position, received, {})
        more = {"error.message": line_fault(line, self._limit)}
        return self._origin.event(line[: self._limit], position, received, more)


class _Stream(Stream):
    def __init__(self, shared: _Lines) -> None:
        super().__init__(shared, Lines(_LARGEST))
        self._source = shared
        self._name = f"unix {time.time_ns()} {next(_connections)}"  # no other connection has it, ever

    def peer(self, _transport: asyncio.BaseTransport) -> str:
        return "unix"

    def take(self, first: int, records: list[bytes]) -> None:
        self._source.take(self._name, first, records)


class _Datagrams:
    """A socket of datagrams, each a record, or a few lines."""

    def __init__(self, opened: socket.socket, shared: _Lines) -> None:
        self._socket, self._shared = opened, shared
        self._name = f"unix {time.time_ns()} {next(_connections)}"
        self._count = 0
        self._path = Path(opened.getsockname())

    def start(self) -> None:
        """Read from now on."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    async def close(self) -> None:
        """Read what lies there, then take the socket away."""
        await until_quiet(lambda: self._count)
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _read(self) -> None:
        if not self._shared.intake.room:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._shared.intake.when_open(self._resume)
            return
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(_LARGEST + 1)
            except (BlockingIOError, InterruptedError):
                return
            lines = [line for line in data.rstrip(b"\0").splitlines() if line.strip()]
            self._shared.take(self._name, self._count + 1, lines)
            self._count += max(len(lines), 1)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self.start()

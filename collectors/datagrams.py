"""UDP: a port and a decoder enter, events leave; what cannot be decoded now waits on the disk.

The port is emptied first, the datagrams are decoded after: to read one costs 2 µs, to decode one ten times that. When
too many wait, or the bus takes no more, they go to the disk as they came, and are decoded when there is time again.
What is lost all the same (the kernel's buffer was full, the disk's) is counted by source.
"""

import asyncio
import socket
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from collectors.datagram_buffer import Batch, Datagram, DatagramBuffer, Refused
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.listening import reason as why_not
from collectors.syslog_event import until_quiet
from pipeline.logs import log
from pipeline.settings import NetflowSource, Settings, Source, SyslogSource

_FOLDER = "datagrams"
#: Room for datagrams in the kernel while we are busy, in bytes (the kernel grants at most net.core.rmem_max, except to
#: root).
_KERNEL_BYTES = 16_000_000
_SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it
_LARGEST_DATAGRAM = 65_535
#: Datagrams that are read, and that are decoded, before others of the process have their turn.
_READ_AT_ONCE, _DECODE_AT_ONCE = 1_000, 100
#: Datagrams that may wait in memory to be decoded; more go to the disk. And while the disk writes, in bytes.
_MOST_WAITING, _MOST_WAITING_BYTES = 5_000, 32_000_000
#: Datagrams of one batch on the disk, at the most.
_BATCH = 20_000
#: How often the kernel's own count of lost datagrams is read, in seconds.
_DROPS_SECONDS = 2.0
#: How often lost datagrams are told in the log, in seconds.
_TELL_SECONDS = 10.0
#: How often it is looked whether what waits on the disk can go on, in seconds.
_LOOK_SECONDS = 0.2
#: How long it waits after the disk has refused, in seconds.
_RETRY_SECONDS = 2.0


#: A datagram, when its process started (nanoseconds since 1970), and whether it did not wait on the disk, in; the event
#: lines that are complete by it out.
Decode = Callable[[Datagram, int, bool], list[bytes]]


async def listen(
    kind: str,
    address: tuple[str, int],
    decode: Decode,
    settings: Settings,
    intake: Intake,
    listening: Listening,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Open a UDP port of a source and take in what comes, until `Listening.close`.

    `kind` is how its place is called; `finish` is called at the end, when all that came was decoded.
    """
    source = listening.source
    folder = settings.data_dir / _FOLDER
    buffer = await asyncio.to_thread(DatagramBuffer, folder, source, settings.limits.udp_buffer_mb * 1_000_000)
    host, number = address
    try:
        port = _open(host, number)
    except OSError as error:
        buffer.close()
        listening.failed(f"{kind} {host}:{number}", why_not(error))
        return
    datagrams = _Datagrams(source, port, decode, intake, buffer)
    drops = KernelDrops(port, source, intake)
    listening.opened(f"{kind} {host}:{port.getsockname()[1]}")
    listening.buffered = lambda: buffer.held
    listening.task(drops.run())
    listening.task(datagrams.run_from_disk())

    async def close() -> None:
        await until_quiet(lambda: datagrams.count)
        drops.count()
        await datagrams.close()
        finish()
        port.close()

    listening.on_close(close)
    asyncio.get_running_loop().add_reader(port.fileno(), datagrams.read)


def left_by_others(settings: Settings) -> list[str]:
    """Return the sources that are no more, and whose datagrams still wait on the disk."""
    living = {source.name for source in settings.sources if has_udp(source)}
    files = (settings.data_dir / _FOLDER).glob("*.db")
    return sorted(file.stem for file in files if file.stem not in living and DatagramBuffer.waiting(file))


def has_udp(source: Source) -> bool:
    """Say whether a source receives datagrams."""
    return isinstance(source, NetflowSource) or (isinstance(source, SyslogSource) and source.udp_port is not None)


def _open(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        try:
            udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _KERNEL_BYTES)
        except PermissionError:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        udp.bind((host, port))
        udp.setblocking(False)
    except OSError:
        udp.close()
        raise
    return udp


class _Datagrams:
    """What came to one port and is not decoded yet, in memory and on the disk."""

    def __init__(
        self, source: str, port: socket.socket, decode: Decode, intake: Intake, buffer: DatagramBuffer
    ) -> None:
        self._source, self._port, self._events, self._intake, self._buffer = source, port, decode, intake, buffer
        self._started = time.time_ns()
        self._waiting: deque[Datagram] = deque()
        self._bytes = 0
        self._decoding = False
        self._writing: asyncio.Task[None] | None = None
        self._told = -_TELL_SECONDS
        self.count = 0

    def read(self) -> None:
        """Empty the port; called by the event loop when something came."""
        received = time.time_ns()
        for _ in range(_READ_AT_ONCE):
            try:
                data, address = self._port.recvfrom(_LARGEST_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                log("udp").error("cannot_read", source=self._source, reason=str(error))
                break
            if data:
                self.count += 1
                self._waiting.append(Datagram(received, self.count, address[0], address[1], data))
                self._bytes += len(data)
        if not self._decoding:
            self._decoding = True
            asyncio.get_running_loop().call_soon(self._decode)

    async def run_from_disk(self) -> None:
        """Take in what waits on the disk, whenever there is room and time for it."""
        while True:
            if not self._buffer.held or not self._intake.room or self._waiting:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            try:
                await self._take_first_batch()
            except sqlite3.Error as error:  # a full disk: the batch is still there, and its events have the same ids
                log("udp").error("cannot_go_on_from_disk", source=self._source, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def close(self) -> None:
        """Take in what waits in memory, or leave it on the disk for the next process."""
        asyncio.get_running_loop().remove_reader(self._port.fileno())
        if self._writing is not None:
            await self._writing
        while self._waiting and self._intake.room:
            self._take_next()
        while self._waiting:
            await self._write(self._next_batch())
        self._buffer.close()

    def _decode(self) -> None:
        if self._waiting and (len(self._waiting) > _MOST_WAITING or not self._intake.room):
            if self._writing is None:
                self._writing = asyncio.get_running_loop().create_task(self._write(self._next_batch()))
                self._writing.add_done_callback(self._written)
            elif self._bytes > _MOST_WAITING_BYTES:
                self._drop(len(self._next_batch()), "udp_buffer_full", "the disk is too slow")
        if self._intake.room:
            self._take_next()
        self._decoding = bool(self._waiting) and self._intake.room
        if self._decoding:
            asyncio.get_running_loop().call_soon(self._decode)

    def _written(self, _task: "asyncio.Task[None]") -> None:
        self._writing = None
        if self._waiting and not self._decoding:
            self._decoding = True
            asyncio.get_running_loop().call_soon(self._decode)

    def _next_batch(self) -> list[Datagram]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
        self._bytes -= sum(len(datagram.raw) for datagram in batch)
        return batch

    async def _write(self, batch: list[Datagram]) -> None:
        try:
            await asyncio.to_thread(self._buffer.put, self._started, batch)
        except Refused as error:
            self._drop(len(batch), error.reason, str(error))

    def _drop(self, datagrams: int, reason: str, why: str) -> None:
        self._intake.drop(self._source, reason, datagrams)
        if time.monotonic() - self._told >= _TELL_SECONDS:  # the log is not for a flood to fill; the ledger counts
            self._told = time.monotonic()
            log("udp").error("dropped", source=self._source, datagrams=datagrams, reason=why)

    def _take_next(self) -> None:
        for _ in range(min(len(self._waiting), _DECODE_AT_ONCE)):
            datagram = self._waiting.popleft()
            self._bytes -= len(datagram.raw)
            self._take(datagram, self._started)

    async def _take_first_batch(self) -> None:
        batch = await asyncio.to_thread(self._buffer.first)
        if batch is None:
            return
        await self._take_batch(batch)
        await self._intake.durable()
        await asyncio.to_thread(self._buffer.done, batch)
        if not batch.datagrams:
            self._drop(batch.put, "udp_buffer_damaged", "what lay on the disk cannot be read")

    async def _take_batch(self, batch: Batch) -> None:
        for number, datagram in enumerate(batch.datagrams):
            if number % _DECODE_AT_ONCE == 0:
                await asyncio.sleep(0)
            self._take(datagram, batch.started, live=False)

    def _take(self, datagram: Datagram, started: int, live: bool = True) -> None:
        self._intake.take(self._source, self._events(datagram, started, live), datagram.host, live)


class KernelDrops:
    """Counts the datagrams that the kernel threw away because its buffer was full."""

    def __init__(self, udp: socket.socket, source: str, intake: Intake) -> None:
        self._udp, self._source, self._intake = udp, source, intake
        self._counted = 0

    async def run(self) -> None:
        """Count now and then."""
        while True:
            await asyncio.sleep(_DROPS_SECONDS)
            self.count()

    def count(self) -> None:
        """Count what was thrown away since the last call."""
        drops = kernel_drops(self._udp)
        if drops > self._counted:
            self._intake.drop(self._source, "kernel_buffer_full", drops - self._counted)
            self._counted = drops


def kernel_drops(udp: socket.socket) -> int:
    """Return how many datagrams the kernel dropped for a socket (`drops` in /proc/net/udp); 0 where it does not say."""
    inode = str(Path(f"/proc/self/fd/{udp.fileno()}").stat().st_ino)
    table = Path("/proc/net/udp6" if udp.family == socket.AF_INET6 else "/proc/net/udp")
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return 0
    return next((int(row.split()[12]) for row in rows if row.split()[9] == inode), 0)

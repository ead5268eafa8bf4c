"""Datagrams that cannot be decoded now enter, a bounded file on the disk keeps them, the same datagrams leave.

UDP has no way to hold a sender. So what comes while the pipeline is behind or its bus is away waits here, as it came;
what is more than the limit is refused, and the caller counts it.
"""

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import zstandard

from pipeline.bus import SlowDown
from pipeline.bus.sqlite import SqliteBus
from pipeline.frame import Frame

_START = struct.Struct("<q")
_HEAD = struct.Struct("<qqHHI")
#: A file that has been this large is deleted when it is empty, in bytes: SQLite gives no room back by itself.
_WORTH_DELETING = 10_000_000


class Datagram(NamedTuple):
    """One datagram: when it came (nanoseconds since 1970), the how-manieth of its process it is, and from where."""

    received: int
    number: int
    host: str
    port: int
    raw: bytes


class Batch(NamedTuple):
    """Datagrams that were put in together by a process that started at `started`, nanoseconds since 1970.

    `put` were put in; of a damaged batch none come out.
    """

    offset: int
    put: int
    started: int
    datagrams: list[Datagram]


class Refused(Exception):
    """A batch that found no room; `reason` is the ledger's."""

    def __init__(self, reason: str, fault: Exception) -> None:
        super().__init__(f"{reason}: {fault}")
        self.reason = reason


class DatagramBuffer:
    """The datagrams of one source. One process uses it; its methods may block for as long as the disk does."""

    def __init__(self, folder: Path, source: str, limit_bytes: int) -> None:
        self._path = folder / f"{source}.db"
        self._queue = SqliteBus(folder, limit_bytes)
        self._source = source
        self.held = 0
        if self._path.exists():
            self.held = self._queue.backlog(source, {})[0]

    @staticmethod
    def waiting(path: Path) -> int:
        """Return how many datagrams a file of a buffer holds; one that is damaged counts as one."""
        try:
            buffer = DatagramBuffer(path.parent, path.stem, 0)
        except sqlite3.DatabaseError:
            return 1
        buffer.close()
        return buffer.held

    def put(self, started: int, datagrams: Sequence[Datagram]) -> None:
        """Keep datagrams; they are on the disk when this returns.

        Raises:
            Refused: the limit is reached, or the disk is full; nothing of the batch was kept.
        """
        payload = zstandard.ZstdCompressor(level=1).compress(_START.pack(started) + b"".join(map(_pack, datagrams)))
        try:
            self._queue.publish(self._source, [Frame(self._source, len(datagrams), payload)])
        except SlowDown as error:
            raise Refused("udp_buffer_full", error) from error
        except (sqlite3.Error, OSError) as error:
            raise Refused("udp_buffer_unwritable", error) from error
        self.held += len(datagrams)

    def first(self) -> Batch | None:
        """Return the oldest batch, or None when there is nothing."""
        if not self.held:
            return None
        records = self._queue.read(self._source, {}, limit_bytes=1)
        if not records:
            self.held = 0
            return None
        (record, *_) = records
        try:
            content = zstandard.ZstdDecompressor().decompress(record.payload)
            return Batch(record.offset, record.events, _START.unpack_from(content)[0], list(_unpack(content)))
        except (zstandard.ZstdError, struct.error, UnicodeDecodeError):  # the disk has damaged it
            return Batch(record.offset, record.events, 0, [])

    def done(self, batch: Batch) -> None:
        """Forget a batch: it is safe elsewhere.

        Raises:
            sqlite3.Error: the disk is full, and it is still there.
        """
        self._queue.trim(self._source, {0: batch.offset + 1})
        self.held -= batch.put
        if not self.held and self._path.stat().st_size > _WORTH_DELETING:
            self._queue.close()  # with it SQLite's other files go
            self._path.unlink()

    def close(self) -> None:
        """Let go of the file."""
        self._queue.close()


def _pack(datagram: Datagram) -> bytes:
    host = datagram.host.encode()
    head = _HEAD.pack(datagram.received, datagram.number, len(host), datagram.port, len(datagram.raw))
    return head + host + datagram.raw


def _unpack(content: bytes) -> Iterator[Datagram]:
    place = _START.size
    while place < len(content):
        received, number, host_bytes, port, raw_bytes = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        host = content[place : place + host_bytes].decode()
        place += host_bytes
        yield Datagram(received, number, host, port, content[place : place + raw_bytes])
        place += raw_bytes

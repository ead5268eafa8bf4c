"""Packets enter, what flows begin with is kept on the disk for minutes or hours; the packets of an alert leave.

Of each direction of a flow the first bytes are kept and the rest is left out: they say what a connection was, and the
rest is most of the traffic (Kornexl et al., "Building a time machine for efficient recording and retrieval of
high-volume network traffic", IMC 2005). So a few hundred megabytes hold hours of an office. Who has sent how much is
counted in a table of hashes, which is emptied now and then: of a long flow something is kept again.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, TypeAlias

import numpy as np

from collectors.network.capture_files import Buffer, Place
from pipeline.logs import log

#: Of a direction, bytes on the wire that are kept, and after how long the counts begin anew, in microseconds.
CUT, AGAIN = 32_768, 300_000_000
#: Bytes of a file; the oldest file is deleted when there are too many.
_FILE = 4_000_000
_TABLE = 1 << 20
#: pcap with microseconds, little endian (draft-ietf-opsawg-pcap): the file's header and a record's.
_FILE_HEAD = Struct("<IHHiIII").pack
_RECORD = Struct("<IIII")
_MAGIC, _SNAP = 0xA1B2C3D4, 262_144
_Places: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"
#: What `Place` is made of, as columns.
_TIME, _AT, _LENGTH, _WIRE, _LINK = range(5)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Recorder:
    """What one interface's flows begin with, in a folder of capture files of at most `megabytes`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files = max(2, megabytes * 1_000_000 // _FILE)
        self._sent = np.zeros(_TABLE, np.uint32)
        self._began = 0
        self._open: int | None = None
        self._size, self._link = 0, 0
        self.fault = ""

    def take(self, buffer: Buffer, packets: Sequence[Place]) -> None:
        """Keep what is to be kept of the packets that lie in the buffer. A disk that takes nothing costs only these."""
        if not packets:
            return
        if packets[0][0] - self._began > AGAIN:
            self._began = packets[0][0]
            self._sent[:] = 0
        places = np.array(packets, np.int64)
        try:
            self._write(buffer, places[self._chosen(buffer, places)])
        except OSError as error:
            if not self.fault:
                log("network").error("no_evidence", folder=str(self._folder), reason=str(error))
            self.fault = str(error)
            self.close()
        else:
            self.fault = ""

    def close(self) -> None:
        """End the file that is written."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _chosen(self, buffer: Buffer, places: _Places) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Say of each packet whether its direction has not sent enough yet."""
        whole = np.flatnonzero(places[:, _LENGTH] >= 62)
        keep = np.ones(len(places), bool)
        if len(whole):
            slots = _slots(buffer, places[whole, _AT])
            keep[whole] = self._sent[slots] < CUT
            np.add.at(self._sent, slots, places[whole, _WIRE].astype(np.uint32))
        return keep

    def _write(self, buffer: Buffer, kept: _Places) -> None:
        """Write packets, into the next file where one is full or the link is another one."""
        lengths = np.minimum(kept[:, _LENGTH], _SNAP)
        head = (kept[:, _TIME] // 1_000_000, kept[:, _TIME] % 1_000_000, lengths, kept[:, _WIRE])
        heads = np.stack(head, axis=1).astype("<u4").view("V16").ravel().tolist()
        begins, ends = kept[:, _AT].tolist(), (kept[:, _AT] + lengths).tolist()
        sizes = np.cumsum(lengths + _RECORD.size)
        start = 0
        while start < len(kept):
            time, link = int(kept[start, _TIME]), int(kept[start, _LINK])
            if self._open is None or self._size >= _FILE or link != self._link:
                self._begin(time, link)
            before = int(sizes[start - 1]) if start else 0
            stop = int(np.searchsorted(sizes, before + _FILE - self._size)) + 1  # the last one makes it full
            others = np.flatnonzero(kept[start:stop, _LINK] != link)
            stop = start + int(others[0]) if len(others) else min(stop, len(kept))
            parts: list[bytes] = []
            for each, begin, end in zip(heads[start:stop], begins[start:stop], ends[start:stop], strict=True):
                parts += each, buffer[begin:end]
            self._flush(b"".join(parts))
            self._size += int(sizes[stop - 1]) - before
            start = stop

    def _flush(self, data: bytes) -> None:
        while data and self._open is not None:
            data = data[os.write(self._open, data) :]

    def _begin(self, time: int, link: int) -> None:
        self.close()
        files = files_of(self._folder)
        for old in files[: max(0, len(files) + 1 - self._files)]:
            old.unlink(missing_ok=True)
        path = self._folder / f"{time:020}.pcap"
        self._open = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(self._open, _FILE_HEAD(_MAGIC, 2, 4, 0, 0, _SNAP, link))
        self._size, self._link = 24, link


def _slots(buffer: Buffer, at: _Places) -> _Places:
    """Return the place in the table of each packet's direction: a hash of addresses and ports."""
    # Numbers from each byte of the buffer on, which overlap.
    kinds, fields = (np.ndarray((len(buffer) - size + 1,), f">u{size}", buffer, 0, (1,)) for size in (2, 4))
    at = at + np.where(kinds[at + 12] == 0x8100, 4, 0)
    is_six = kinds[at + 12] == 0x86DD
    mixed = _mixed(fields, at + 26, 12)
    if is_six.any():
        mixed[is_six] = _mixed(fields, at[is_six] + 22, 36)
    return (mixed >> np.uint64(44)).astype(np.int64)


def _mixed(fields: "np.ndarray[Any, Any]", begin: _Places, length: int) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """Return a hash of both addresses and the ports, so many bytes."""
    mixed = np.zeros(len(begin), np.uint64)
    for place in range(0, length, 4):
        mixed = (mixed ^ fields[begin + place]) * _MULTIPLIER
    return mixed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which packets: of a time (microseconds since 1970), between two addresses as they lie in a packet, or of one."""

    first: int
    last: int
    addresses: tuple[bytes, ...]


def files_of(folder: Path) -> list[Path]:
    """Return the capture files of a folder, the oldest first."""
    return sorted(folder.glob("*.pcap"))


def packets_of(folder: Path, wanted: Wanted, most_bytes: int) -> tuple[bytes, int, bool]:
    """Return the packets wanted as one capture file, how many there are, and whether some did not find room.

    A packet is of an address where the address stands in it: also one of a tunnel, or of an error of ICMP about it.
    """
    made: list[bytes] = []
    size = count = 0
    link = 0
    full = False
    files = files_of(folder)
    for number, path in enumerate(files):
        if (number + 1 < len(files) and int(files[number + 1].stem) < wanted.first) or int(path.stem) > wanted.last:
            continue
        for head, record, of in _records(path):
            time = head[0] * 1_000_000 + head[1]
            if not wanted.first <= time <= wanted.last or not all(each in record[:160] for each in wanted.addresses):
                continue
            if (link and of != link) or size + len(record) + 16 > most_bytes:
                full = True
                continue
            link = of
            made.append(_RECORD.pack(*head) + record)
            size += len(record) + 16
            count += 1
    return _FILE_HEAD(_MAGIC, 2, 4, 0, 0, _SNAP, link or 1) + b"".join(made), count, full


def _records(path: Path) -> Iterator[tuple[tuple[int, int, int, int], bytes, int]]:
    """Yield a file's records, their heads and the kind of link, as far as it is whole: its end may be on its way."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # it was the oldest
        return
    if len(data) < 24:
        return
    link, at = int.from_bytes(data[20:24], "little"), 24
    while at + 16 <= len(data):
        head = _RECORD.unpack_from(data, at)
        at += 16 + head[2]
        if at > len(data) or head[2] > _SNAP:
            return
        yield head, data[at - head[2] : at], link

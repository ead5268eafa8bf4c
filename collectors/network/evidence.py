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
from typing import TypeAlias

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
_Bytes: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
_Places: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"
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
        kept = [packets[number] for number in self._chosen(buffer, packets)]
        try:
            self._write(buffer, kept)
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

    def _chosen(self, buffer: Buffer, packets: Sequence[Place]) -> list[int]:
        """Return the numbers of the packets whose direction has not sent enough yet."""
        places = np.array([(at, length, wire) for _, at, length, wire, _ in packets], np.int64)
        whole = np.flatnonzero(places[:, 1] >= 62)
        keep = np.ones(len(packets), bool)
        if len(whole):
            slots = self._slots(np.frombuffer(buffer, np.uint8), places[whole, 0])
            keep[whole] = self._sent[slots] < CUT
            np.add.at(self._sent, slots, places[whole, 2].astype(np.uint32))
        return [int(number) for number in np.flatnonzero(keep)]

    def _slots(self, data: _Bytes, at: _Places) -> _Places:
        """Return the place in the table of each packet's direction: a hash of addresses and ports."""
        tagged = (data[at + 12] == 0x81) & (data[at + 13] == 0)
        at = at + np.where(tagged, 4, 0)
        is_six = (data[at + 12] == 0x86) & (data[at + 13] == 0xDD)
        begin = at + np.where(is_six, 22, 26)
        mixed = np.zeros(len(at), np.uint64)
        for place in range(0, 36, 4):  # both addresses and the ports: 12 bytes, of IPv6 36
            word = sum((data[begin + place + n].astype(np.uint64) << np.uint64(8 * n) for n in range(4)), np.uint64(0))
            mixed = np.where((place < 12) | is_six, (mixed ^ word) * _MULTIPLIER, mixed)
        return (mixed >> np.uint64(44)).astype(np.int64)

    def _write(self, buffer: Buffer, kept: Sequence[Place]) -> None:
        parts: list[bytes] = []
        for time, at, length, wire, link in kept:
            if self._open is None or self._size >= _FILE or link != self._link:
                self._flush(parts)
                self._begin(time, link)
            length = min(length, _SNAP)  # noqa: PLW2901
            parts.append(_RECORD.pack(time // 1_000_000, time % 1_000_000, length, wire))
            parts.append(bytes(buffer[at : at + length]))
            self._size += _RECORD.size + length
        self._flush(parts)

    def _flush(self, parts: list[bytes]) -> None:
        if parts and self._open is not None:
            data = b"".join(parts)
            while data:
                data = data[os.write(self._open, data) :]
        parts.clear()

    def _begin(self, time: int, link: int) -> None:
        self.close()
        files = files_of(self._folder)
        for old in files[: max(0, len(files) + 1 - self._files)]:
            old.unlink(missing_ok=True)
        path = self._folder / f"{time:020}.pcap"
        self._open = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(self._open, _FILE_HEAD(_MAGIC, 2, 4, 0, 0, _SNAP, link))
        self._size, self._link = 24, link


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

"""Files that grow: patterns enter, events leave; each file goes on where it was, also after a restart, a rotation or a cut.

A file is known by device, inode and a fingerprint of its first bytes. How far it was read is saved when its events are
on the bus: a kill in between reads some lines again, and they get the ids they had.
"""

import asyncio
import contextlib
import glob
import hashlib
import os
import re
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson
from sqlalchemy import select

from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.reading import is_syslog
from collectors.windows_events import EVTX_MAGIC, read_evtx
from pipeline.event import event_id
from pipeline.logs import log
from pipeline.settings import FilesSource, Settings
from pipeline.stage import Stage
from pipeline.state import upsert
from pipeline.state.tables import files

_PIECE = 262_144
#: Bytes at a file's start that tell it from another one with the same inode.
_FINGERPRINT_BYTES = 256
#: A last line without its end is taken as whole when the file has not grown for this long, in seconds.
_LAST_LINE_SECONDS = 5.0
#: Lines of one record at most, when records have several lines.
_MAX_RECORD_LINES = 500
#: Files of one source that are open at once.
_MAX_OPEN = 500


@dataclass(slots=True)
class _File:
    """One file and how far it was read. `offset` is after the last line taken in (of an `.evtx`: the last record)."""

    file_id: str
    path: Path
    device: int
    inode: int
    offset: int = 0
    fingerprint: str = ""
    fingerprint_bytes: int = 0
    handle: BinaryIO | None = None
    grown: float = field(default_factory=time.monotonic)
    stamp: int = 0
    syslog: bool | None = None
    saved_offset: int = -1


async def listen(source: FilesSource, settings: Settings, intake: Intake) -> Listening:
    """Watch the source's files until `Listening.close`."""
    listening = Listening(source.name)
    tailer = Tailer(source, settings, intake)
    for pattern in source.paths:
        listening.opened(f"files {pattern}", tailer.close)
    listening.task(tailer.run())
    return listening


class Tailer:
    """Reads one source's files again and again."""

    def __init__(self, source: FilesSource, settings: Settings, intake: Intake) -> None:
        hints = Hints(dataset=source.dataset, timezone=zone(source.timezone))
        self._source = source
        self._origin = Origin(source.name, settings.observer, settings.organization, hints, source.encoding)
        self._intake = intake
        self._stage: Stage = intake.stage
        self._limit = settings.limits.decode_bytes
        self._first_line = re.compile(source.multiline.encode()) if source.multiline else None
        self._files: dict[tuple[int, int], _File] = {}
        self._faults: set[str] = set()

    async def run(self) -> None:
        """Look at the files every `poll_seconds`."""
        self._load()
        first = True
        while True:
            grew = await self.poll(first)
            first = False
            if not grew:
                await asyncio.sleep(self._source.poll_seconds)

    async def poll(self, first: bool = False) -> bool:
        """Read what has come; say whether there was something."""
        now_there = self._find(first)
        grew = False
        for key, file in list(self._files.items()):
            if not self._intake.room:
                break
            try:
                grew = await self._read(file, last=key not in now_there) or grew
            except OSError as error:
                self._fault(f"{file.path}: {error}")
            if key not in now_there:
                self._let_go(key)
        await self._save()
        return grew

    def close(self) -> None:
        """Let go of the open files."""
        for file in self._files.values():
            if file.handle is not None:
                file.handle.close()
                file.handle = None

    def _find(self, first: bool) -> set[tuple[int, int]]:
        there: set[tuple[int, int]] = set()
        for pattern in self._source.paths:
            for name in glob.iglob(pattern, recursive=True):
                path = Path(name)
                try:
                    status = path.stat()
                except OSError:
                    continue
                if not os.path.isfile(name):  # noqa: PTH113 - one call, no second stat object
                    continue
                key = (status.st_dev, status.st_ino)
                there.add(key)
                known = self._files.get(key)
                if known is None:
                    self._begin(path, status, skip=first and not self._source.from_start)
                elif known.path != path:
                    known.path = path
        self._follow_rotated(there)
        return there

    def _begin(self, path: Path, status: os.stat_result, skip: bool) -> None:
        if len(self._files) >= _MAX_OPEN:
            self._fault(f"{path}: more than {_MAX_OPEN} files of source {self._source.name}; not read")
            return
        key = (status.st_dev, status.st_ino)
        self._files[key] = self._fresh(path, status.st_dev, status.st_ino)
        if skip:
            self._files[key].offset = status.st_size

    def _fresh(self, path: Path, device: int, inode: int) -> _File:
        """Return a file that was never read; its id tells it from an earlier one of the same name or inode."""
        return _File(event_id("file", self._origin.observer, str(path), inode, time.time_ns()), path, device, inode)

    def _follow_rotated(self, there: set[tuple[int, int]]) -> None:
        """A file renamed out of the pattern keeps its inode: find it in its folder, and read it to its end."""
        for key, file in self._files.items():
            if key in there or file.handle is not None:
                continue
            with contextlib.suppress(OSError):
                for entry in os.scandir(file.path.parent):
                    if entry.is_file(follow_symlinks=False) and entry.inode() == file.inode:
                        file.path = Path(entry.path)
                        break

    async def _read(self, file: _File, last: bool) -> bool:
        if file.handle is None:
            file.handle = file.path.open("rb")
        status = os.fstat(file.handle.fileno())
        if (status.st_dev, status.st_ino) != (file.device, file.inode):
            file.handle.close()
            file.handle = None
            return False
        if file.handle.seek(0) == 0 and file.handle.read(8) == EVTX_MAGIC:
            return await self._read_evtx(file, status)
        if status.st_size < file.offset or not self._same_start(file):
            log("files").warning("starts_anew", path=str(file.path), read=file.offset, size=status.st_size)
            fresh = self._fresh(file.path, file.device, file.inode)
            file.file_id, file.offset, file.fingerprint, file.fingerprint_bytes = fresh.file_id, 0, "", 0
        if status.st_size > file.offset:
            file.grown = time.monotonic() if status.st_size != file.stamp else file.grown
            file.stamp = status.st_size
        return await self._read_lines(file, last)

    def _same_start(self, file: _File) -> bool:
        if file.handle is None:
            return True
        file.handle.seek(0)
        start = file.handle.read(_FINGERPRINT_BYTES)
        same = not file.fingerprint_bytes or _digest(start[: file.fingerprint_bytes]) == file.fingerprint
        if same and len(start) > file.fingerprint_bytes:
            file.fingerprint, file.fingerprint_bytes = _digest(start), len(start)
        return same

    async def _read_lines(self, file: _File, last: bool) -> bool:
        grew = False
        while file.handle is not None and self._intake.room:
            file.handle.seek(file.offset)
            data = file.handle.read(_PIECE)
            quiet = last or time.monotonic() - file.grown > _LAST_LINE_SECONDS
            records, used = self._records(data, whole=quiet and len(data) < _PIECE)
            if not records and not used:
                break
            self._take(file, records, data)
            file.offset += used
            grew = True
            await asyncio.sleep(0)
        return grew

    def _records(self, data: bytes, whole: bool) -> tuple[list[tuple[int, bytes]], int]:
        """Return the records of a piece with their places in it, and how many bytes they took."""
        end = data.rfind(b"\n") + 1
        if whole:
            end = len(data)
        elif not end and len(data) >= _PIECE:
            end = len(data)  # a line longer than a piece: taken in pieces, each an event that says so
        lines: list[tuple[int, bytes]] = []
        at = 0
        for line in data[:end].splitlines(keepends=True) if end else []:
            lines.append((at, line))
            at += len(line)
        if self._first_line is None:
            return [(place, line.rstrip(b"\r\n")) for place, line in lines if line.strip()], end
        return self._joined(lines, end, whole)

    def _joined(self, lines: list[tuple[int, bytes]], end: int, whole: bool) -> tuple[list[tuple[int, bytes]], int]:
        assert self._first_line is not None
        groups: list[list[tuple[int, bytes]]] = []
        for place, line in lines:
            if not groups or self._first_line.match(line) or len(groups[-1]) >= _MAX_RECORD_LINES:
                groups.append([])
            groups[-1].append((place, line))
        if groups and not whole and end < _PIECE:
            end = groups.pop()[0][0]  # the last record may go on
        joined = [(group[0][0], b"".join(line for _, line in group).rstrip(b"\r\n")) for group in groups]
        return [item for item in joined if item[1].strip()], end

    def _take(self, file: _File, records: list[tuple[int, bytes]], data: bytes) -> None:
        received = datetime.now(UTC)
        if file.syslog is None:
            file.syslog = is_syslog(data)
        origin = self._origin
        if file.syslog and origin.hints.dataset is None:
            origin = replace(origin, hints=replace(origin.hints, syslog=True))
        events = []
        for place, raw in records:
            position = (file.file_id, file.offset + place)
            more: dict[str, str | int] = {"log.file.path": str(file.path), "log.offset": file.offset + place}
            if len(raw) > self._limit:
                more["error.message"] = f"record of {len(raw)} bytes cut at {self._limit}"
            line = raw[: self._limit]
            events.append(
                _json_event(origin, line, position, received, more) or origin.event(line, position, received, more)
            )
        self._intake.take(self._source.name, events, str(file.path))

    async def _read_evtx(self, file: _File, status: os.stat_result) -> bool:
        if status.st_mtime_ns == file.stamp:
            return False
        file.stamp = status.st_mtime_ns
        events: list[bytes] = []
        newest = file.offset
        for event in read_evtx(file.path, self._origin, datetime.now(UTC), after=file.offset):
            events.append(event)
            newest = max(newest, orjson.loads(event).get("event.sequence", 0))
            if len(events) >= 1000:
                self._intake.take(self._source.name, events, str(file.path))
                events = []
                await asyncio.sleep(0)
        self._intake.take(self._source.name, events, str(file.path))
        changed = newest != file.offset
        file.offset = newest
        return changed

    def _let_go(self, key: tuple[int, int]) -> None:
        file = self._files.pop(key)
        if file.handle is not None:
            file.handle.close()

    async def _save(self) -> None:
        """Save how far the files were read, once their events are on the bus."""
        changed = [file for file in self._files.values() if file.offset != file.saved_offset]
        if not changed:
            return
        await self._intake.durable()
        rows = [
            {
                "source": self._source.name, "file_id": file.file_id, "path": str(file.path), "device": file.device,
                "inode": file.inode, "offset": file.offset, "fingerprint": file.fingerprint,
                "fingerprint_bytes": file.fingerprint_bytes, "seen": time.time(),
            }
            for file in changed
        ]  # fmt: skip

        def save() -> None:
            with self._stage.engine.begin() as connection:
                upsert(connection, files, rows, key=["source", "file_id"])

        await asyncio.to_thread(save)
        for file in changed:
            file.saved_offset = file.offset

    def _load(self) -> None:
        query = select(files).where(files.c.source == self._source.name).order_by(files.c.seen)
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            self._files[row["device"], row["inode"]] = _File(
                row["file_id"], Path(row["path"]), row["device"], row["inode"], row["offset"],
                row["fingerprint"], row["fingerprint_bytes"], saved_offset=row["offset"],
            )  # fmt: skip

    def _fault(self, text: str) -> None:
        if text not in self._faults:
            self._faults.add(text)
            log("files").error("cannot_read", source=self._source.name, reason=text)


def _json_event(
    origin: Origin, line: bytes, position: tuple[str, int], received: datetime, more: dict[str, str | int]
) -> bytes | None:
    if line.lstrip()[:1] != b"{":
        return None
    try:
        return origin.object_event(orjson.loads(line), position, received, more)
    except orjson.JSONDecodeError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()

"""Files that grow: patterns enter, events leave; each file goes on where it was, after a restart, a rotation or a cut.

A file is known by device, inode and a fingerprint of its first bytes. Its id is saved before its first event is taken
in, how far it was read when its events are on the bus: a kill in between reads some lines again, with the ids they had.
"""

import asyncio
import contextlib
import glob
import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from collectors.decoders import Hints
from collectors.decoders.zeek_layout import Layouts
from collectors.envelope import Origin, zone
from collectors.file_records import Reader, Record, utf16_of
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.reading import is_syslog
from collectors.unpacking import GZIP_MAGIC, ZSTD_MAGIC
from collectors.windows_events import EVTX_MAGIC, read_evtx
from pipeline.event import event_id
from pipeline.logs import log
from pipeline.settings import FilesSource, Settings
from pipeline.state import upsert
from pipeline.state.tables import files

#: Bytes at a file's start that tell it from another one with the same inode.
_FINGERPRINT_BYTES = 256
#: A last line without its end is taken as whole when the file has not grown for this long, in seconds.
LAST_LINE_SECONDS = 5.0
#: A file that was renamed or deleted is read on until it has not grown for this long, in seconds: programs go on
#: writing to it until they are told of the rotation.
GONE_SECONDS = 60.0
#: An `.evtx` is read when it has not changed for this long, in seconds: half a copy is full of broken records.
_SETTLED_SECONDS = 2.0
#: Pieces of one file that are read before the others have their turn.
_TURN_PIECES = 16
#: Files of one source that are kept open; the others are opened again when they grow.
_MAX_OPEN = 500
#: Files of one source that are remembered after they are gone.
_MAX_GONE = 10_000
_HELD_SECONDS = 0.05
_PACKED = (GZIP_MAGIC, ZSTD_MAGIC, b"BZh", b"\xfd7zXZ")

_Key = tuple[int, int]


@dataclass(slots=True)
class _File:
    """One file and how far it was read. `offset` is after the last record taken in (of an `.evtx`: its number)."""

    file_id: str
    path: str
    offset: int = 0
    fingerprint: str = ""
    fingerprint_bytes: int = 0
    handle: int | None = None
    state: tuple[int, int] = (-1, -1)  # size and time of change, when last looked at
    grown: float = field(default_factory=time.monotonic)
    gone: bool = False
    unread: bool = True
    unsaved: bool = False
    live: bool = False  # it was read to its end, so what comes is written now
    skip: bool = False  # what is there now is not wanted
    syslog: bool | None = None
    layouts: Layouts | None = None  # what its header says of its lines, if it is a log of Zeek's

    @property
    def shown(self) -> str:
        """The path as text; a file's name may be any bytes."""
        return os.fsencode(self.path).decode("utf-8", "replace")

    def close(self) -> None:
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


async def listen(source: FilesSource, settings: Settings, intake: Intake) -> Listening:
    """Watch the source's files until `Listening.close`.

    Raises:
        HaidangError, re.error: its time zone is unknown, or `multiline` is no regular expression.
    """
    listening = Listening(source.name)
    tailer = Tailer(source, settings, intake, listening)
    for pattern in source.paths:
        listening.opened(f"files {pattern}")
    running = listening.task(tailer.run())

    async def close() -> None:
        tailer.closing.set()
        await asyncio.wait([running])

    listening.on_close(close)
    return listening


class Tailer:
    """Reads one source's files again and again."""

    def __init__(self, source: FilesSource, settings: Settings, intake: Intake, listening: Listening) -> None:
        hints = Hints(dataset=source.dataset, timezone=zone(source.timezone))
        self._source = source
        self._patterns = [*source.paths, glob.escape(str(intake.canaries.file(source.name)))]
        stage = intake.stage
        shared = stage.engine.dialect.name == "postgresql"  # other machines' files lie in the same table
        self._key = f"{source.name}@{stage.instance}" if shared else source.name
        self._origin = Origin(source.name, settings.observer, settings.organization, hints, source.encoding)
        self._intake = intake
        self._listening = listening
        self._engine = stage.engine
        self._limit = settings.limits.decode_bytes
        first_line = re.compile(source.multiline.encode()) if source.multiline else None
        self._reader = Reader(self._limit, first_line)
        self._files: dict[_Key, _File] = {}
        self.closing = asyncio.Event()

    async def run(self) -> None:
        """Look at the files every `poll_seconds`, until `closing`."""
        first = True
        more = False
        while not self.closing.is_set():
            try:
                if first:
                    await asyncio.to_thread(self._load)
                more = await self.poll(new_from_start=self._source.from_start or not first)
                first = False
                self._listening.mended(self._source.name)
            except (OSError, SQLAlchemyError) as error:  # a full disk, a state that another one holds: it may pass
                more = False
                self._listening.failed(self._source.name, str(error))
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closing.wait(), self._source.poll_seconds)
        for file in self._files.values():
            file.close()

    async def poll(self, new_from_start: bool = True) -> bool:
        """Read what has come; say whether there is more."""
        found = await asyncio.to_thread(self._find)
        self._compare(found, new_from_start)
        await self._save()
        more = False
        for key, file in list(self._files.items()):
            if self.closing.is_set():
                break
            try:
                more = await self._look_at(key, file, found.get(key)) or more
            except OSError as error:
                self._listening.failed(file.shown, str(error))
            except RuntimeError as error:  # not before it changes
                file.unread = False
                self._listening.failed(file.shown, str(error))
        await self._save()
        self._close_some()
        return more

    def _find(self) -> dict[_Key, tuple[str, os.stat_result]]:
        found: dict[_Key, tuple[str, os.stat_result]] = {}
        for pattern in self._patterns:
            for name in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - absolute patterns, which Path.glob refuses
                with contextlib.suppress(OSError):
                    status = Path(name).stat()
                    if stat.S_ISREG(status.st_mode):
                        found.setdefault((status.st_dev, status.st_ino), (name, status))
        return found

    def _compare(self, found: dict[_Key, tuple[str, os.stat_result]], new_from_start: bool) -> None:
        for key, (name, _) in found.items():
            file = self._files.get(key)
            if file is None:
                file = self._files[key] = self._fresh(name, key)
                file.skip = not new_from_start
            file.path, file.gone = name, False
        missing = [key for key, file in self._files.items() if key not in found and not file.gone]
        self._follow(missing)
        gone = [key for key, file in self._files.items() if file.gone and file.handle is None]
        for key in gone[: max(0, len(gone) - _MAX_GONE)]:
            self._forget(key)

    def _fresh(self, path: str, key: _Key) -> _File:
        """Return a file that was never read; its id tells it from an earlier one of the same name or inode."""
        identity = event_id("file", self._origin.observer, os.fsencode(path), key[1], time.time_ns())
        return _File(identity, path, unsaved=True)

    def _follow(self, missing: list[_Key]) -> None:
        """A file renamed out of the pattern keeps its inode: find it in its folder, and read it to its end."""
        renamed: dict[str, dict[int, str]] = {}
        for key in missing:
            file = self._files[key]
            file.gone, file.unread = True, True
            file.grown = time.monotonic()
            if file.handle is not None:
                continue
            folder = str(Path(file.path).parent)
            if folder not in renamed:
                renamed[folder] = {}
                with contextlib.suppress(OSError), os.scandir(folder) as entries:
                    renamed[folder] = {entry.inode(): entry.path for entry in entries if entry.is_file()}
            name = renamed[folder].get(key[1])
            if name is not None:
                file.path = name
                with contextlib.suppress(OSError):
                    self._open(key, file)

    def _open(self, key: _Key, file: _File) -> bool:
        if file.handle is None:
            file.handle = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(file.handle)
            if (status.st_dev, status.st_ino) != key:  # replaced between two looks
                file.close()
        return file.handle is not None

    async def _look_at(self, key: _Key, file: _File, found: tuple[str, os.stat_result] | None) -> bool:
        if found is None and file.handle is None:
            return False
        status = found[1] if found else os.fstat(file.handle or 0)
        state = (status.st_size, status.st_mtime_ns)
        if state != file.state:
            file.state, file.unread = state, True
            file.grown = time.monotonic()
        if file.unread and self._open(key, file):
            more = await self._read(key, file)
            self._listening.mended(file.shown)
            return more
        if file.gone and time.monotonic() - file.grown > GONE_SECONDS:
            file.close()
        return False

    async def _read(self, key: _Key, file: _File) -> bool:
        assert file.handle is not None
        start = os.pread(file.handle, _FINGERPRINT_BYTES, 0)
        if start.startswith(EVTX_MAGIC):
            return await self._read_evtx(file)
        if start.startswith(_PACKED):
            raise RuntimeError("a packed file is not read: a rotated log was read before; for others, `haidang import`")
        same = _digest(start[: file.fingerprint_bytes]) == file.fingerprint or not file.fingerprint_bytes
        if file.skip:
            file.offset, file.skip = file.state[0], False
        elif os.fstat(file.handle).st_size < file.offset or not same:
            log("files").warning("starts_anew", path=file.shown, read=file.offset)
            fresh = self._fresh(file.path, key)
            file.file_id, file.offset, file.fingerprint_bytes, file.unsaved = fresh.file_id, 0, 0, True
            file.layouts = None
            await self._save()
        if len(start) > file.fingerprint_bytes:
            file.fingerprint, file.fingerprint_bytes, file.unsaved = _digest(start), len(start), True
        return await self._read_lines(file, replace(self._reader, utf16=utf16_of(start, self._source.encoding)))

    async def _read_lines(self, file: _File, reader: Reader) -> bool:
        assert file.handle is not None
        read = partial(os.pread, file.handle)
        if file.layouts is None:
            file.layouts = Layouts(file.path)
            if file.offset:  # its header was read by an earlier process, or never
                await asyncio.to_thread(file.layouts.recover, read, file.offset)
        for _ in range(_TURN_PIECES):
            while not self._intake.room and not self.closing.is_set():
                await asyncio.sleep(_HELD_SECONDS)
            if self.closing.is_set():
                return False
            quiet = time.monotonic() - file.grown > LAST_LINE_SECONDS
            piece = reader.next(read, file.offset, whole=quiet)
            if piece is None:
                file.unread = file.offset < os.fstat(file.handle).st_size  # a last line without its end
                file.live = True
                return False
            records, end = piece
            self._take(file, records, reader)
            file.offset, file.unsaved = end, True
            await asyncio.sleep(0)
        return True

    def _take(self, file: _File, records: list[Record], reader: Reader) -> None:
        received = datetime.now(UTC)
        if file.syslog is None and records:
            file.syslog = is_syslog(b"\n".join(record.raw for record in records[:20]))
        origin = replace(self._origin, encoding="utf-8") if reader.utf16 else self._origin
        if file.syslog and origin.hints.dataset is None:
            origin = replace(origin, hints=replace(origin.hints, syslog=True))
        layouts = file.layouts or Layouts(file.path)
        events = []
        for record in records:
            if layouts.is_header(record.raw):
                continue
            origin = origin.with_layout(layouts.layout)
            position = (file.file_id, record.place, record.raw)
            more: dict[str, str | int] = {"log.file.path": file.shown, "log.offset": record.place}
            if len(record.raw) > self._limit:
                more["error.message"] = f"record longer than {self._limit} bytes; the rest was left out"
            events.append(origin.line_event(record.raw[: self._limit], position, received, more))
        self._intake.take(self._source.name, events, file.shown, file.live)

    async def _read_evtx(self, file: _File) -> bool:
        if time.monotonic() - file.grown < _SETTLED_SECONDS:
            return False
        assert file.handle is not None
        file.unread = False
        # The header's next record number (bytes 24 to 32, [libevtx, "File header"]) says when the log was cleared.
        newest = int.from_bytes(os.pread(file.handle, 8, 24), "little")
        if file.skip:
            file.offset, file.skip = newest - 1, False
        after = file.offset if newest > file.offset else 0
        highest = 0
        events: list[bytes] = []
        content = Path(f"/proc/self/fd/{file.handle}")  # whatever it is called by now
        for event in read_evtx(content, self._origin, datetime.now(UTC), after=after, shown=Path(file.shown)):
            events.append(event)
            highest = max(highest, orjson.loads(event).get("event.sequence", 0))
            if len(events) >= 500:
                self._intake.take(self._source.name, events, file.shown, live=False)
                events = []
                await asyncio.sleep(0)
                await self._intake.has_room()
        self._intake.take(self._source.name, events, file.shown, live=False)
        file.offset, file.unsaved = max(after, highest), True
        return False

    def _close_some(self) -> None:
        is_open = sorted(
            (file for file in self._files.values() if file.handle is not None), key=lambda file: file.grown
        )
        for file in is_open[: max(0, len(is_open) - _MAX_OPEN)]:
            file.close()

    async def _save(self) -> None:
        """Save how far the files were read, once their events are on the bus."""
        changed = {key: file for key, file in self._files.items() if file.unsaved}
        if not changed:
            return
        await self._intake.durable()
        rows = [
            {
                "source": self._key, "file_id": file.file_id,
                "path": file.shown, "device": device,
                "inode": inode, "offset": file.offset, "fingerprint": file.fingerprint,
                "fingerprint_bytes": file.fingerprint_bytes, "seen": time.time(),
            }
            for (device, inode), file in changed.items()
        ]  # fmt: skip

        def save() -> None:
            with self._engine.begin() as connection:
                for row in rows:  # what its inode was before
                    connection.execute(
                        delete(files).where(
                            files.c.source == row["source"], files.c.device == row["device"],
                            files.c.inode == row["inode"], files.c.file_id != row["file_id"],
                        )
                    )  # fmt: skip
                upsert(connection, files, rows, key=["source", "file_id"])

        await asyncio.to_thread(save)
        for file in changed.values():
            file.unsaved = False

    def _load(self) -> None:
        query = select(files).where(files.c.source == self._key).order_by(files.c.seen)
        with self._engine.connect().execution_options(read_only=True) as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            self._files[row["device"], row["inode"]] = _File(
                row["file_id"], row["path"], row["offset"], row["fingerprint"], row["fingerprint_bytes"]
            )

    def _forget(self, key: _Key) -> None:
        file = self._files.pop(key)
        with self._engine.begin() as connection:
            connection.execute(delete(files).where(files.c.source == self._key, files.c.file_id == file.file_id))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()

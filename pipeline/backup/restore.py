"""A restore: an archive enters an empty data directory, a site that can be started leaves.

Every byte of the archive is checked before anything is written. Then all is put together in a folder of the data
directory (`pipeline.state.RESTORING`), made durable, and moved to its place by renaming; while that folder is there, no
stage takes the directory for a site. What of the state holds only for the site that was is set right here (`_settle`).
"""

import base64
import fcntl
import os
import shutil
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError

from pipeline import bus
from pipeline.backup import Header, archive
from pipeline.backup.archive import HEADER, Contents, Part
from pipeline.backup.of_state import SETTINGS_FILE
from pipeline.books import BRINGERS, RETRY
from pipeline.bus import sqlite
from pipeline.frame import Frame
from pipeline.instance import instance_of
from pipeline.ledger import DROPPED, IN, OUT, Tally
from pipeline.messages import HaidangError
from pipeline.queue import INDEX
from pipeline.settings import Settings, load_settings
from pipeline.stage import is_running
from pipeline.state import RESTORING, dump, open_engine, positions, state_file, tables
from pipeline.state.revisions import is_known, migrate
from pipeline.toml_faults import toml_fault

#: What events are counted under that waited when the backup without events was made.
NOT_IN_BACKUP = "not_in_backup"
#: What an empty file system may hold.
_NOTHING = frozenset(("lost+found",))
#: The outbox's kind of row that asks for an alert's copy in the store (`response/queue.py`).
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Restored:
    """A site that was restored."""

    header: Header
    dropped: int  # events that waited and are not in the backup
    moved: list[tuple[str, Path]]  # paths of the settings that lie elsewhere now
    unchanged: list[tuple[str, Path]]  # those of them that the settings file still names as they were


def check(file: Path, data_dir: Path) -> Contents:
    """Return what an archive holds, after checking all of it against what this program and this disk can take.

    Raises:
        HaidangError: it is none, cut off, damaged, unsafe, or of a newer version; or there is no room for it.
    """
    there = next(place for place in (data_dir, *data_dir.parents) if place.exists())
    contents = archive.verify(file, shutil.disk_usage(there).free)
    header = contents.header
    if not is_known(header.revision):
        raise HaidangError("backup.newer", file=file, program=header.program, revision=header.revision)
    for place in (*header.files.values(), *(each.to for each in header.named)):
        if not _is_inside(place):
            raise HaidangError("backup.unsafe", file=file, name=place)
    return contents


def restore(file: Path, data_dir: Path) -> Restored:
    """Make the site of an archive in an empty data directory.

    Raises:
        HaidangError: see `check`; or the data directory or the database is not empty, or cannot be written.
    """
    _refuse_full(data_dir)
    header = check(file, data_dir).header
    try:
        with _scratch(data_dir) as scratch:
            restored = _restore(file, data_dir, scratch, header)
        _move(scratch, data_dir)
        return restored
    except OSError as error:
        raise HaidangError("restore.cannot_write", data_dir=data_dir, fault=error.strerror or error) from error
    except SQLAlchemyError as error:
        fault = getattr(error, "orig", error)
        raise HaidangError("restore.cannot_write", data_dir=data_dir, fault=fault) from error


def _restore(file: Path, data_dir: Path, scratch: Path, header: Header) -> Restored:
    parts = archive.read(file)
    filling = _Filling(file, scratch, header)
    filling.take_files(parts)
    moved = [(each.path, data_dir / each.to) for each in header.named]
    try:
        unchanged = _rewrite(scratch / SETTINGS_FILE, moved)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HaidangError("settings.not_toml", file=SETTINGS_FILE, fault=toml_fault(error)) from error
    settings = _settings(scratch)
    if header.bus and settings.bus.kind != "sqlite":
        raise HaidangError("restore.other_bus", bus=settings.bus.kind)
    with ExitStack() as stack:
        engine = open_engine(scratch, settings.state)
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.begin())
        _refuse_full_database(connection, settings)
        migrate(connection, header.revision)
        filling.take_rest(parts, connection)
        migrate(connection)
        dropped = 0
        if settings.bus.kind == "sqlite":
            dropped = _settle(connection, header, scratch / "bus")
        _rename_files(connection, header, settings, scratch)
        # the site that was may still run: nothing leaves of both before a person says of this one that it may
        connection.execute(update(tables.share_profiles).values(confirmed=""))
    _make_durable(scratch)
    return Restored(header, dropped, moved, unchanged)


class _Filling:
    """Puts the parts of an archive into a folder, those of the state into a database, as they come."""

    def __init__(self, file: Path, scratch: Path, header: Header) -> None:
        self._file = file
        self._scratch = scratch
        self._header = header
        self._next: Part | None = None

    def take_files(self, parts: Iterator[Part]) -> None:
        """Write the files that are no events; they come first."""
        for part in parts:
            if part.name == HEADER:
                if archive.checked_header(self._file, part.name, part.whole()) != self._header:
                    raise HaidangError("backup.damaged", file=self._file, fault=HEADER)  # another file by now
            elif part.name in self._header.files:
                self._write(part, self._scratch / self._header.files[part.name])
            else:
                self._next = part
                return

    def take_rest(self, parts: Iterator[Part], connection: Connection) -> None:
        """Write rows, frames and indexes."""
        loader = dump.Loader(connection)
        ends: dict[str, int] = dict(self._header.bus.items())
        for topic, end in ends.items():
            sqlite.fill(self._scratch / "bus", topic, end, [])
        while (part := self._next) is not None:
            kind, _, rest = part.name.partition("/")
            try:
                if kind == "state":
                    loader.add(rest.partition("/")[0], self._rows(part))
                elif kind == "bus":
                    topic = rest.partition("/")[0]
                    sqlite.fill(self._scratch / "bus", topic, ends[topic], _frames(self._rows(part)))
                elif kind == "index":
                    self._write(part, self._scratch / part.name)
            except (ValueError, KeyError, TypeError) as error:
                raise HaidangError("backup.damaged", file=self._file, fault=f"{part.name}: {error}") from error
            self._next = next(parts, None)
        loader.finish()

    def _rows(self, part: Part) -> bytes:
        if part.size > archive.MOST_IN_MEMORY:
            raise HaidangError("backup.too_large", file=self._file)
        return part.whole()

    def _write(self, part: Part, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as out:
            for piece in part.pieces:
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        os.utime(to, (part.modified, part.modified))  # an index is as old as it was


def _frames(data: bytes) -> Iterator[tuple[int, Frame]]:
    for line in data.splitlines():
        row = orjson.loads(line)
        payload = base64.b64decode(row["payload"])
        yield row["offset"], Frame(row["source"], row["events"], payload, row["key"])


def _settle(connection: Connection, header: Header, folder: Path) -> int:
    """Make positions and ledger agree with the restored bus; return how many waiting events are counted as dropped.

    What lies on the bus and was not counted yet, as after a kill of the collectors or of an import, is counted now.
    """
    places = tables.positions
    for topic in bus.TOPICS:
        if topic not in header.bus:
            connection.execute(delete(places).where(places.c.topic == topic, places.c.consumer.not_like("kafka:%")))
    gone = places.c.consumer.like("detectors:%") | places.c.consumer.in_([each.name for each in BRINGERS])
    connection.execute(delete(places).where(gone))  # of an import, or of dead letters that were just tried again
    given, taken = _given_and_taken(connection)
    with_events = header.events
    held = header.held
    if held is None:
        held = {source: max(given[source] - taken[source], 0) for source in given}
    collected, stored = Tally(), Tally()
    for source, events in held.items():
        uncounted = taken[source] + events - given[source]
        if uncounted > 0:
            collected.add(source, IN, uncounted)
            collected.add(source, OUT, uncounted)
        if not with_events:
            stored.add(source, IN, events)
            stored.add(source, DROPPED, events, NOT_IN_BACKUP)
    collected.save(connection, "collectors")
    stored.save(connection, "store")
    if with_events:
        positions.save(connection, "collectors", bus.EVENTS, {sqlite.PARTITION: header.bus["events"]})
        return 0
    _copy_alerts_anew(connection)
    return sum(held.values())


def _given_and_taken(connection: Connection) -> tuple[dict[str, int], dict[str, int]]:
    """Return for each source what came to the bus, and what the store took from it."""
    given: dict[str, int] = defaultdict(int)
    taken: dict[str, int] = defaultdict(int)
    rows = tables.ledger.c
    query = select(rows.source, rows.stage, rows.outcome, func.sum(rows.events)).group_by(
        rows.source, rows.stage, rows.outcome
    )
    for source, stage, outcome, events in connection.execute(query):
        if (stage, outcome) == ("collectors", OUT) or stage == RETRY.stage:
            given[source] += int(events)
        elif (stage, outcome) == ("store", IN):
            taken[source] += int(events)
    return given, taken


def _copy_alerts_anew(connection: Connection) -> None:
    """Ask for a copy of every alert: the store that held them is not in the backup."""
    asked = [{"kind": INDEX, "body": identifier} for identifier in connection.scalars(select(tables.alerts.c.id))]
    for start in range(0, len(asked), _ROWS_AT_ONCE):
        connection.execute(insert(tables.outbox), asked[start : start + _ROWS_AT_ONCE])


def _rename_files(connection: Connection, header: Header, settings: Settings, scratch: Path) -> None:
    """Let this data directory go on with its files: in a database of several machines each has its name behind them."""
    files = tables.files
    shared = bool(settings.state.url.get_secret_value())
    if shared and header.state == "sqlite":
        connection.execute(update(files).values(source=files.c.source + f"@{instance_of(scratch)}"))
    elif not shared and header.state == "postgresql":
        suffix = f"@{header.instance}"
        connection.execute(delete(files).where(files.c.source.not_like(f"%{suffix}")))
        connection.execute(update(files).values(source=func.replace(files.c.source, suffix, "")))


def _settings(scratch: Path) -> Settings:
    """Return the settings that the restored site will have."""
    restored = scratch / SETTINGS_FILE
    named = os.environ.get("HAIDANG_CONFIG")
    if named is None and restored.is_file():
        os.environ["HAIDANG_CONFIG"] = str(restored)
    try:
        return load_settings()
    finally:
        if named is None:
            os.environ.pop("HAIDANG_CONFIG", None)


def _rewrite(file: Path, moved: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Name the files that moved in the settings as they lie now; return those that the settings still name as before.

    The text is changed where the paths stand in quotes, so comments stay; what then does not say the same is not taken.
    """
    if not file.is_file():
        return []
    text = file.read_text("utf-8")
    written = set(_texts(tomllib.loads(text)))
    places = {name: str(new) for name in written for old, new in moved if str(Path(name)) == old}
    changed = text
    for name, new in places.items():
        for sign in ('"', "'"):
            changed = changed.replace(f"{sign}{name}{sign}", orjson.dumps(new).decode())
    if tomllib.loads(changed) == _renamed(tomllib.loads(text), places):
        status = file.stat()
        file.write_text(changed, "utf-8")
        os.utime(file, (status.st_atime, status.st_mtime))
        return []
    return [(old, new) for old, new in moved if old in {str(Path(name)) for name in places}]


def _renamed(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _renamed(each, places) for name, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, places) for each in value]
    return places.get(value, value) if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from _texts(each)


@contextmanager
def _scratch(data_dir: Path) -> Iterator[Path]:
    """Make the folder in which all is put together; where that fails, nothing is left of it.

    Its lock keeps two restores apart. One that is there and not locked is of a restore that was killed.
    """
    scratch = data_dir / RESTORING
    scratch.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HaidangError("restore.in_use", data_dir=data_dir) from error
        _empty(scratch)
        try:
            yield scratch
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_full(data_dir: Path) -> None:
    found = {path.name for path in data_dir.iterdir()} - _NOTHING if data_dir.exists() else set()
    if RESTORING in found and len(found) > 1:
        raise HaidangError("restore.half", data_dir=data_dir)
    if found and is_running(data_dir, "run"):
        raise HaidangError("restore.in_use", data_dir=data_dir)
    if found := found - {RESTORING}:
        raise HaidangError("restore.not_empty", data_dir=data_dir, found=", ".join(sorted(found)[:5]))


def _refuse_full_database(connection: Connection, settings: Settings) -> None:
    if settings.state.url.get_secret_value() and inspect(connection).get_table_names():
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise HaidangError("restore.database_not_empty", database=shown)


def _is_inside(place: Any) -> bool:
    """Say whether a path stays within the folder that it is relative to."""
    if not isinstance(place, str) or "\0" in place or not place:
        return False
    path = Path(place)
    return not path.is_absolute() and ".." not in path.parts and path.parts[:1] not in ((), (RESTORING,))


def _make_durable(scratch: Path) -> None:
    for folder, _, _ in os.walk(scratch):
        archive.sync_folder(Path(folder))


def _move(scratch: Path, data_dir: Path) -> None:
    """Put everything in its place, the state last."""
    state = state_file(scratch)
    for path in sorted(scratch.iterdir(), key=lambda path: path == state):
        path.rename(data_dir / path.name)
    archive.sync_folder(data_dir)
    scratch.rmdir()
    archive.sync_folder(data_dir)

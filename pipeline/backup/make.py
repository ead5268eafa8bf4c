"""A backup: a site that may be running enters, one archive leaves in which state, bus and index agree.

Order makes them agree. The state is frozen first (a read transaction), then the index, then the bus. The store commits
to the index before it saves its position, so the index has all that the state says is stored; and what the index has
beyond that still lies on the bus, behind the store's position. The restored site reads it from there once more and
finds it stored already, as after a kill. Frames are deleted only when all have read them; should that have happened to
a needed one between the two looks, all is frozen anew.

With events the archive has the index and the frames that somebody still needs. Without, it has of the bus only alerts
that are on their way to the queue, and says how many events of each source waited to be stored: a restore counts those
as dropped (`not_in_backup`).
"""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, select

from pipeline import bus
from pipeline.backup import Header, Named
from pipeline.backup.archive import ArchiveWriter, writing
from pipeline.backup.of_state import FOLDER, SETTINGS_FILE, add_state, all_files, free, header_of, own_files
from pipeline.bus import sqlite
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.shipped import SHIPPED
from pipeline.stage import only_one
from pipeline.state import dump, tables
from pipeline.store.indexer import ALSO_READ, READERS
from pipeline.store.tantivy_snapshot import Piece, snapshot

#: What else of the data directory it does not need there, or what has its own way into the archive.
#: Packets of alerts and lists of indicators are in the state; what else `evidence` has is a ring of the last traffic.
LEFT_OUT = frozenset((
    SETTINGS_FILE, "state.db", "bus", "datagrams", "index", "instance", "logs", "run", FOLDER, "evidence", "indicators",
))  # fmt: skip
#: Where files from elsewhere that the settings name are restored to, in the data directory.
NAMED = "named"
_LOOKS = 5
#: Of a folder of rules, what is kept; of a folder of indicators, all.
_RULE_FILES = (".yml", ".yaml", ".rules")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    file: Path
    size: int
    parts: int
    header: Header


@dataclass(slots=True)
class _Moment:
    """A site as it was at one moment."""

    state: Connection
    pieces: list[Piece] = field(default_factory=list)
    topics: dict[str, sqlite.Frozen] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)  # the first frame of each topic that somebody needs
    stored_to: int = 1


def back_up(settings: Settings, engine: Engine, target: Path | None, events: bool) -> Made:
    """Write a backup of a site to a file, or to a folder under a name of its own (without: `backups/`).

    Raises:
        HaidangError: it cannot be written, or its events lie in a cluster.
    """
    if events and settings.store.kind == "elasticsearch":
        raise HaidangError("backup.events_in_cluster")
    file = _file(settings.data_dir, target)
    with only_one(settings.data_dir, "backup", wait_seconds=0), _moment(settings, engine, events) as moment:
        kept, named = _files(settings)
        header = header_of(
            settings.data_dir, moment.state, kept, what="site", events=events, named=named,
            bus={topic: frozen.end for topic, frozen in moment.topics.items() if events or topic != bus.EVENTS},
            held=moment.topics[bus.EVENTS].held(moment.stored_to) if moment.topics else None,
            variables=sorted(name for name in os.environ if name.startswith("HAIDANG_") and name not in _OWN),
        )  # fmt: skip
        with writing(file, header) as out:
            for number, path in enumerate(kept.values()):
                out.add_file(f"files/{number}", path)
            add_state(out, moment.state)
            for topic in header.bus:
                _add_frames(out, topic, moment)
            for piece in moment.pieces:
                out.add_file(f"index/{piece.name}", piece.path, piece.size)
        return Made(file, file.stat().st_size, out.parts, header)


#: Variables that say where a site is, and nothing of how it works.
_OWN = frozenset(("HAIDANG_DATA_DIR", "HAIDANG_CONFIG", "HAIDANG_LANGUAGE"))


@contextmanager
def _moment(settings: Settings, engine: Engine, events: bool) -> Iterator[_Moment]:
    for _ in range(_LOOKS):
        with ExitStack() as stack:
            moment = _Moment(stack.enter_context(dump.frozen(engine)))
            if events:
                moment.pieces = stack.enter_context(snapshot(settings.data_dir / "index"))
            if settings.bus.kind == "sqlite":
                _freeze_bus(settings.data_dir / "bus", moment, stack)
            if all(moment.topics[topic].first <= max(start, 1) for topic, start in moment.starts.items()):
                yield moment
                return
    raise HaidangError("backup.bus_moves")


def _freeze_bus(folder: Path, moment: _Moment, stack: ExitStack) -> None:
    rows = tables.positions
    for topic, readers in READERS.items():
        query = select(rows.c.consumer, rows.c.offset).where(
            rows.c.topic == topic, rows.c.consumer.in_([*readers, *ALSO_READ.get(topic, ()), "collectors"])
        )
        places = dict.fromkeys(readers, 1) | dict(moment.state.execute(query).all())
        moment.topics[topic] = stack.enter_context(sqlite.frozen(folder, topic))
        moment.starts[topic] = min(places.values())
        if topic == bus.EVENTS:
            moment.stored_to = places["store"]


def _add_frames(out: ArchiveWriter, topic: str, moment: _Moment) -> None:
    lines = (
        orjson.dumps(
            {
                "offset": offset, "source": frame.source, "events": frame.events, "key": frame.key,
                "payload": base64.b64encode(frame.payload).decode(),
            }
        )
        for offset, frame in moment.topics[topic].frames(moment.starts[topic])
    )  # fmt: skip
    for number, data in enumerate(dump.chunks(lines)):
        out.add(f"bus/{topic}/{number}", data)


def _files(settings: Settings) -> tuple[dict[str, Path], list[Named]]:
    """Return the files to keep, each with its place in a data directory, and where paths of the settings will lie."""
    kept = dict(own_files(settings.data_dir))
    named = []
    lists = {feed.path for feed in settings.indicators.feeds}
    for number, path in enumerate(dict.fromkeys(_paths(settings))):
        place = path.absolute()
        base = _base(place)
        inside = base.is_relative_to(settings.data_dir)
        above, to = (settings.data_dir, Path()) if inside else (base.parent, Path(NAMED, str(number)))
        files = _below(base, place, whole=path in lists)
        if files:
            named.append(Named(path=str(path), to=str(to / place.relative_to(above))))
            kept |= {str(to / file.relative_to(above)): file for file in files}
    return kept, named


def _base(place: Path) -> Path:
    """Return what there must be of a path; of a pattern, the folder before its first sign that stands for others."""
    if place.exists():
        return place
    return next((above for above in reversed(place.parents) if _GLOB.search(place.relative_to(above).parts[0])), place)


def _below(base: Path, place: Path, whole: bool) -> list[Path]:
    """Return the files that a path names: one, those of a folder, or those that fit a pattern."""
    if base.is_file():
        return [base]
    if base != place:
        return sorted(file for file in base.glob(str(place.relative_to(base))) if file.is_file())
    return [file for file in all_files(base) if whole or file.suffix in _RULE_FILES]


def _paths(section: BaseModel) -> Iterator[Path]:
    """Yield every path that the settings name, as they name it, but for the data directory."""
    for name, value in section:
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, BaseModel):
                yield from _paths(each)
            elif isinstance(each, Path) and name != "data_dir" and each != SHIPPED:
                yield each


def _file(data_dir: Path, target: Path | None) -> Path:
    if target is not None and not target.is_dir():
        return target.absolute()
    folder = (target or data_dir / FOLDER).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return free(folder, "haidang")

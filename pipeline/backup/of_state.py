"""A backup of the state: a database enters, an archive of its rows leaves, with what of the data directory belongs to
it. Before a migration it is made by itself.
"""

import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from pipeline.backup import Header
from pipeline.backup.archive import ArchiveWriter, writing
from pipeline.instance import instance_of
from pipeline.messages import HaidangError
from pipeline.settings import settings_file
from pipeline.state import dump
from pipeline.state.revisions import revision_of

#: Where backups go that nobody gave a place, in the data directory.
FOLDER = "backups"
SETTINGS_FILE = "haidang.toml"
#: What else of the data directory a site needs elsewhere. `instance` is not among it: each site has its own name.
KEPT = ("tls", "keys", "sharing")
#: How many backups before a migration are kept.
_KEPT_OF_STATE = 5


def back_up_state(engine: Engine, data_dir: Path) -> Path:
    """Write a backup of the state alone, with what of the data directory belongs to it; keep the last few of these.

    Raises:
        HaidangError: it cannot be written.
    """
    folder = data_dir / FOLDER
    try:
        with dump.frozen(engine) as state:
            kept = dict(own_files(data_dir))
            header = header_of(data_dir, state, kept, what="state")
            folder.mkdir(parents=True, exist_ok=True)
            file = free(folder, f"state-{header.revision}")
            with writing(file, header) as out:
                for number, path in enumerate(kept.values()):
                    out.add_file(f"files/{number}", path)
                add_state(out, state)
    except (HaidangError, OSError) as error:
        raise HaidangError("backup.no_migration", fault=error) from error
    for old in sorted(folder.glob("state-*.tar.zst"), key=lambda path: path.stat().st_mtime)[:-_KEPT_OF_STATE]:
        old.unlink(missing_ok=True)
    return file


def header_of(data_dir: Path, state: Connection, kept: dict[str, Path], **more: Any) -> Header:
    """Return what an archive says of itself, before its parts."""
    return Header(
        program=version("haidang"),
        revision=revision_of(state),
        state=state.dialect.name,
        instance=instance_of(data_dir),
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        files={f"files/{number}": to for number, to in enumerate(kept)},
        **more,
    )


def add_state(out: ArchiveWriter, state: Connection) -> None:
    """Write all rows into an archive."""
    for number, (table, data) in enumerate(dump.rows(state)):
        out.add(f"state/{table}/{number}", data)


def own_files(data_dir: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that belong to a site's state, each with its place in a data directory."""
    file = settings_file() if os.environ.get("HAIDANG_CONFIG") else data_dir / SETTINGS_FILE
    if file.is_file():
        yield SETTINGS_FILE, file
    for name in KEPT:
        yield from ((str(path.relative_to(data_dir)), path) for path in all_files(data_dir / name))


def free(folder: Path, start: str) -> Path:
    """Return a name that is not taken; its time sorts it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"{start}-{stamp}{more}.tar.zst" for more in ("", *(f"-{number}" for number in range(2, 100))))
    return next(path for name in names if not (path := folder / name).exists())


def all_files(folder: Path) -> list[Path]:
    """Return all files of a folder and of those in it."""
    return sorted(path for path in folder.rglob("*") if path.is_file())

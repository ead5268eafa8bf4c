"""The embedded indexes as of one moment: a folder that is being written enters, a list of files leaves.

Tantivy never changes a file that it has written: a commit writes new ones and then, by renaming, a new `meta.json` that
names them; files that it no longer names are deleted. So a link to each file that is named, made while `meta.json` is
the same before and after, is the whole commit. The lines' blocks only grow, and are on the disk before the commit that
names their places: their length after the look at `meta.json` is enough.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from pipeline.messages import HaidangError
from pipeline.store.tantivy_schema import blocks_path, kinds_path

#: How often an index is looked at that changes while it is linked; a commit comes every second, linking takes a few ms.
_LOOKS = 50
_LOOK_SECONDS = 0.02
_META, _MANAGED = "meta.json", ".managed.json"
#: What the folders of snapshots are called, beside those of the collections.
_PREFIX = ".snapshot-"


class Piece(NamedTuple):
    """One file of an index: `name` as in the folder of indexes, where it lies now, and how much of it counts."""

    name: str
    path: Path
    size: int


class _Moved(Exception):
    """The index was written to meanwhile."""


@contextmanager
def snapshot(folder: Path) -> Iterator[list[Piece]]:
    """Give the files of the last commit of every index in `folder`; they stay as they are until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_PREFIX}*"):  # of one that was killed; the caller sees to it that there is one at a time
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
    try:
        yield [
            piece
            for index in sorted(folder.glob("*/*"))
            if index.is_dir() and index.parent != scratch
            for piece in _linked(index, scratch / index.parent.name / index.name)
        ]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _linked(index: Path, place: Path) -> list[Piece]:
    for _ in range(_LOOKS):
        try:
            return _try(index, place)
        except (_Moved, FileNotFoundError):
            shutil.rmtree(place, ignore_errors=True)
            if not (index / _META).exists():  # it is just being made, or has just been deleted for its age
                return []
            time.sleep(_LOOK_SECONDS)
    raise HaidangError("backup.index_moves", index=index)


def _try(index: Path, place: Path) -> list[Piece]:
    place.mkdir(parents=True)
    meta = (index / _META).read_bytes()
    segments = {each["segment_id"].replace("-", "") for each in orjson.loads(meta)["segments"]}
    names = [entry.name for entry in os.scandir(index) if entry.name.partition(".")[0] in segments]
    for name in names:
        os.link(index / name, place / name)
    blocks = blocks_path(index)
    if blocks.exists():
        os.link(blocks, place / blocks.name)
    kinds = kinds_path(index)
    (place / kinds.name).write_bytes(kinds.read_bytes() if kinds.exists() else b"")
    (place / _MANAGED).write_bytes(orjson.dumps([*names, _META]))  # what Tantivy may delete one day
    shutil.copy2(index / _META, place / _META)  # its time says when the index was last written
    if {(index / _META).read_bytes(), (place / _META).read_bytes()} != {meta}:
        raise _Moved
    return [
        Piece(f"{index.parent.name}/{index.name}/{entry.name}", Path(entry.path), entry.stat().st_size)
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name)
    ]

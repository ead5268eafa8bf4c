"""The embedded store's writing end: events with their lines enter, Tantivy indexes on the disk leave.

One index a day of event time (a month for history); one process writes. An event whose id the index holds already is
left out, so a frame read twice after a crash changes nothing.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson

from pipeline.logs import log
from pipeline.messages import Unavailable
from pipeline.store import ALERTS, CANARIES, EVENTS, Added, Index, Refusal
from pipeline.store.blocks import BlockWriter
from pipeline.store.days import DAY_MICROS, covers, index_name
from pipeline.store.document import Document, parsed
from pipeline.store.seen import Seen
from pipeline.store.tantivy_kinds import MOST_KINDS, KindWriter
from pipeline.store.tantivy_schema import (
    SMALL_WRITER_BYTES,
    blocks_path,
    holds_kinds,
    is_storable,
    kinds_path,
    open_index,
)

#: Indexes open for writing at once: today, yesterday's late events, and some of history that is being imported.
_OPEN_AT_ONCE = 8


class TantivyWriter:
    """`Writer` on Tantivy indexes in `folder`; see the module's text."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._memory = memory_bytes
        self._open: dict[tuple[str, str], _IndexWriter] = {}

    def add(self, collection: str, documents: Sequence[Document]) -> Added:
        with self._lost_on_failure():
            if collection == ALERTS:
                return self._writer(collection, "all").replace(documents)
            return self._add(collection, documents)

    def commit(self) -> None:
        with self._lost_on_failure():
            for writer in self._open.values():
                writer.commit()

    def _add(self, collection: str, documents: Sequence[Document]) -> Added:
        now = datetime.now(UTC)
        existing = self._names(collection)
        by_index: dict[str, list[Document]] = {}
        names: dict[int, str] = {}
        for document in documents:
            day = document.micros // DAY_MICROS
            name = names.get(day) or names.setdefault(day, index_name(document.micros, now, existing))
            by_index.setdefault(name, []).append(document)
        parts = [self._writer(collection, name).add(group) for name, group in by_index.items()]
        return Added(sum(part.repeated for part in parts), tuple(each for part in parts for each in part.refused))

    @contextmanager
    def _lost_on_failure(self) -> Iterator[None]:
        """After a write that fails (a full disk) Tantivy's writers are no good: what was not committed comes again."""
        try:
            yield
        except (OSError, ValueError) as error:
            while self._open:
                self._open.popitem()[1].abandon()
            raise Unavailable("store.cannot_write", folder=self._folder, fault=error) from error

    def indexes(self) -> list[Index]:
        found = []
        for name in sorted(self._names(EVENTS)):
            path = self._folder / EVENTS / name
            span = covers(name)
            if span is not None:
                found.append(Index(name, max(span[1], _last_written(path)), _size(path)))
        return sorted(found, key=lambda index: index.latest)

    def remove(self, name: str) -> None:
        writer = self._open.pop((EVENTS, name), None)
        if writer is not None:
            writer.close()
        shutil.rmtree(self._folder / EVENTS / name)

    def prove(self, documents: Sequence[Document]) -> set[str]:
        """An index of its own, beside the events' and made as they are; it goes at once."""
        with self._lost_on_failure():
            folder = self._folder / CANARIES
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            writer = _IndexWriter(folder / "all", SMALL_WRITER_BYTES)
            writer.add(documents)
            writer.commit()
            found = {document.identifier for document in documents if writer.holds(document.identifier)}
            writer.close()
            shutil.rmtree(folder)
        return found

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _names(self, collection: str) -> set[str]:
        folder = self._folder / collection
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def _writer(self, collection: str, name: str) -> "_IndexWriter":
        key = (collection, name)
        writer = self._open.pop(key, None)
        if writer is None:
            while len(self._open) >= _OPEN_AT_ONCE:
                self._open.pop(next(iter(self._open))).close()
            writer = _IndexWriter(self._folder / collection / name, self._memory)
        self._open[key] = writer  # last used, last closed
        return writer


def _last_written(path: Path) -> int:
    """Return when an index last took something in, in microseconds: imported history is kept from its import."""
    try:
        return (path / "meta.json").stat().st_mtime_ns // 1000
    except OSError:
        return int(path.stat().st_mtime_ns // 1000)


def _size(path: Path) -> int:
    """Return the bytes of an index, as well as they can be told while it is merged."""
    size = 0
    for file in path.iterdir():
        with suppress(FileNotFoundError):  # merged into another one meanwhile
            size += file.stat().st_size
    return size


class _IndexWriter:
    """One index: its Tantivy writer and the ids it holds."""

    def __init__(self, path: Path, memory: int) -> None:
        self._index = open_index(path)
        self._index.config_reader("manual")
        self._writer = self._index.writer(heap_size=memory, num_threads=1)
        self._searcher = self._index.searcher()
        self._blocks = BlockWriter(blocks_path(path))
        self._kinds = KindWriter(kinds_path(path), MOST_KINDS if holds_kinds(path) else 0)
        self._seen = Seen()
        self._uncommitted: set[str] = set()
        self._read_ids()

    def add(self, documents: Sequence[Document]) -> Added:
        repeated = 0
        refused: list[Refusal] = []
        ids = [document.identifier for document in documents]
        for document, known in zip(documents, self._seen.add(ids), strict=True):
            identifier = document.identifier
            if identifier in self._uncommitted or (known and self.holds(identifier)):
                repeated += 1
                continue
            refusal = self._put(document)
            if refusal is None:
                self._uncommitted.add(identifier)
            else:
                refused.append(refusal)
        return Added(repeated, tuple(refused))

    def holds(self, identifier: str) -> bool:
        """Say whether an event was there at the last commit."""
        return bool(self._searcher.doc_freq("id", identifier))

    def replace(self, documents: Sequence[Document]) -> Added:
        refused = []
        for document in documents:
            self._writer.delete_documents_by_term("id", document.identifier)
            self._uncommitted.add(document.identifier)
            if refusal := self._put(document):
                refused.append(refusal)
        return Added(0, tuple(refused))

    def _put(self, document: Document) -> Refusal | None:
        number = self._kinds.number(document.kind) if document.kind else None
        address = self._blocks.add(document.line)
        try:
            self._writer.add_json(document.json(address, number))
        except ValueError:  # it was cut out without being parsed, of a line that only looks like one of ours
            return self._put_parsed(document.line, address)
        return None

    def _put_parsed(self, line: bytes, address: int) -> Refusal | None:
        try:
            content = parsed(orjson.loads(line), line).json(address)
            try:
                self._writer.add_json(content)
            except ValueError as error:
                if is_storable(content):  # then not the event is at fault, but the writer
                    raise OSError(str(error)) from error
                raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log("store").error("not_an_event", line=line[:300].decode("utf-8", "replace"), error=str(error)[:300])
            return Refusal(line, str(error))
        return None

    def commit(self) -> None:
        if not self._uncommitted:
            return
        self._blocks.sync()  # before the commit that names their addresses
        self._kinds.sync()  # before the commit that names their numbers
        self._writer.commit()
        self._uncommitted.clear()
        self._index.reload()
        self._searcher = self._index.searcher()

    def close(self) -> None:
        self.commit()
        self._blocks.close()
        self._kinds.close()
        self._writer.wait_merging_threads()

    def abandon(self) -> None:
        """Let go of what was not committed, and of the index."""
        self._blocks.abandon()
        self._kinds.abandon()
        del self._writer, self._searcher  # at once: another writer must find the index free

    def _read_ids(self) -> None:
        if not self._searcher.num_docs:
            return
        for first in range(256):  # in slices, so that the list of a day's ids never lies in memory whole
            self._seen.add([term for term, _ in self._searcher.terms_with_prefix("id", f"{first:02x}")])

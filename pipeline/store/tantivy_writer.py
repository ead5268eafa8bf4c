"""The embedded store's writing end: events with their lines enter, Tantivy indexes on the disk leave.

One index a day of event time (a month for history); one process writes. An event whose id the index holds already is
left out, so a frame read twice after a crash changes nothing.
"""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from pipeline.event import Event, to_micros
from pipeline.store import ALERTS
from pipeline.store.blocks import BlockWriter
from pipeline.store.seen import Seen
from pipeline.store.tantivy_schema import DAY_MICROS, blocks_path, covers, has_column, index_name, open_index

#: Indexes open for writing at once: today, yesterday's late events, and two of history that is being imported.
_OPEN_AT_ONCE = 4
#: Tantivy's least memory for a writing thread, in bytes.
_LEAST_MEMORY = 15_000_000
#: Fields that are not indexed one by one: their words are in `text`, and as terms they would be the bulk of the index.
_WORDS_ONLY = ("event.original", "message", "event.original_base64", "alert.evidence")
_OTHERWISE = frozenset((*_WORDS_ONLY, "@timestamp", "event.id"))
_COLUMN, _COLUMNLESS, _NOT_EXACT = "column", "columnless", "not exact"
_KINDS: dict[str, str] = {}
_MOST_KINDS = 20_000
#: Fields whose texts are no words that anybody looks for without naming the field.
_WORDLESS = frozenset(
    {
        "@timestamp",
        "alert.evidence",
        "event.id",
        "event.ingested",
        "event.kind",
        "event.original_base64",
        "log.source.address",
        "winlog.activity_id",
        "winlog.opcode",
        "winlog.provider_guid",
        "winlog.record_id",
        "winlog.task",
    }
)
#: Only texts up to this length can be looked up exactly, in bytes; longer ones by their words.
_LONGEST_EXACT = 8_000


class TantivyWriter:
    """`Writer` on Tantivy indexes in `folder`; see the module's text."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._memory = memory_bytes
        self._open: dict[tuple[str, str], _IndexWriter] = {}

    def add(self, collection: str, items: Sequence[tuple[Event, bytes]]) -> int:
        if collection == ALERTS:
            return self._writer(collection, "all").replace(items)
        now = datetime.now(UTC)
        existing = self._names(collection)
        by_index: dict[str, list[tuple[Event, bytes, int]]] = {}
        names: dict[int, str] = {}
        for event, line in items:
            micros = to_micros(event["@timestamp"])
            day = micros // DAY_MICROS
            name = names.get(day) or names.setdefault(day, index_name(micros, now, existing))
            by_index.setdefault(name, []).append((event, line, micros))
        return sum(self._writer(collection, name).add(group) for name, group in by_index.items())

    def commit(self) -> None:
        for writer in self._open.values():
            writer.commit()

    def expire(self, days: int) -> list[str]:
        limit = int((datetime.now(UTC) - timedelta(days=days)).timestamp()) * 1_000_000
        gone = []
        for path in sorted(self._folder.glob("*/*")):
            span = covers(path.name)
            if span is not None and span[1] <= limit:
                writer = self._open.pop((path.parent.name, path.name), None)
                if writer is not None:
                    writer.close()
                shutil.rmtree(path)
                gone.append(f"{path.parent.name}/{path.name}")
        return gone

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
            whole = covers(name) is not None and name.count(".") == 2
            memory = self._memory if whole else max(_LEAST_MEMORY, self._memory // 4)
            writer = _IndexWriter(self._folder / collection / name, memory)
        self._open[key] = writer  # last used, last closed
        return writer


class _IndexWriter:
    """One index: its Tantivy writer and the ids it holds."""

    def __init__(self, path: Path, memory: int) -> None:
        self._index = open_index(path)
        self._index.config_reader("manual")
        self._writer = self._index.writer(heap_size=memory, num_threads=1)
        self._searcher = self._index.searcher()
        self._blocks = BlockWriter(blocks_path(path))
        self._seen = Seen()
        self._uncommitted: set[str] = set()
        self._read_ids()

    def add(self, items: Sequence[tuple[Event, bytes, int]]) -> int:
        repeated = 0
        ids = [item[0]["event.id"] for item in items]
        for (event, line, micros), identifier, known in zip(items, ids, self._seen.add(ids), strict=True):
            if identifier in self._uncommitted or (known and self._searcher.doc_freq("id", identifier)):
                repeated += 1
                continue
            self._uncommitted.add(identifier)
            self._writer.add_json(_document(event, micros, self._blocks.add(line), len(line)))
        return repeated

    def replace(self, items: Sequence[tuple[Event, bytes]]) -> int:
        for event, line in items:
            self._writer.delete_documents_by_term("id", event["event.id"])
            address = self._blocks.add(line)
            self._writer.add_json(_document(event, to_micros(event["@timestamp"]), address, len(line)))
            self._uncommitted.add(event["event.id"])
        return 0

    def commit(self) -> None:
        if not self._uncommitted:
            return
        self._blocks.sync()  # before the commit that names their addresses
        self._writer.commit()
        self._uncommitted.clear()
        self._index.reload()
        self._searcher = self._index.searcher()

    def close(self) -> None:
        self.commit()
        self._blocks.close()
        self._writer.wait_merging_threads()

    def _read_ids(self) -> None:
        if not self._searcher.num_docs:
            return
        for first in range(256):  # in slices, so that the list of a day's ids never lies in memory whole
            self._seen.add([term for term, _ in self._searcher.terms_with_prefix("id", f"{first:02x}")])


def _document(event: Event, micros: int, address: int, size: int) -> str:
    """Return the index's document as JSON, which Tantivy reads in one call. `size` is the line's."""
    columns, others = {}, {}
    for name, value in event.items():
        kind = _KINDS.get(name) or _kind(name)
        if kind == _COLUMN:
            columns[name] = value
        elif kind == _COLUMNLESS:
            others[name] = value
    if size > _LONGEST_EXACT:
        columns, others = _short(columns), _short(others)
    return (
        b'{"t":%d,"at":%d,"id":%b,"f":%b,"k":%b,"text":%b}'
        % (
            micros,
            address,
            orjson.dumps(event["event.id"]),
            orjson.dumps(columns),
            orjson.dumps(others),
            orjson.dumps(_words_of(event)),
        )
    ).decode()


def _kind(name: str) -> str:
    """Return what is done with a field, and remember it; names are few, but a sender may send any number of them."""
    kind = _NOT_EXACT if name in _OTHERWISE else _COLUMN if has_column(name) else _COLUMNLESS
    if len(_KINDS) < _MOST_KINDS:
        _KINDS[name] = kind
    return kind


def _short(fields: Event) -> Event:
    return {name: value for name, value in fields.items() if type(value) is not str or len(value) <= _LONGEST_EXACT}


def _words_of(event: Event) -> str:
    """Return the text whose words are searched: the line as it came, or the texts of an event that never was a line."""
    original = event.get("event.original")
    if type(original) is str:
        return original
    texts: dict[str, None] = {}  # each text once: copies of a field under another name add no word
    for name, value in event.items():
        if name in _WORDLESS:
            continue
        if type(value) is str:
            texts[value] = None
        elif type(value) is list:
            texts.update((item, None) for item in value if type(item) is str)
    return "\n".join(texts)

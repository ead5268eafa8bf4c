"""Kinds: the fields that say of which kind an event is enter, one number that stands for them leaves; and back.

Events have many such fields (`pipeline.event.KIND_FIELDS`) in few combinations. Each index keeps its combinations in a
file beside it, `kinds.jsonl`, one a line; the number of the line stands in the events' documents (`k`) in place of the
fields, which halves what Tantivy has to index. An event with a combination for which there is no room keeps its fields
in `f`, so whatever reads such a field looks in both.
"""

import os
from pathlib import Path
from typing import Any

import orjson
import tantivy

from pipeline.event import KIND_FIELDS
from pipeline.store import query as q
from pipeline.store.blocks import write_whole
from pipeline.store.tantivy_query import IndexQuery
from pipeline.store.tantivy_schema import SMALL_WRITER_BYTES, memory_index

#: Combinations of one index. What no busy network has (a few hundred) is noise, and every search looks at them all.
MOST_KINDS = 1_000
#: Bytes of one combination.
_LONGEST = 4_000
#: Values of one field in a combination.
_MOST_VALUES = 10


class KindWriter:
    """Gives numbers. `sync` makes them durable; it must come before the commit of the documents that have them."""

    def __init__(self, path: Path, most: int = MOST_KINDS) -> None:
        self._most = most
        whole = _whole_lines(path)
        self._numbers = {line[1:-1]: number for number, line in enumerate(whole.splitlines())}
        self._file = path.open("ab", buffering=0)
        self._file.truncate(len(whole))

    def number(self, kind: bytes) -> int | None:
        """Return the number of a combination (the fields as JSON without braces), or None where it gets none."""
        number = self._numbers.get(kind)
        if number is None and kind and len(self._numbers) < self._most and _is_kind(kind):
            number = self._numbers[kind] = len(self._numbers)
            write_whole(self._file, b"{%b}\n" % kind)
        return number

    def sync(self) -> None:
        """Make every number so far durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write what is left and let go."""
        self.sync()
        self._file.close()

    def abandon(self) -> None:
        """Let go; a number that was not synchronised was never given."""
        self._file.close()


class Kinds:
    """The combinations of one index, for its readers.

    They lie in a small index in memory with the schema of the large one, a document each: so a condition means the same
    for them as for events.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, _size(path)
        self._values = [_as_lists(orjson.loads(line)) for line in _whole_lines(path).splitlines()]
        self.fields = frozenset(name for values in self._values for name in values)
        self._index = memory_index()
        if self._values:
            writer = self._index.writer(heap_size=SMALL_WRITER_BYTES, num_threads=1)
            for number, values in enumerate(self._values):
                writer.add_json(orjson.dumps({"at": number, "f": values}).decode())
            writer.commit()
            writer.wait_merging_threads()
            self._index.reload()
        self._searcher = self._index.searcher()
        self._query = IndexQuery(self._index, self._searcher)

    def newer(self) -> "Kinds":
        """Return the combinations as they are now."""
        return self if _size(self._path) == self._size else Kinds(self._path)

    def fitting(self, condition: q.Condition) -> list[int]:
        """Return the numbers of the combinations that fit a condition."""
        if not self._values:
            return []
        hits = self._searcher.search(self._query.translate(condition), limit=len(self._values)).hits
        numbers = self._searcher.fast_field_values("at", [address for _, address in hits]) if hits else []
        return [int(number or 0) for number in numbers]

    def values(self, number: int, field: str) -> list[str]:
        """Return the values of a field in a combination."""
        return self._values[number].get(field, [])

    def terms(self, field: str, options: dict[str, Any]) -> set[str]:
        """Return the values of a field that a `terms` aggregation with these options takes."""
        body = {"a": {"terms": {"field": f"f.{field}", "size": MOST_KINDS * _MOST_VALUES, **options}}}
        return {bucket["key"] for bucket in self._searcher.aggregate(tantivy.Query.all_query(), body)["a"]["buckets"]}


def names_of_kinds(path: Path) -> set[str]:
    """Return the fields that the combinations of a file have."""
    return {name for line in _whole_lines(path).splitlines() for name in orjson.loads(line)}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _whole_lines(path: Path) -> bytes:
    """Return a file's content to its last line end: after a crash, or while it is written, more may follow."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _is_kind(kind: bytes) -> bool:
    if len(kind) > _LONGEST:
        return False
    try:
        fields = orjson.loads(b"{%b}" % kind)
    except ValueError:  # cut out of a foreign producer's line at the wrong place
        return False
    return all(name in KIND_FIELDS and _is_text(value) for name, value in fields.items())


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST_VALUES and all(isinstance(item, str) for item in value)
    return isinstance(value, str)


def _as_lists(fields: dict[str, Any]) -> dict[str, list[str]]:
    lists = {name: [value] if isinstance(value, str) else value for name, value in fields.items()}
    return {name: values for name, values in lists.items() if values}

"""The embedded index's schema: how an event's fields lie in Tantivy, the same for its writer and its readers.

`t`: microseconds since 1970, for ranges, sorting and histograms. `id`: event.id. `f`: every field but these and the
texts, exact: indexed without case and diacritics, and kept as they are in the columns that aggregations read. `text`:
the words of the line as it came, or else of the message, without case and diacritics (Tantivy's ascii_fold also folds
Vietnamese letters, `Đ` among them). `at`: where the event's line lies (`blocks.py`). `k`: the number that stands for
the fields of the event's kind, which `f` then lacks (`tantivy_kinds.py`); indexes of versions before it have none.
"""

import errno
import shutil
from functools import cache
from pathlib import Path

import tantivy
from tantivy import TextAnalyzerBuilder, Tokenizer

from pipeline.messages import HaidangError
from pipeline.store.folding import folded, words

#: With less of the disk free, an index that cannot be opened is not at fault, in bytes.
_NO_ROOM_BYTES = 1_000_000
#: Memory of the writer of an index in memory, in bytes: the least that Tantivy takes.
SMALL_WRITER_BYTES = 15_000_000
_FOLDED, _WORDS = "folded", "words"


@cache
def schema(kinds: bool = True) -> tantivy.Schema:
    """Return the schema of every index; without `kinds`, that of the older ones (its fields have the same numbers)."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("t", indexed=True, fast=True)
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_json_field("f", fast=True, tokenizer_name=_FOLDED, index_option="basic", expand_dots_enabled=True)
    builder.add_text_field("text", tokenizer_name=_WORDS, index_option="position")
    builder.add_integer_field("at", fast=True)
    if kinds:
        builder.add_unsigned_field("k", indexed=True, fast=True)
    return builder.build()


def column(field: str) -> str:
    """Return the name under which Tantivy knows a field."""
    return "t" if field == "@timestamp" else f"f.{field}"


def blocks_path(path: Path) -> Path:
    """Return the file of an index's event lines."""
    return path / "events.blocks"


def kinds_path(path: Path) -> Path:
    """Return the file of an index's kinds."""
    return path / "kinds.jsonl"


def holds_kinds(path: Path) -> bool:
    """Say whether the documents of an index may have `k`."""
    return bool(tantivy.Index.open(str(path)).schema == schema())


def open_index(path: Path) -> tantivy.Index:
    """Open an index, made when it is not there.

    Raises:
        HaidangError: it is damaged, or of a version of this program with another schema.
        OSError: the disk is full.
    """
    path.mkdir(parents=True, exist_ok=True)
    try:
        kinds = not tantivy.Index.exists(str(path)) or holds_kinds(path)
        index = tantivy.Index(schema(kinds), path=str(path))
    except ValueError as error:
        if shutil.disk_usage(path).free < _NO_ROOM_BYTES:
            raise OSError(errno.ENOSPC, str(error), str(path)) from error
        raise HaidangError("store.unreadable_index", path=path, fault=error) from error
    return _with_tokenizers(index)


def memory_index() -> tantivy.Index:
    """Return a new, empty index that lies in memory."""
    return _with_tokenizers(tantivy.Index(schema()))


def is_storable(document: str) -> bool:
    """Say whether an index takes a document, given as JSON."""
    try:
        memory_index().writer(heap_size=SMALL_WRITER_BYTES, num_threads=1).add_json(document)
    except ValueError:
        return False
    return True


def _with_tokenizers(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer(_FOLDED, folded())
    index.register_tokenizer(_WORDS, words())
    index.register_fast_field_tokenizer(_FOLDED, TextAnalyzerBuilder(Tokenizer.raw()).build())
    return index

"""How an event lies in Elasticsearch: documents of the store enter, the node's JSON leaves; the same for both ends.

`~line`: the event as it came, never indexed; the part of `_source` that a search reads. (`_source` is kept whole: of
one that is cut down, the node keeps the whole beside it for its copies, at a sixth of the speed and of the disk.)
`~time`: microseconds since 1970 of the event's time, `~received` those of its receipt, `@timestamp` its time for other
programs. `~exact`: what conditions look up, each value of each field as one term, without case and diacritics. `~text`:
the words. And a column for aggregations of every field under its own name, so that Grafana and Kibana find ECS names; a
value whose type is not the field's own (`columns_of`) lies in a column beside it, so no document is refused for another
document's type.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import orjson

from pipeline.event import event_id, to_micros
from pipeline.store import KEYWORD, NUMBER
from pipeline.store.document import Document
from pipeline.store.fields import NUMERIC, leaves
from pipeline.store.folding import folded, words

#: Our own fields in a document.
LINE, TIME, RECEIVED, EXACT, WORDS = "~line", "~time", "~received", "~exact", "~text"
#: What stands between a field's name and its value in a term: for texts, other values, and addresses (`sortable`).
TEXT, OTHER, ADDRESS = "\x1f", "\x1e", "\x1d"
_OF_TEXTS, _OF_NUMBERS = "~text", "~number"
#: Lucene's longest word here, and its longest term in bytes.
_LONGEST_WORD, _LONGEST_TERM = 255, 32_000
#: Elasticsearch's longest `_id`, in bytes.
_LONGEST_ID = 512
#: Columns that a process makes in an index (a field beyond is found, but not aggregated), and that an index may have.
_MOST_MADE, _MOST_COLUMNS = 3_000, 10_000
#: A longer text has no column, in characters.
_LONGEST_CELL = 8_191
#: Names that a column may have: none of Elasticsearch's or our own, no empty part.
_COLUMN = re.compile(r"(?![_~.])(?!.*\.\.)[^\s\x00-\x1f]{1,500}(?<!\.)")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]{2,45}")

_TEXTS = {"type": "keyword", "index": False, "ignore_above": _LONGEST_CELL}
_MAPPINGS: dict[str, Any] = {
    "subobjects": False,  # `user` and `user.name` may both have values
    "date_detection": False,
    "properties": {
        LINE: {"type": "keyword", "index": False, "doc_values": False},
        TIME: {"type": "long"},
        RECEIVED: {"type": "long", "index": False},
        "@timestamp": {"type": "date"},
        EXACT: {"type": "keyword", "doc_values": False},
        WORDS: {"type": "text", "analyzer": "whitespace", "norms": False},
    },
    "dynamic_templates": [
        {"numbers": {"match_mapping_type": ["long", "double"], "mapping": {"type": "double"}}},
        {"texts": {"match_mapping_type": "string", "mapping": _TEXTS}},
    ],
}


def template(prefix: str, shards: int, replicas: int) -> dict[str, Any]:
    """Return the index template of all our indexes."""
    settings = {
        "number_of_shards": shards,
        "number_of_replicas": replicas,
        "refresh_interval": "30s",  # the writer asks for it at each commit
        "index.mapping.total_fields.limit": _MOST_COLUMNS,
        "index.mapping.total_fields.ignore_dynamic_beyond_limit": True,
    }
    return {
        "index_patterns": [f"{prefix}events-*", f"{prefix}alerts", f"{prefix}canaries"],
        "template": {"settings": settings, "mappings": _MAPPINGS},
        "priority": 500,
    }


def body(document: Document, made: set[str]) -> bytes:
    """Return the JSON that Elasticsearch indexes for a document; `made` are the columns that its index got from us."""
    fields = orjson.loads(document.fields)
    columns, terms = _indexed(fields, made)
    columns_of_kind, terms_of_kind = _of_kind(document.kind) if document.kind else (b"", ())
    return b'{"~line":%b,"~time":%d,"~received":%d,"@timestamp":%d,"~text":%b,"~exact":%b%b%b}' % (
        orjson.dumps(document.line.decode()),
        document.micros,
        _received(fields.get("event.ingested"), document.micros),
        document.micros // 1000,
        orjson.dumps(" ".join(split(orjson.loads(document.text)))),
        orjson.dumps((*terms, *terms_of_kind)),
        _more(columns),
        columns_of_kind,
    )


@lru_cache(maxsize=10_000)
def columns_of(field: str) -> tuple[str, str]:
    """Return the columns of a field's texts and of its numbers: that of its nature has its own name."""
    return (field + _OF_TEXTS, field) if NUMERIC.search(field) else (field, field + _OF_NUMBERS)


def field_of(column: str) -> tuple[str, str] | None:
    """Return the field of a column, and the type of what the column holds; None for a column of our own."""
    for suffix, kind in ((_OF_TEXTS, KEYWORD), (_OF_NUMBERS, NUMBER)):
        if column.endswith(suffix) and column != suffix:
            return column.removesuffix(suffix), kind
    return None if column.startswith("~") else (column, NUMBER if NUMERIC.search(column) else KEYWORD)


def term_of(field: str, kind: str, text: str) -> str:
    """Return the term under which a value is looked up; `text` is folded."""
    return f"{field}{kind}{text}"


def fold(text: str) -> str:
    """Return a text without case and diacritics."""
    return text.lower() if text.isascii() else folded().analyze(text)[0]


def as_text(value: str | float | bool) -> str:
    """Return a value as the text that it is compared as."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def split(text: str) -> list[str]:
    """Return the words of a text as they are indexed."""
    found = words().analyze(text)
    return found if len(text) <= _LONGEST_WORD else [word[:_LONGEST_WORD] for word in found]


def sortable(address: IPv4Address | IPv6Address) -> str:
    """Return an address as a text whose order is the addresses' order within their version."""
    return f"{address.version}{int(address):032x}"


def document_id(identifier: str) -> str:
    """Return `_id` of an event: its `event.id`, or a hash of one that is too long."""
    return identifier if len(identifier.encode()) <= _LONGEST_ID else event_id("long", identifier)


@lru_cache(maxsize=10_000)
def _of_kind(kind: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the columns and terms of the fields of a kind: most events share theirs with many."""
    columns, terms = _indexed(orjson.loads(b"{%b}" % kind), set())
    return _more(columns), tuple(terms)


def _more(columns: dict[str, Any]) -> bytes:
    return b"," + orjson.dumps(columns)[1:-1] if columns else b""


def _indexed(fields: dict[str, Any], made: set[str]) -> tuple[dict[str, Any], set[str]]:
    """Return the columns and the terms of fields."""
    columns: dict[str, Any] = {}
    terms: set[str] = set()
    for name, value in fields.items():
        for path, item in leaves(name, value) if isinstance(value, (list, dict)) else ((name, value),):
            if item is None:
                continue
            is_text = isinstance(item, str)
            is_number = not is_text and not isinstance(item, bool)
            cell = item if is_text or is_number else as_text(item)
            if is_text:
                terms.update(_terms_of_text(path, item))
            else:
                terms.add(term_of(path, OTHER, str(cell)))
            place = columns_of(path)[is_number]
            if not _has_column(place, made) or (is_text and len(item) > _LONGEST_CELL):
                terms.update(_names(path))
            elif place not in columns:
                columns[place] = cell
            elif isinstance(columns[place], list):
                columns[place].append(cell)
            else:
                columns[place] = [columns[place], cell]
    return columns, terms


def _has_column(name: str, made: set[str]) -> bool:
    """Say whether a column is or may be made: a cluster is not well with tens of thousands in an index."""
    if name in made:
        return True
    if len(made) >= _MOST_MADE or not _COLUMN.fullmatch(name):
        return False
    made.add(name)
    return True


def _received(ingested: Any, otherwise: int) -> int:
    try:
        return to_micros(ingested)
    except (ValueError, TypeError, AttributeError):
        return otherwise


def _terms_of_text(path: str, value: str) -> tuple[str, ...]:
    term = term_of(path, TEXT, fold(value))
    if len(term) * 4 >= _LONGEST_TERM and len(term.encode()) >= _LONGEST_TERM:
        return ()
    address = _address(value) if _ADDRESS.fullmatch(value) else ""
    return (term, term_of(path, ADDRESS, address)) if address else (term,)


@lru_cache(maxsize=50_000)
def _address(text: str) -> str:
    try:
        return sortable(ip_address(text))
    except ValueError:
        return ""


@lru_cache(maxsize=10_000)
def _names(path: str) -> tuple[str, ...]:
    """Return the name of a field and of all above it: the terms by which `exists` finds what has no column."""
    parts = path.split(".")
    return tuple(".".join(parts[:end]) for end in range(1, len(parts) + 1))

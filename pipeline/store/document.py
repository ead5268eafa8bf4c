"""What the embedded index holds of an event: its JSON line enters, the JSON document that Tantivy reads leaves.

The lines that our own collectors write have one layout (`collectors/envelope.py`): `@timestamp` and `event.id` first,
the fields of the kind and then the texts last. Of such a line the document is cut out as it stands, without parsing:
that takes a third of the time of parsing and writing it again. Any other line is parsed, and gives the same document.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import orjson

from pipeline.event import TEXTS, Event, to_micros

#: A line up to this long is cut; in a longer one there may be values too long to be looked up exactly, in bytes.
_LONGEST_CUT = 8_000
#: Only values up to this length can be looked up exactly, in characters; longer ones by their words.
_LONGEST_EXACT = 8_000
_TIME, _ID, _MESSAGE, _ORIGINAL = b'{"@timestamp":"', b'","event.id":"', b',"message":"', b'","event.original":"'
_KIND = b',"event.kind":"'
#: Fields that are no exact values, also where a foreign producer's line has them among the others.
_TEXT_FIELD = re.compile(rb',"(?:message|event\.original|event\.original_base64|alert\.evidence)":')
#: Time stamps remembered: events that come together share many of theirs, or their second at least.
_REMEMBERED_STAMPS = 4096
_ID_DIGITS = 24
_BACKSLASH = ord("\\")
_NOT_EXACT = frozenset((*TEXTS, "@timestamp", "event.id"))


class Document(NamedTuple):
    """An event on its way into the index. `fields` and `text` are JSON: an object and a string.

    `kind` are the fields of the kind as they stand in the line, without braces (checked by nobody yet); empty where
    `fields` has them.
    """

    micros: int
    identifier: str
    fields: bytes
    text: bytes
    line: bytes
    kind: bytes = b""

    def json(self, address: int, kind: int | None = None) -> str:
        """Return the document of the index's schema (`tantivy_schema.py`); `kind` is the number that stands for its."""
        named = b"" if kind is None else b'"k":%d,' % kind
        fields = self.all_fields() if kind is None else self.fields
        return (
            b'{"t":%d,"at":%d,%b"id":%b,"f":%b,"text":%b}'
            % (self.micros, address, named, orjson.dumps(self.identifier), fields, self.text)
        ).decode()

    def all_fields(self) -> bytes:
        """Return `fields` with those of the kind."""
        if not self.kind:
            return self.fields
        return b"{%b}" % self.kind if self.fields == b"{}" else b"%b,%b}" % (self.fields[:-1], self.kind)


def document(event: Event | None, line: bytes) -> Document:
    """Return the document of a line; `event` is the line parsed, where somebody had to parse it.

    Raises:
        ValueError: the line is no JSON object with a readable `@timestamp` and an `event.id`.
    """
    cut = _cut(line)
    return cut if cut is not None else parsed(orjson.loads(line) if event is None else event, line)


def _cut(line: bytes) -> Document | None:
    time_end = line.find(b'"', len(_TIME), 48)
    id_start = time_end + len(_ID)
    id_end = id_start + _ID_DIGITS
    if len(line) > _LONGEST_CUT or not line.startswith(_TIME) or line[time_end:id_start] != _ID:
        return None
    if line[id_end : id_end + 2] != b'",' or not line[id_start:id_end].isalnum():
        return None
    # A quote in a JSON text is escaped, so these runs of bytes stand between fields only. They are looked for from the
    # end, where they are.
    end = len(line) - 1
    original = line.rfind(_ORIGINAL, id_end)
    message = line.rfind(_MESSAGE, id_end, original if original > 0 else end)
    start = text = message + len(_MESSAGE) - 1
    if original > 0:
        start = original + len(_ORIGINAL) - 1
    if message < 0 or line[end - 1 :] != b'"}' or not _is_one_text(line, start, end):
        return None
    if original > 0 and not _is_one_text(line, text, original + 1):  # a field between the two
        return None
    kind = line.rfind(_KIND, id_end, message)
    stop = kind if kind > 0 else message
    if _TEXT_FIELD.search(line, id_end + 1, stop):
        return None
    try:
        micros = _micros(line[len(_TIME) : time_end])
    except ValueError:
        return None
    fields = b"{%b}" % line[id_end + 2 : stop]
    run = line[stop + 1 : message] if kind > 0 else b""
    return Document(micros, line[id_start:id_end].decode(), fields, line[start:end], line, run)


@lru_cache(maxsize=_REMEMBERED_STAMPS)
def _micros(stamp: bytes) -> int:
    return to_micros(stamp.decode())


def _is_one_text(line: bytes, start: int, end: int) -> bool:
    """Say whether this is one JSON text: of more than one, at least three quotes have no backslash before them."""
    if start < end - 1 and line.find(b'"', start + 1, end - 1) < 0 and line[end - 2] != _BACKSLASH:
        return True  # nearly every text has no quote within
    return line.count(b'"', start, end) - line.count(b'\\"', start, end) == 2


def parsed(event: Event, line: bytes) -> Document:
    """Return the document of a line that was parsed.

    Raises:
        KeyError, ValueError, TypeError, AttributeError: it has no readable `@timestamp` or no `event.id`.
    """
    exact = {
        name: value
        for name, value in event.items()
        if name not in _NOT_EXACT and not (type(value) is str and len(value) > _LONGEST_EXACT)
    }
    text = event.get("event.original", event.get("message", ""))
    words = text if isinstance(text, str) else orjson.dumps(text).decode()
    micros, identifier = to_micros(event["@timestamp"]), event["event.id"]
    return Document(micros, identifier, orjson.dumps(exact), orjson.dumps(words), line)

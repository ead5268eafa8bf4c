"""What the embedded index holds of an event: its JSON line enters, the JSON document that Tantivy reads leaves.

The lines that our own collectors write have one layout (`collectors/envelope.py`): `@timestamp` and `event.id` first,
the texts last. Of such a line the document is cut out as it stands, without parsing: that takes a third of the time of
parsing and writing it again. Any other line is parsed, and gives the same document.
"""

from typing import NamedTuple

import orjson

from pipeline.event import TEXTS, Event, to_micros

#: A line up to this long is cut; in a longer one there may be values too long to be looked up exactly, in bytes.
_LONGEST_CUT = 8_000
#: Only values up to this length can be looked up exactly, in characters; longer ones by their words.
_LONGEST_EXACT = 8_000
_TIME, _ID, _MESSAGE, _ORIGINAL = b'{"@timestamp":"', b'","event.id":"', b',"message":"', b'","event.original":"'
_ID_DIGITS = 24
_NOT_EXACT = frozenset((*TEXTS, "@timestamp", "event.id"))


class Document(NamedTuple):
    """An event on its way into the index. `fields` and `text` are JSON: an object and a string."""

    micros: int
    identifier: str
    fields: bytes
    text: bytes
    line: bytes

    def json(self, address: int) -> str:
        """Return the document of the index's schema (`tantivy_schema.py`)."""
        return (
            b'{"t":%d,"at":%d,"id":%b,"f":%b,"text":%b}'
            % (self.micros, address, orjson.dumps(self.identifier), self.fields, self.text)
        ).decode()


def document(event: Event | None, line: bytes) -> Document:
    """Return the document of a line; `event` is the line parsed, where somebody had to parse it.

    Raises:
        ValueError: the line is no JSON object with a readable `@timestamp` and an `event.id`.
    """
    cut = _cut(line)
    return cut if cut is not None else _parsed(orjson.loads(line) if event is None else event, line)


def _cut(line: bytes) -> Document | None:
    time_end = line.find(b'"', len(_TIME), 48)
    id_start = time_end + len(_ID)
    id_end = id_start + _ID_DIGITS
    if len(line) > _LONGEST_CUT or not line.startswith(_TIME) or line[time_end:id_start] != _ID:
        return None
    if line[id_end : id_end + 2] != b'",' or not line[id_start:id_end].isalnum():
        return None
    # A quote in a JSON text is escaped, so these runs of bytes stand between fields only; `message` is the first text.
    message = line.find(_MESSAGE, id_end)
    if message < 0 or line.find(_MESSAGE, message + 1) >= 0:
        return None
    text = message + len(_MESSAGE) - 1
    original = line.find(_ORIGINAL, text)
    if original >= 0:
        start, end = original + len(_ORIGINAL) - 1, len(line) - 1
    else:
        start, end = text, len(line) - 1
    if line[end - 1 : end + 1] != b'"}' or line.find(b'","', start + 1) >= 0:
        return None
    try:
        micros = to_micros(line[len(_TIME) : time_end].decode())
    except ValueError:
        return None
    fields = b"{" + line[id_end + 2 : message] + b"}"
    if b'"event.original' in fields or b'"alert.evidence"' in fields:
        return None
    return Document(micros, line[id_start:id_end].decode(), fields, line[start:end], line)


def _parsed(event: Event, line: bytes) -> Document:
    exact = {
        name: value
        for name, value in event.items()
        if name not in _NOT_EXACT and not (type(value) is str and len(value) > _LONGEST_EXACT)
    }
    text = event.get("event.original", event.get("message", ""))
    words = text if isinstance(text, str) else orjson.dumps(text).decode()
    micros, identifier = to_micros(event["@timestamp"]), event["event.id"]
    return Document(micros, identifier, orjson.dumps(exact), orjson.dumps(words), line)

"""Reading a file whole: a path enters, event lines leave, whatever format its content says it has.

`.evtx`, JSON lines, a JSON array or object, syslog and any other text; each also packed with gzip or zstd. Ids are made
of the file's content and the place in it, so the same file read twice, or from another folder, gives the same events.
"""

import codecs
import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from collectors.decoders.text import to_text
from collectors.envelope import Origin
from collectors.unpacking import GZIP_MAGIC, ZSTD_MAGIC, Lines, TooLarge, Unpacker
from collectors.windows_events import EVTX_MAGIC, read_evtx
from pipeline.event import MAX_EVENT_BYTES

_PIECE = 262_144
#: A packed file may become this much larger, and at least this large, before it is taken for a bomb.
_MAX_GROWTH, _MAX_SMALL = 200, 1_000_000_000
_MAX_ARRAY_BYTES = 64_000_000
#: Lines at a file's start that show what it is.
_LOOKED_AT = 20
_BOM = codecs.BOM_UTF8
_SYSLOG_START = re.compile(
    rb"<\d{1,3}>|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S"
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z) \S+ \S+: "
)


class Unreadable(ValueError):
    """The file as a whole cannot be read; its text is the reason."""


def read_file(path: Path, origin: Origin, line_limit: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield event lines with how many bytes of the file were read for them.

    Raises:
        Unreadable: the file cannot be read, from here on.
    """
    try:
        if not path.is_file():  # a pipe or device has no end
            raise Unreadable("not a regular file")
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(0)
            if head.startswith((GZIP_MAGIC, ZSTD_MAGIC)):
                yield from _unpacked(path, file, head, origin, line_limit)
            elif head == EVTX_MAGIC:
                yield from _evtx(path, path, origin)
            else:
                yield from _text(path, file, origin, line_limit)
    except (OSError, RuntimeError) as error:
        raise Unreadable(str(error) or repr(error)) from error


def _unpacked(
    path: Path, packed: BinaryIO, head: bytes, origin: Origin, limit: int
) -> Iterator[tuple[list[bytes], int]]:
    """Unpack to a temporary file first: an `.evtx` is read at any place, and a bomb is found before it counts."""
    most = max(path.stat().st_size * _MAX_GROWTH, _MAX_SMALL)
    unpacker = Unpacker("gzip" if head.startswith(GZIP_MAGIC) else "zstd", most)
    broken: ValueError | None = None
    with tempfile.NamedTemporaryFile(prefix="haidang-") as plain:
        try:
            while piece := packed.read(_PIECE):
                for part in unpacker.feed(piece):
                    plain.write(part)
            unpacker.end()
        except TooLarge as error:
            raise Unreadable(f"{error}: taken for a bomb") from error
        except ValueError as error:
            broken = error
        plain.flush()
        plain.seek(0)
        start = plain.read(8)
        plain.seek(0)
        if start == EVTX_MAGIC:
            yield from _evtx(Path(plain.name), path, origin)
        elif start:
            yield from _text(path, cast(BinaryIO, plain), origin, limit)
    if broken is not None:
        raise Unreadable(f"{broken}; what came before is taken in") from broken


def _evtx(content: Path, path: Path, origin: Origin) -> Iterator[tuple[list[bytes], int]]:
    size = content.stat().st_size
    held: list[bytes] = []
    for line in read_evtx(content, origin, datetime.now(UTC), shown=path):
        held.append(line)
        if len(held) >= 1000:
            yield held, 0
            held = []
    yield held, size


def _text(path: Path, file: BinaryIO, origin: Origin, limit: int) -> Iterator[tuple[list[bytes], int]]:
    start = file.read(_PIECE)
    file.seek(0)
    utf16 = _utf16(start, origin.encoding)
    if utf16:
        yield from _recoded(path, file, utf16, origin, limit)
        return
    if start and not any(to_text(line, origin.encoding)[0] for line in start.split(b"\n")[:_LOOKED_AT]):
        raise Unreadable("neither text nor a format that is known")
    identity = _content_digest(file)
    file.seek(0)
    if start.removeprefix(_BOM).lstrip()[:1] in (b"[", b"{"):
        whole = _json_objects(file)
        if whole is not None:
            yield _objects(whole, identity, path, origin), path.stat().st_size
            return
        file.seek(0)
    if origin.hints.dataset is None and not origin.hints.syslog:
        origin = replace(origin, hints=replace(origin.hints, syslog=is_syslog(start)))
    lines = Lines(MAX_EVENT_BYTES)
    number = 0
    while piece := file.read(_PIECE):
        found = lines.feed(piece)
        yield _lines(found, number, identity, path, origin, limit), len(piece)
        number += len(found)
    yield _lines(lines.end(), number, identity, path, origin, limit), 0


def _recoded(
    path: Path, file: BinaryIO, encoding: str, origin: Origin, limit: int
) -> Iterator[tuple[list[bytes], int]]:
    """Write UTF-16 as UTF-8 first: then a line's end is one byte again."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    with tempfile.NamedTemporaryFile(prefix="haidang-") as plain:
        while piece := file.read(_PIECE):
            plain.write(decoder.decode(piece).encode())
        plain.write(decoder.decode(b"", final=True).encode())
        plain.seek(0)
        yield from _text(path, cast(BinaryIO, plain), replace(origin, encoding="utf-8"), limit)


def _lines(lines: list[bytes], before: int, identity: str, path: Path, origin: Origin, limit: int) -> list[bytes]:
    received = datetime.now(UTC)
    events = []
    for number, line in enumerate(lines, before + 1):
        more: dict[str, Any] = {"log.file.path": str(path), "event.sequence": number}
        if line.lstrip()[:1] == b"{":
            try:
                events.append(origin.object_event(orjson.loads(line), (identity, number), received, more))
                continue
            except orjson.JSONDecodeError as error:
                more["error.message"] = f"no JSON object: {error}"
        if len(line) > limit:
            note = f"line longer than {limit} bytes; the rest was left out"
            more["error.message"] = f"{more['error.message']}; {note}" if "error.message" in more else note
        events.append(origin.event(line[:limit], (identity, number), received, more))
    return events


def _objects(objects: list[Any], identity: str, path: Path, origin: Origin) -> list[bytes]:
    received = datetime.now(UTC)
    events = []
    for number, item in enumerate(objects, 1):
        more = {"log.file.path": str(path), "event.sequence": number}
        if isinstance(item, dict):
            events.append(origin.object_event(item, (identity, number), received, more))
        else:
            events.append(origin.event(orjson.dumps(item), (identity, number), received, more))
    return events


def _json_objects(file: BinaryIO) -> list[Any] | None:
    """Return the objects of a file that is one JSON value; None where it is lines, or too large to tell."""
    text = file.read(_MAX_ARRAY_BYTES + 1)
    if len(text) > _MAX_ARRAY_BYTES:
        return None
    try:
        value = orjson.loads(text.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) else [value]


def is_syslog(start: bytes) -> bool:
    """Whether most of the first lines start like syslog: a priority, or the time stamps that syslog files have."""
    lines = [line for line in start.split(b"\n")[:_LOOKED_AT] if line.strip()]
    return bool(lines) and sum(_SYSLOG_START.match(line) is not None for line in lines) * 2 > len(lines)


def _content_digest(file: BinaryIO) -> str:
    digest = hashlib.blake2b(digest_size=12)
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _utf16(start: bytes, encoding: str) -> str:
    """Return the name of the UTF-16 that a file is in, by its mark or by the settings; nothing for every other file."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    name = encoding.strip().lower().replace("_", "-")
    return name if name in ("utf-16", "utf-16-le", "utf-16-be", "utf-16le", "utf-16be") else ""

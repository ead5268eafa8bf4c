"""Reading a file whole: a path enters, event lines leave, whatever format its content says it has.

`.evtx`, JSON lines, a JSON array or object, syslog and any other text; each also packed with gzip or zstd. Ids are made
of the file's content and the place in it, so the same file read twice, or from another folder, gives the same events.
"""

import gzip
import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import zstandard

from collectors.envelope import Origin
from collectors.unpacking import GZIP_MAGIC, ZSTD_MAGIC, Lines
from collectors.windows_events import EVTX_MAGIC, read_evtx

_PIECE = 262_144
#: A packed file may become this much larger, and at least this large, before it is taken for a bomb.
_MAX_GROWTH, _MAX_SMALL = 200, 1_000_000_000
_MAX_ARRAY_BYTES = 64_000_000
_SYSLOG_START = re.compile(
    rb"<\d{1,3}>|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z) \S+ \S+: "
)


class Unreadable(ValueError):
    """The file as a whole cannot be read; its text is the reason."""


def read_file(path: Path, origin: Origin, line_limit: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield event lines with how many bytes of the file were read for them.

    Raises:
        Unreadable: the file cannot be read, from here on.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(0)
            if head.startswith((GZIP_MAGIC, ZSTD_MAGIC)):
                yield from _unpacked(path, file, head, origin, line_limit)
            elif head == EVTX_MAGIC:
                yield from _evtx(path, path, origin)
            else:
                yield from _text(path, file, origin, line_limit)
    except (OSError, EOFError, RuntimeError, zstandard.ZstdError) as error:
        raise Unreadable(str(error) or repr(error)) from error


def _unpacked(
    path: Path, packed: BinaryIO, head: bytes, origin: Origin, limit: int
) -> Iterator[tuple[list[bytes], int]]:
    """Unpack to a temporary file first: an `.evtx` needs to be read at any place, and a bomb is found before its content counts."""
    most = max(path.stat().st_size * _MAX_GROWTH, _MAX_SMALL)
    stream: Any = (
        gzip.open(packed)
        if head.startswith(GZIP_MAGIC)
        else zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    )
    with tempfile.NamedTemporaryFile(prefix="haidang-") as plain:
        size = 0
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > most:
                raise Unreadable(f"unpacks to more than {most} bytes: taken for a bomb")
            plain.write(piece)
        plain.flush()
        plain.seek(0)
        start = plain.read(8)
        plain.seek(0)
        if start == EVTX_MAGIC:
            yield from _evtx(Path(plain.name), path, origin)
        else:
            yield from _text(path, cast(BinaryIO, plain), origin, limit)


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
    identity = _content_digest(file)
    file.seek(0)
    start = file.read(_PIECE)
    file.seek(0)
    utf16 = _utf16(start)
    if not utf16 and start.lstrip()[:1] in (b"[", b"{"):
        whole = _json_objects(path, file)
        if whole is not None:
            yield _objects(whole, identity, path, origin), path.stat().st_size
            return
        file.seek(0)
    if origin.hints.dataset is None and not origin.hints.syslog:
        origin = replace(origin, hints=replace(origin.hints, syslog=is_syslog(start)))
    lines = Lines(limit)
    number = 0
    while piece := file.read(_PIECE):
        found = _utf16_lines(piece, utf16, file) if utf16 else lines.feed(piece)
        events, number = _lines(found, number, identity, path, origin)
        yield events, len(piece)
    events, number = _lines(lines.end(), number, identity, path, origin)
    yield events, 0


def _lines(lines: list[bytes], number: int, identity: str, path: Path, origin: Origin) -> tuple[list[bytes], int]:
    received = datetime.now(UTC)
    events = []
    for line in lines:
        number += 1
        more = {"log.file.path": str(path), "event.sequence": number}
        if line.lstrip()[:1] == b"{":
            try:
                events.append(origin.object_event(orjson.loads(line), (identity, number), received, more))
                continue
            except orjson.JSONDecodeError as error:
                more["error.message"] = f"no JSON object: {error}"
        events.append(origin.event(line, (identity, number), received, more))
    return events, number


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


def _json_objects(path: Path, file: BinaryIO) -> list[Any] | None:
    """Return the objects of a file that is one JSON value; None where it is lines, or too large to tell."""
    if path.stat().st_size > _MAX_ARRAY_BYTES:
        return None
    try:
        value = orjson.loads(file.read(_MAX_ARRAY_BYTES))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) else [value]


def is_syslog(start: bytes) -> bool:
    """Whether most of the first lines start like syslog: a priority, or the time stamps that syslog files have."""
    lines = [line for line in start.split(b"\n")[:20] if line.strip()]
    return bool(lines) and sum(_SYSLOG_START.match(line) is not None for line in lines) * 2 > len(lines)


def _content_digest(file: BinaryIO) -> str:
    digest = hashlib.blake2b(digest_size=12)
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _utf16(start: bytes) -> str:
    if start[:2] == b"\xff\xfe":
        return "utf-16-le"
    return "utf-16-be" if start[:2] == b"\xfe\xff" else ""


def _utf16_lines(piece: bytes, encoding: str, file: BinaryIO) -> list[bytes]:
    newline = "\n".encode(encoding)
    rest = b""
    while True:  # on to the end of the line that the piece ends in
        at = len(piece) + len(rest)
        if (piece + rest)[-2:] == newline and at % 2 == 0:
            break
        two = file.read(2)
        if not two or len(rest) > _PIECE:
            break
        rest += two
    text = (piece + rest).decode(encoding, "replace").lstrip("\ufeff")
    return [line.encode() for line in text.splitlines() if line.strip()]

"""Reading a file whole: a path enters, event lines leave, whatever format its content says it has.

`.evtx`, captures of packets, JSON lines, a JSON array or object, syslog and any other text; each also packed with gzip
or zstd. Ids are made of the file's content and the place in it, so the same file read twice, or from another folder,
gives the same events.
"""

import codecs
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from collectors.decoders.text import to_text
from collectors.decoders.zeek_layout import Layouts
from collectors.envelope import Origin
from collectors.network.capture_events import read_capture
from collectors.network.capture_files import CAPTURE_MAGIC, DamagedError
from collectors.network.rules.ruleset import RuleSet
from collectors.unpacking import GZIP_MAGIC, ZSTD_MAGIC, Lines, TooLarge, Unpacker, line_fault
from collectors.windows_events import EVTX_HEADER_BYTES, EVTX_MAGIC, missing_chunks, read_evtx
from pipeline.event import MAX_EVENT_BYTES

_PIECE = 262_144
#: A packed file may become this much larger, and at least this large, before it is taken for a bomb.
_MAX_GROWTH, _MAX_SMALL = 200, 1_000_000_000
_MAX_ARRAY_BYTES = 64_000_000
#: Lines at a file's start that show what it is.
_LOOKED_AT = 20
#: More of the first lines than this share, and than this many, that are no text: the file is none.
_BINARY_SHARE, _BINARY_FEW = 0.1, 4
#: Broken places in a file of indented JSON after which its rest is taken as one.
_MAX_BROKEN = 100
_BOM = codecs.BOM_UTF8
_BETWEEN_VALUES = re.compile(r"[\s,]*")
_SYSLOG_START = re.compile(
    rb"<\d{1,3}>|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S"
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z) \S+ \S+: "
)


class Unreadable(ValueError):
    """The file as a whole cannot be read; its text is the reason."""


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder and in those below it by name, and the folders that cannot be looked into.

    `read_file` says of these why not.
    """
    closed: list[Path] = []
    found: list[Path] = []
    for place, _, names in os.walk(folder, onerror=lambda error: closed.append(Path(str(error.filename)))):
        found += [path for name in names if _may_be_file(path := Path(place, name))]
    return sorted([*found, *closed])


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # reading it says why
        return True


def read_file(
    path: Path, origin: Origin, line_limit: int, packet_rules: RuleSet | None = None
) -> Iterator[tuple[list[bytes], int]]:
    """Yield event lines with how many bytes of the file were read for them; of a capture, packet rules are asked.

    Raises:
        Unreadable: the file cannot be read, from here on.
    """
    try:
        path.stat()  # what is not there is told as such
        if path.is_dir():
            os.scandir(path).close()  # what must not be looked into, too
        if not path.is_file():  # a pipe or device has no end
            raise Unreadable("not a regular file")
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(0)
            if head.startswith((GZIP_MAGIC, ZSTD_MAGIC)):
                yield from _unpacked(path, file, head, origin, line_limit, packet_rules)
            elif head == EVTX_MAGIC:
                yield from _evtx(path, path, origin)
            elif head[:4] in CAPTURE_MAGIC:
                yield from _capture(path, path, origin, packet_rules)
            else:
                yield from _text(path, file, origin, line_limit)
    except OSError as error:
        raise Unreadable(error.strerror or str(error) or repr(error)) from error
    except RuntimeError as error:
        raise Unreadable(str(error) or repr(error)) from error


def _unpacked(
    path: Path, packed: BinaryIO, head: bytes, origin: Origin, limit: int, packet_rules: RuleSet | None
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
        elif start[:4] in CAPTURE_MAGIC:
            yield from _capture(Path(plain.name), path, origin, packet_rules)
        elif start:
            yield from _text(path, cast(BinaryIO, plain), origin, limit)
    if broken is not None:
        raise Unreadable(f"{broken}; what came before is taken in") from broken


def _evtx(content: Path, path: Path, origin: Origin) -> Iterator[tuple[list[bytes], int]]:
    size = content.stat().st_size
    with content.open("rb") as file:
        missing = missing_chunks(file.read(EVTX_HEADER_BYTES), size)
    held: list[bytes] = []
    for line in read_evtx(content, origin, datetime.now(UTC), shown=path):
        held.append(line)
        if len(held) >= 1000:
            yield held, 0
            held = []
    yield held, size
    if missing:
        raise Unreadable(f"it is cut off: its last {missing} chunks are missing; what came before is taken in")


def _capture(
    content: Path, path: Path, origin: Origin, packet_rules: RuleSet | None
) -> Iterator[tuple[list[bytes], int]]:
    try:
        yield from read_capture(content, origin, path, packet_rules)
    except DamagedError as error:
        raise Unreadable(f"{error}; what came before is taken in") from error


def _text(path: Path, file: BinaryIO, origin: Origin, limit: int) -> Iterator[tuple[list[bytes], int]]:
    start = file.read(_PIECE)
    file.seek(0)
    utf16 = _utf16(start, origin.encoding)
    if utf16:
        yield from _recoded(path, file, utf16, origin, limit)
        return
    if _is_binary(start, origin.encoding):
        raise Unreadable("neither text nor a format that is known")
    identity = _content_digest(file)
    file.seek(0)
    if start.removeprefix(_BOM).lstrip()[:1] in (b"[", b"{"):
        whole = _json_objects(file, origin.encoding)
        if whole is not None:
            yield (
                _objects(whole, identity, path, origin.with_layout(Layouts(str(path)).layout), limit),
                path.stat().st_size,
            )
            return
        file.seek(0)
    if origin.hints.dataset is None and not origin.hints.syslog:
        origin = replace(origin, hints=replace(origin.hints, syslog=is_syslog(start)))
    lines = Lines(MAX_EVENT_BYTES, blank=True)
    layouts = Layouts(str(path))
    number = 0
    while piece := file.read(_PIECE):
        found = lines.feed(piece)
        yield _lines(found, number, identity, path, origin, limit, layouts), len(piece)
        number += len(found)
    yield _lines(lines.end(), number, identity, path, origin, limit, layouts), 0


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


def _lines(
    lines: list[bytes], before: int, identity: str, path: Path, origin: Origin, limit: int, layouts: Layouts
) -> list[bytes]:
    received = datetime.now(UTC)
    events = []
    for number, line in enumerate(lines, before + 1):
        if not line.strip() or layouts.is_header(line):
            continue
        origin = origin.with_layout(layouts.layout)
        more: dict[str, Any] = {"log.file.path": str(path), "event.sequence": number}
        json_fault = ""
        if line.lstrip()[:1] == b"{":
            try:
                events.append(origin.object_event(orjson.loads(line), (identity, number), received, more))
                continue
            except orjson.JSONDecodeError as error:
                json_fault = str(error)
        if fault := line_fault(line, limit, json_fault):
            more["error.message"] = fault
        events.append(origin.event(line[:limit], (identity, number), received, more))
    return events


@dataclass(frozen=True, slots=True)
class _Broken:
    """A place among JSON values that is none."""

    text: str
    fault: str


def _objects(objects: list[Any], identity: str, path: Path, origin: Origin, limit: int) -> list[bytes]:
    received = datetime.now(UTC)
    events = []
    for number, item in enumerate(objects, 1):
        more: dict[str, Any] = {"log.file.path": str(path), "event.sequence": number}
        if isinstance(item, dict):
            events.append(origin.object_event(item, (identity, number), received, more))
        elif isinstance(item, _Broken):
            raw = item.text.encode()
            more["error.message"] = line_fault(raw, limit, item.fault)
            events.append(replace(origin, encoding="utf-8").event(raw[:limit], (identity, number), received, more))
        else:
            events.append(origin.event(orjson.dumps(item), (identity, number), received, more))
    return events


def _json_objects(file: BinaryIO, encoding: str) -> list[Any] | None:
    """Return the objects of a file of one JSON value or of indented ones; None where it is lines, or too large."""
    first = file.readline(_PIECE)
    if _is_json(first) and file.read(1):
        return None  # JSON lines
    file.seek(0)
    content = file.read(_MAX_ARRAY_BYTES + 1)
    if len(content) > _MAX_ARRAY_BYTES:
        return None
    try:
        value = orjson.loads(content.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        if _is_json(content.lstrip().partition(b"\n")[0]):
            return None
        text, _ = to_text(content, encoding)
        return _values(text) if text is not None else None
    return value if isinstance(value, list) else [value]


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return False
    return True


def _values(text: str) -> list[Any] | None:
    """Return the JSON values that follow each other in a text, and what is broken between them; None for lines."""
    find_end = json.JSONDecoder().raw_decode
    found: list[Any] = []
    broken = 0
    at = first = _end_of(_BETWEEN_VALUES, text, 0)
    while at < len(text):
        try:
            end = find_end(text, at)[1]
            value = orjson.loads(text[at:end])
            found += value if isinstance(value, list) else [value]
        except (ValueError, RecursionError) as error:
            # Text that only begins like JSON, or a broken one in JSON lines, is for the reader of lines.
            if "\n" not in text[first:at].rstrip().partition("\n{")[0]:
                return None
            broken += 1
            end = text.find("\n{", at + 1) if broken < _MAX_BROKEN else -1
            end = end if end >= 0 else len(text)
            found.append(_Broken(text[at:end].rstrip(), str(error) or repr(error)))
        at = _end_of(_BETWEEN_VALUES, text, end)
    return found


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _is_binary(start: bytes, encoding: str) -> bool:
    """Whether too many of a file's first lines are no text; a few damaged ones among text are events that say so."""
    lines = [line for line in start.split(b"\n") if line.strip()]
    if not any(to_text(line, encoding)[0] for line in lines[:_LOOKED_AT]):
        return bool(start.strip(b"\n\r\t "))
    binary = sum(to_text(line, encoding)[0] is None for line in lines)
    return binary > max(_BINARY_FEW, _BINARY_SHARE * len(lines))


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

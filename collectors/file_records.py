"""The bytes of a growing file enter, its records leave, each with its place: lines, several lines joined, UTF-16 too.

Pure: a file is a function that reads at a place. What is not whole yet stays for the next time.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Bytes that are read at once.
PIECE = 262_144
#: A line that is longer than this ends here, whatever comes; until then it is looked for its end.
_MAX_LINE_BYTES = 128_000_000
#: Lines of one record at most, when records have several lines.
_MAX_RECORD_LINES = 500

#: Size and offset in, bytes out; fewer than asked only at the end of the file.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Record:
    """`raw` is at most one byte longer than the limit, so that one sees that it was cut; UTF-16 has become UTF-8."""

    place: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Reader:
    """How the files of a source are read."""

    limit: int
    first_line: re.Pattern[bytes] | None = None
    utf16: str = ""

    def next(self, read: Read, offset: int, whole: bool) -> tuple[list[Record], int] | None:
        """Return the next records and the place after them, or None while there is none.

        `whole` says that what is there is all: a last line counts without its end.
        """
        data = read(PIECE, offset)
        at_end = len(data) < PIECE
        spans = list(self._lines(data))
        done = spans[-1][1] if spans else 0
        last = len(data) - len(data) % (2 if self.utf16 else 1)
        if at_end and whole and done < last:
            spans.append((done, last))
        elif not spans and not at_end:
            return self._long_line(read, offset, data, whole)
        if self.first_line is not None:
            spans = self._joined(data, spans, may_go_on=not (at_end and whole), must_go=not at_end)
        if not spans:
            return None
        records = (self._record(data[begin:end], offset + begin) for begin, end in spans)
        return [record for record in records if record.raw.strip()], offset + spans[-1][1]

    def _lines(self, data: bytes) -> Iterator[tuple[int, int]]:
        newline = "\n".encode(self.utf16) if self.utf16 else b"\n"
        begin = at = 0
        while (at := data.find(newline, at)) >= 0:
            if at % len(newline) == 0:
                yield begin, at + len(newline)
                begin = at + len(newline)
            at += 1

    def _joined(
        self, data: bytes, lines: list[tuple[int, int]], may_go_on: bool, must_go: bool
    ) -> list[tuple[int, int]]:
        assert self.first_line is not None
        groups: list[tuple[int, int]] = []
        count = 0
        for begin, end in lines:
            count += 1
            if not groups or count > _MAX_RECORD_LINES or self.first_line.match(self._text(data[begin:end])):
                groups.append((begin, end))
                count = 1
            else:
                groups[-1] = (groups[-1][0], end)
        if groups and may_go_on and not (must_go and len(groups) == 1):
            groups.pop()  # the last record may go on
        return groups

    def _long_line(self, read: Read, offset: int, data: bytes, whole: bool) -> tuple[list[Record], int] | None:
        """A line longer than a piece: look for its end, keep its beginning."""
        stop = offset + len(data)
        while stop - offset < _MAX_LINE_BYTES:
            more = read(PIECE, stop)
            end = next(self._lines(more), None)
            stop += end[1] if end else len(more)
            if end or (whole and not more):
                break
            if not more:
                return None
        return [self._record(data, offset)], stop

    def _record(self, data: bytes, place: int) -> Record:
        text = self._text(data)
        if place == 0:
            text = text.removeprefix(codecs.BOM_UTF8)
        return Record(place, text.rstrip(b"\r\n")[: self.limit + 1])

    def _text(self, data: bytes) -> bytes:
        return data.decode(self.utf16, "replace").encode() if self.utf16 else data


def utf16_of(start: bytes, encoding: str) -> str:
    """Return which UTF-16 a file is in, by its mark or by the settings; nothing for every other file."""
    if start.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    if start.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    name = encoding.strip().lower().replace("_", "-").replace("utf-16le", "utf-16-le").replace("utf-16be", "utf-16-be")
    return {"utf-16": "utf-16-le", "utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"}.get(name, "")

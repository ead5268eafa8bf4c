"""Compressed bytes enter, plain bytes or lines leave, piece by piece, never more than a limit: a bomb stays small."""

import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator

import zstandard

from pipeline.event import MAX_EVENT_BYTES

#: The most that one step gives out, in bytes.
_STEP = 262_144
#: zstd has no such step; this many bytes in become at most 8 MiB (64 blocks of 128 KiB, RFC 8878 section 3.1.1.2).
_ZSTD_BITE = 256
#: The memory that a zstd frame may ask for: what RFC 8878 section 3.1.1.1.2 recommends to support.
_ZSTD_WINDOW = 1 << 23
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: How `error.message` of an event begins whose line should have been a JSON object.
NO_JSON = "no JSON object"


class TooLarge(ValueError):
    """More came out than the limit allows."""


class Unpacker:
    """One stream: `gzip`, `deflate`, `zstd` or `identity` in, at most `limit` plain bytes out.

    Gzip members and zstd frames may be joined (RFC 1952 section 2.2, RFC 8878 section 3.1).

    Raises: ValueError for an unknown or broken compression, TooLarge past the limit.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._left = self._limit = limit
        self._encoding = encoding
        self._begun = False  # a member or frame has begun and not ended
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._zlib = _zlib()
        elif encoding == "zstd":
            self._zstd = _zstd()
        elif encoding not in ("", "identity"):
            raise ValueError(f"content encoding {encoding!r} is not one of gzip, deflate, zstd, identity")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to, in steps."""
        for piece in self._pieces(data):
            self._left -= len(piece)
            if self._left < 0:
                raise TooLarge(f"more than {self._limit} bytes after unpacking")
            if piece:
                yield piece

    def end(self) -> None:
        """Say that no more comes: a stream that was cut off is broken."""
        if self._begun:
            raise ValueError(f"broken {self._encoding}: it ends in the middle")

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            if self._encoding in ("", "identity"):
                for at in range(0, len(data), _STEP):
                    yield data[at : at + _STEP]
            elif self._encoding == "zstd":
                for at in range(0, len(data), _ZSTD_BITE):
                    yield from self._unzstd(data[at : at + _ZSTD_BITE])
            else:
                yield from self._inflate(data)
        except (zlib.error, zstandard.ZstdError) as error:
            raise ValueError(f"broken {self._encoding}: {error}") from error

    def _unzstd(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._begun:
                self._zstd = _zstd()
            yield self._zstd.decompress(data)
            self._begun = not self._zstd.eof
            data = self._zstd.unused_data if self._zstd.eof else b""

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data := data if self._begun else data.lstrip(b"\0"):  # zeros between members are padding
            if not self._begun:
                self._zlib = _zlib()
            yield self._zlib.decompress(data, _STEP)
            while not self._zlib.eof and self._zlib.unconsumed_tail:
                yield self._zlib.decompress(self._zlib.unconsumed_tail, _STEP)
            self._begun = not self._zlib.eof
            data = self._zlib.unused_data


class Lines:
    """Plain pieces enter, whole lines leave; of a longer one its first `limit` + 1 bytes, so that one sees it.

    Lines of nothing but blanks are left out, unless they are to be counted (`blank`).
    """

    def __init__(self, limit: int, blank: bool = False) -> None:
        self._limit = limit
        self._blank = blank
        self._rest: list[bytes] = []
        self._size = 0
        self._skip = False
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole now."""
        head, end, tail = data.partition(b"\n")
        lines: list[bytes] = []
        if not self._skip:
            self._rest.append(head)
            self._size += len(head)
        if end:
            lines = [*self._whole(), *tail.split(b"\n")]
            self._skip = False
            rest = lines.pop()
            self._rest, self._size = [rest], len(rest)
        if self._size > self._limit + len(BOM_UTF8):
            lines += self._whole()
            self._skip = True
        return self._shown(lines)

    def end(self) -> list[bytes]:
        """Return the last line, which lacks its end."""
        return self._shown(self._whole())

    def _whole(self) -> list[bytes]:
        rest, self._rest, self._size = self._rest, [], 0
        return [b"".join(rest)] if rest else []

    def _shown(self, lines: list[bytes]) -> list[bytes]:
        return [short for line in lines if (short := self._short(line)).strip() or self._blank]

    def _short(self, line: bytes) -> bytes:
        if not self._begun:  # a mark of UTF-8, as Windows programs write it
            line, self._begun = line.removeprefix(BOM_UTF8), True
        return line[: self._limit + 1].removesuffix(b"\r")


def line_fault(line: bytes, kept: int, json_fault: str = "") -> str:
    """Return what is wrong with a line as `Lines` gave it: no JSON object, or longer than what is kept of it."""
    if json_fault and len(line) > MAX_EVENT_BYTES:
        return f"JSON line longer than {MAX_EVENT_BYTES} bytes; only its first {kept} bytes are kept"
    notes = [f"{NO_JSON}: {json_fault}"] if json_fault else []
    if len(line) > kept:
        notes.append(f"line longer than {kept} bytes; the rest was left out")
    return "; ".join(notes)


def _zlib() -> "zlib._Decompress":
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib header


def _zstd() -> "zstandard.ZstdDecompressionObj":
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

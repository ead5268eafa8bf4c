"""Compressed bytes enter piece by piece, plain bytes leave piece by piece, never more than a limit: a bomb stays small."""

import zlib
from collections.abc import Iterable, Iterator

import zstandard

#: The most that one step gives out, in bytes.
_STEP = 262_144
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class TooLarge(ValueError):
    """More came out than the limit allows."""


class Unpacker:
    """One stream: `none`, `gzip`, `deflate` or `zstd` in, at most `limit` plain bytes out.

    Raises (from `feed`): ValueError for an unknown or broken compression, TooLarge past the limit.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._left = self._limit = limit
        self._encoding = encoding
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib header
        elif encoding == "zstd":
            self._zstd = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        elif encoding not in ("", "identity", "none"):
            raise ValueError(f"content encoding {encoding!r} is not one of gzip, deflate, zstd, identity")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to, in steps."""
        for piece in self._pieces(data):
            self._left -= len(piece)
            if self._left < 0:
                raise TooLarge(f"more than {self._limit} bytes after unpacking")
            if piece:
                yield piece

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self._encoding in ("", "identity", "none"):
            yield data
        elif self._encoding == "zstd":
            # zstandard has no step limit of its own; small bites keep what one can become bounded (1 KiB -> 32 MiB at worst)
            try:
                for at in range(0, len(data), 1024):
                    yield self._zstd.decompress(data[at : at + 1024])
            except zstandard.ZstdError as error:
                raise ValueError(f"broken zstd: {error}") from error
        else:
            yield from self._inflate(data)

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                yield self._zlib.decompress(data, _STEP)
                while not self._zlib.eof and self._zlib.unconsumed_tail:
                    yield self._zlib.decompress(self._zlib.unconsumed_tail, _STEP)
                data = self._zlib.unused_data.lstrip(b"\0")
                if self._zlib.eof and data:  # gzip files may be joined (RFC 1952 section 2.2)
                    self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32)
        except zlib.error as error:
            raise ValueError(f"broken gzip: {error}") from error


class Lines:
    """Plain pieces enter, whole lines leave; a longer one than `limit` is cut and the cut counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._skip = False
        self.cut = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole now."""
        if self._skip:
            end = data.find(b"\n")
            self.cut += len(data) if end < 0 else end
            if end < 0:
                return []
            data, self._skip = data[end + 1 :], False
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        lines = [self._short(line) for line in lines]
        if len(self._rest) > self._limit:
            lines.append(self._short(self._rest))
            self._rest, self._skip = b"", True
        return [line for line in lines if line.strip()]

    def end(self) -> list[bytes]:
        """Return the last line, which lacks its end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest.strip() else []

    def _short(self, line: bytes) -> bytes:
        if len(line) > self._limit:
            self.cut += len(line) - self._limit
            return line[: self._limit]
        return line.removesuffix(b"\r")


def lines_of(pieces: Iterable[bytes], limit: int) -> Iterator[list[bytes]]:
    """Yield the lines of a stream of plain pieces, a list for each piece."""
    lines = Lines(limit)
    for piece in pieces:
        yield lines.feed(piece)
    yield lines.end()

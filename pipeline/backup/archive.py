"""The archive: named parts enter one after the other, one sealed file leaves; and back, every byte checked.

The file is a tar of plain files (POSIX ustar) in one zstd frame, so `tar --zstd -xf` opens it too. Its first member,
`backup.json`, says what it is; its last, `manifest.json`, has the size and SHA-256 of all others. Behind the tar, in a
frame that unpackers pass over (RFC 8878 section 3.1.2), lies the SHA-256 of every byte before. Nothing here waits in
memory but the manifest, and a part that is being read.
"""

import hashlib
import os
import re
import struct
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import zstandard
from pydantic import ValidationError

from pipeline.backup import FORMAT, Header
from pipeline.messages import HaidangError

HEADER, MANIFEST = "backup.json", "manifest.json"
#: The longest part that is read into memory whole, in bytes; rows and frames are cut into parts of a tenth of it.
MOST_IN_MEMORY = 64_000_000
#: The longest manifest, in bytes: some two million parts.
_MOST_MANIFEST = 256_000_000
#: Parts of an archive; an index has some thirty files.
_MOST_PARTS = 2_000_000
_LEVEL = 1  # most of it is compressed already, and the site has other things to do
_PIECE = 1_000_000
_BLOCK = 512
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: A skippable frame: its magic number, its length, and before the digest a word that tells it from any other.
_SEAL = struct.pack("<II", 0x184D2A50, 40) + b"haidang\x01"
_SEAL_BYTES = len(_SEAL) + hashlib.sha256().digest_size
#: What a member may be called: no way out of the folder that it is unpacked in.
_NAME = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*", re.ASCII)
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One member. `modified` is in seconds since 1970."""

    name: str
    size: int
    modified: int
    pieces: Iterator[bytes]

    def whole(self) -> bytes:
        """Return its bytes; only for those that are never long."""
        return b"".join(self.pieces)


class ArchiveWriter:
    """Writes parts into an open file; `finish` seals it."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._file = _Hashed(file)
        self._packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(
            self._file, closefd=False  # type: ignore[arg-type]  # it only ever calls `write`
        )  # fmt: skip
        self._listed: list[dict[str, Any]] = []
        self.add(HEADER, header.model_dump_json().encode())

    @property
    def parts(self) -> int:
        """How many parts there are so far."""
        return len(self._listed)

    def add(self, name: str, data: bytes) -> None:
        """Add a part that lies in memory."""
        self._add(name, len(data), [data], int(time.time()))

    def add_file(self, name: str, path: Path, size: int | None = None) -> None:
        """Add a file's first `size` bytes (all that it has now), read while it is written."""
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            length = status.st_size if size is None else size
            self._add(name, length, _pieces_of(file, length), int(status.st_mtime))

    def finish(self) -> None:
        """Write the manifest and the seal."""
        self._add(MANIFEST, *_counted(orjson.dumps({"parts": self._listed})), int(time.time()))
        self._packed.write(bytes(2 * _BLOCK))
        self._packed.close()  # type: ignore[no-untyped-call]
        self._file.write(_SEAL + self._file.digest())

    def _add(self, name: str, size: int, pieces: Iterable[bytes], modified: int) -> None:
        assert is_safe(name), name
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, modified
        self._packed.write(member.tobuf(tarfile.USTAR_FORMAT))
        digest = hashlib.sha256()
        written = 0
        for piece in pieces:
            self._packed.write(piece)
            digest.update(piece)
            written += len(piece)
        if written != size:
            raise OSError(0, f"{name}: {written} of {size} bytes are left of it")
        self._packed.write(bytes(-size % _BLOCK))
        self._listed.append({"name": name, "size": size, "sha256": digest.hexdigest()})


@contextmanager
def writing(path: Path, header: Header) -> Iterator[ArchiveWriter]:
    """Write an archive; it has its name, and is on the disk, when the block ends well, and else there is nothing.

    Raises:
        HaidangError: there is such a file already, or it cannot be written (no room, no right).
    """
    if path.exists():
        raise HaidangError("backup.exists", file=path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            out = ArchiveWriter(file, header)
            yield out
            out.finish()
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise HaidangError("backup.cannot_write", file=path, fault=error.strerror or error) from error
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive holds, once all of it was checked."""

    header: Header
    parts: dict[str, int]  # name and size

    @property
    def size(self) -> int:
        """Its bytes when unpacked."""
        return sum(self.parts.values())


def verify(path: Path, limit_bytes: int) -> Contents:
    """Read an archive from end to end and check every hash.

    Raises:
        HaidangError: it is no archive of ours, cut off, damaged or of a newer format, holds what none of ours can hold,
            or unpacks to more than `limit_bytes`.
    """
    found: dict[str, dict[str, Any]] = {}
    header: Header | None = None
    manifest: Any = None
    for part in read(path):
        if part.name in found or manifest is not None:
            raise HaidangError("backup.unsafe", file=path, name=part.name)
        limit_bytes -= part.size
        if limit_bytes < 0 or len(found) > _MOST_PARTS:
            raise HaidangError("backup.too_large", file=path)
        digest = hashlib.sha256()
        kept = bytearray()
        for piece in part.pieces:
            digest.update(piece)
            if part.name in (HEADER, MANIFEST):
                kept += piece
        if part.name == MANIFEST:
            manifest = _json(path, kept)
            continue
        if header is None:
            header = checked_header(path, part.name, kept)
        found[part.name] = {"name": part.name, "size": part.size, "sha256": digest.hexdigest()}
    if header is None or manifest != {"parts": list(found.values())}:
        raise HaidangError("backup.damaged", file=path, fault=MANIFEST)
    return Contents(header, {name: each["size"] for name, each in found.items()})


def checked_header(path: Path, name: str, data: bytes | bytearray) -> Header:
    """Return what an archive says of itself in its first member.

    Raises:
        HaidangError: that is not there, or of a newer format.
    """
    if name != HEADER:
        raise HaidangError("backup.no_backup", file=path)
    said = _json(path, data)
    if isinstance(said, dict) and isinstance(said.get("format"), int) and said["format"] > FORMAT:
        raise HaidangError("backup.newer", file=path, program=said.get("program"), revision=said.get("revision"))
    try:
        return Header.model_validate(said)
    except ValidationError as error:
        raise HaidangError("backup.damaged", file=path, fault=error.errors()[0]["msg"]) from error


def read(path: Path) -> Iterator[Part]:
    """Yield the parts one after the other, each to be read before the next; checks the seal at the end.

    Raises:
        HaidangError: it is no archive of ours, cut off or damaged, or holds anything but plain files with safe names.
    """
    try:
        with path.open("rb") as file:
            sealed = _Sealed(path, file)
            unpacked = zstandard.ZstdDecompressor().stream_reader(sealed, read_size=_PIECE)  # type: ignore[arg-type]
            yield from _members(path, unpacked)
            sealed.check()
    except OSError as error:
        raise HaidangError("backup.cannot_read", file=path, fault=error.strerror or error) from error


def is_safe(name: str) -> bool:
    """Say whether a member may be called so."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def _members(path: Path, source: IO[bytes]) -> Iterator[Part]:
    while (block := _exactly(path, source, _BLOCK)) != bytes(_BLOCK):
        try:
            member = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise HaidangError("backup.damaged", file=path, fault=error) from error
        if member.type != tarfile.REGTYPE or not is_safe(member.name):
            raise HaidangError("backup.unsafe", file=path, name=member.name)
        most = MOST_IN_MEMORY if member.name == HEADER else _MOST_MANIFEST
        if member.size < 0 or (member.name in (HEADER, MANIFEST) and member.size > most):
            raise HaidangError("backup.too_large", file=path)
        pieces = _pieces(path, source, member.size)
        yield Part(member.name, member.size, int(member.mtime), pieces)
        for _ in pieces:  # what was not read
            pass
    if _exactly(path, source, _BLOCK) != bytes(_BLOCK):
        raise HaidangError("backup.damaged", file=path, fault="tar")


def _pieces(path: Path, source: IO[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = _exactly(path, source, min(left, _PIECE))
        left -= len(piece)
        yield piece
    if padding := -size % _BLOCK:
        _exactly(path, source, padding)


def _exactly(path: Path, source: IO[bytes], size: int) -> bytes:
    pieces = []
    while size:
        try:
            piece = source.read(size)
        except zstandard.ZstdError as error:
            raise HaidangError("backup.damaged", file=path, fault=error) from error
        except OSError as error:
            raise HaidangError("backup.cannot_read", file=path, fault=error.strerror or error) from error
        if not piece:
            raise HaidangError("backup.cut_off", file=path)
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _pieces_of(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def _counted(data: bytes) -> tuple[int, list[bytes]]:
    return len(data), [data]


def _json(path: Path, data: bytes | bytearray) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise HaidangError("backup.damaged", file=path, fault=error) from error


class _Hashed:
    """A file that is written to, and the digest of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha.update(data)
        return self._file.write(data)

    def digest(self) -> bytes:
        return self._sha.digest()


class _Sealed:
    """An archive's bytes up to its seal; `check` says whether they are those that were sealed."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._left = file.seek(0, os.SEEK_END) - _SEAL_BYTES
        file.seek(0)
        if file.read(len(_ZSTD_MAGIC)) != _ZSTD_MAGIC:
            raise HaidangError("backup.no_backup", file=path)
        if self._left < 0:
            raise HaidangError("backup.cut_off", file=path)
        file.seek(self._left)
        seal = file.read(_SEAL_BYTES)
        if not seal.startswith(_SEAL):
            raise HaidangError("backup.cut_off", file=path)
        self._expected = seal[len(_SEAL) :]
        self._sha = hashlib.sha256()
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._sha.update(data)
        return data

    def check(self) -> None:
        while self.read(_PIECE):
            pass
        if self._left or self._sha.digest() != self._expected:
            raise HaidangError("backup.damaged", file=self._path, fault="SHA-256")

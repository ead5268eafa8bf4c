"""The rulebook in one file: a book and the files of its packs enter, one archive with a checksum leaves; and back.

The checksum finds damage, no intent: what is in an archive is looked at like anything that comes from elsewhere.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import orjson
import zstandard
from pydantic import BaseModel, ValidationError

from detectors.rulebook.book import Book
from detectors.rulebook.revisions import MAX_CONTENT, Files, digest_of
from detectors.rulebook.sources import path_fault, under_files
from pipeline.messages import HaidangError

_MAGIC = b"haidang-rulebook 1 sha256 "
_DIGEST_LENGTH = 64


class _Document(BaseModel):
    book: Book
    contents: dict[str, dict[str, str]]


def make(book: Book, contents: Mapping[str, Files]) -> tuple[bytes, str]:
    """Return the archive and its checksum: a line with the SHA-256 of what follows, JSON compressed with zstd."""
    document = {"book": book.model_dump(mode="json"), "contents": {key: dict(each) for key, each in contents.items()}}
    packed = zstandard.ZstdCompressor(level=9).compress(orjson.dumps(document))
    digest = hashlib.sha256(packed).hexdigest()
    return _MAGIC + digest.encode() + b"\n" + packed, digest


def read(path: Path) -> tuple[Book, dict[str, Files]]:
    """Read an archive from a file.

    Raises:
        HaidangError: it cannot be read, is none of ours, or is damaged.
    """
    try:
        return opened(path.read_bytes(), str(path))
    except OSError as error:
        raise HaidangError("rulebook.cannot_read", source=path, fault=error.strerror or error) from error


def opened(data: bytes, name: str) -> tuple[Book, dict[str, Files]]:
    """Open an archive that people know by this name.

    Raises:
        HaidangError: it is none of ours, or is damaged.
    """
    head, packed = data[: len(_MAGIC) + _DIGEST_LENGTH], data[len(_MAGIC) + _DIGEST_LENGTH + 1 :]
    if not head.startswith(_MAGIC):
        raise HaidangError("rulebook.no_backup", file=name)
    if hashlib.sha256(packed).hexdigest().encode() != head.removeprefix(_MAGIC):
        raise HaidangError("rulebook.backup_damaged", file=name)
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            text = reader.read(MAX_CONTENT + 1)
        if len(text) > MAX_CONTENT:
            raise HaidangError("rulebook.too_large", source=name, limit=MAX_CONTENT // 1_000_000)
        document = _Document.model_validate_json(text)
    except (zstandard.ZstdError, ValidationError) as error:
        raise HaidangError("rulebook.backup_damaged", file=name) from error
    found: dict[str, Files] = {}
    for pack in document.book.packs.values():
        files = document.contents.get(pack.digest, {})
        if digest_of(files) != pack.digest or any(map(path_fault, files)) or under_files(files):
            raise HaidangError("rulebook.backup_damaged", file=name)
        found[pack.digest] = files
    return document.book, found

"""The rulebook in one file: a book and the files of its packs enter, one archive with a checksum leaves; and back."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import orjson
import zstandard
from pydantic import ValidationError

from detectors.rulebook.book import Book
from detectors.rulebook.revisions import MAX_CONTENT, Files, digest_of
from pipeline.messages import HaidangError

_MAGIC = b"haidang-rulebook 1 sha256 "
_DIGEST_LENGTH = 64


def make(book: Book, contents: Mapping[str, Files]) -> tuple[bytes, str]:
    """Return the archive and its checksum: a line with the SHA-256 of what follows, JSON compressed with zstd."""
    document = {"book": book.model_dump(mode="json"), "contents": {key: dict(each) for key, each in contents.items()}}
    packed = zstandard.ZstdCompressor(level=9).compress(orjson.dumps(document))
    digest = hashlib.sha256(packed).hexdigest()
    return _MAGIC + digest.encode() + b"\n" + packed, digest


def read(path: Path) -> tuple[Book, dict[str, Files]]:
    """Read an archive.

    Raises:
        HaidangError: it cannot be read, is none of ours, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HaidangError("rulebook.cannot_read", source=path, fault=error.strerror or error) from error
    head, packed = data[: len(_MAGIC) + _DIGEST_LENGTH], data[len(_MAGIC) + _DIGEST_LENGTH + 1 :]
    if not head.startswith(_MAGIC):
        raise HaidangError("rulebook.no_backup", file=path)
    if hashlib.sha256(packed).hexdigest().encode() != head.removeprefix(_MAGIC):
        raise HaidangError("rulebook.backup_damaged", file=path)
    try:
        document = orjson.loads(zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_CONTENT))
        book = Book.model_validate(document["book"])
        contents: dict[str, Files] = document["contents"]
        right = all(digest_of(contents[pack.digest]) == pack.digest for pack in book.packs.values())
    except (zstandard.ZstdError, ValueError, ValidationError, KeyError, TypeError) as error:
        raise HaidangError("rulebook.backup_damaged", file=path) from error
    if not right:
        raise HaidangError("rulebook.backup_damaged", file=path)
    return book, contents

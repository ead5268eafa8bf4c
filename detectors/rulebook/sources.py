"""Packs of rules: a folder, an archive (zip, tar) or an HTTPS address enters, the rule files in it leave.

Nothing is unpacked to the disk, and no name in an archive is used as a path of this machine before it was looked at.
"""

import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import zstandard

from detectors.https import HttpsFault, get
from detectors.reading import read_bounded
from detectors.sigma.documents import MAX_FILE, SUFFIXES
from pipeline.archives import NO_ARCHIVE
from pipeline.messages import HaidangError, Sentence

#: Files of one pack, and bytes of all of them.
MAX_FILES, MAX_BYTES = 50_000, 200_000_000
#: Entries of an archive or a folder, also those that are none of ours: each costs memory before it can be left out.
_MAX_ENTRIES = 200_000
#: Bytes of a path in a pack, and of each of its parts: what file systems take.
_MAX_PATH, _MAX_NAME = 1_000, 255
_TABLES = ("fields.toml", "logsources.toml")
#: What says which version a pack has, and under which licence it comes.
_VERSION, _LICENCES = "version.txt", ("license", "license.md", "license.txt", "licence", "licence.txt", "copying")
#: Folders of SigmaHQ's repository that hold rules in use; beside them lie rules that are deprecated or unsupported.
_RULE_FOLDERS = re.compile(r"rules(-[a-z-]+)?")
_ZSTD, _GZIP, _ZIP, _ZIP_ENTRY = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PK\x03\x04", b"PK\x01\x02"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: rule files by their path in the pack, and what was left out with the reason."""

    source: str
    files: dict[str, str]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    version: str = ""
    licence: str = ""


def read_source(place: str) -> Found:
    """Read a folder, an archive or an `https://` address.

    Raises:
        HaidangError: there is nothing, it cannot be read, is larger than we read, or holds no rules.
    """
    if "://" in place:
        return read_archive(fetch(place), place)
    path = Path(place).expanduser()
    try:
        return _found(place, _in_folder(path)) if path.is_dir() else read_archive(read_file(place), place)
    except OSError as error:
        raise HaidangError("rulebook.cannot_read", source=place, fault=error.strerror or error) from error


def read_file(place: str) -> bytes:
    """Return what is in a pack's file.

    Raises:
        HaidangError: it cannot be read, or is larger than a pack may be.
    """
    return read_bounded(Path(place).expanduser(), MAX_BYTES, "rulebook", place)


def read_archive(data: bytes, source: str) -> Found:
    """Read a zip or tar archive (plain, gzip, zstd).

    Raises:
        HaidangError: see `read_source`.
    """
    return _found(source, members(data, source))


def members(data: bytes, source: str) -> Iterator[tuple[str, bytes | None]]:
    """Yield the files of an archive: a relative path and its bytes; a file that is too large as `MAX_FILE + 1` bytes,
    a link as None.

    Raises:
        HaidangError: it is no archive, or too large.
    """
    try:
        yield from _zip(data, source) if data.startswith(_ZIP) else _tar(data, source)
    except NO_ARCHIVE as error:
        raise HaidangError("rulebook.no_archive", source=source, fault=error) from error


def fetch(address: str) -> bytes:
    """Return what lies at an https address.

    The system's certificates decide, or those that SSL_CERT_FILE names.

    Raises:
        HaidangError: it is no https, does not answer, sends elsewhere than to https, or sends too much.
    """
    try:
        return get(address, MAX_BYTES).body
    except HttpsFault as error:
        if error.kind == "no_https":
            raise HaidangError("rulebook.no_https", source=address) from error
        if error.kind == "too_large":
            raise HaidangError("rulebook.too_large", source=address, limit=MAX_BYTES // 1_000_000) from error
        raise HaidangError("rulebook.cannot_read", source=address, fault=error.reason) from error


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    paths = list(islice(folder.rglob("*"), _MAX_ENTRIES + 1))
    if len(paths) > _MAX_ENTRIES:
        raise HaidangError("rulebook.too_many", source=folder, limit=_MAX_ENTRIES)
    for path in sorted(paths):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        if _is_wanted(relative.name):
            yield relative.as_posix(), _limited(path)


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def _zip(data: bytes, source: str) -> Iterator[tuple[str, bytes]]:
    if data.count(_ZIP_ENTRY) > _MAX_ENTRIES:
        raise HaidangError("rulebook.too_many", source=source, limit=_MAX_ENTRIES)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for item in archive.infolist():
            if not item.is_dir() and _is_wanted(item.filename):
                with archive.open(item) as file:
                    yield item.filename, file.read(MAX_FILE + 1)


def _tar(data: bytes, source: str) -> Iterator[tuple[str, bytes | None]]:
    if data.startswith(_ZSTD):
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            data = reader.read(MAX_BYTES + 1)
    elif data.startswith(_GZIP):
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise HaidangError("rulebook.too_large", source=source, limit=MAX_BYTES // 1_000_000)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for number, item in enumerate(archive):
            if number >= _MAX_ENTRIES:
                raise HaidangError("rulebook.too_many", source=source, limit=_MAX_ENTRIES)
            if _is_wanted(item.name) and not item.isdir():
                member = archive.extractfile(item) if item.isfile() else None
                yield item.name, None if member is None else member.read(MAX_FILE + 1)


def path_fault(name: str) -> str:
    """Return why a name cannot be the path of a file in a pack, or an empty text: packs are written to the disk."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts or not name.isprintable():
        return Sentence("rulebook.left_out.leads_out")
    if len(name.encode()) > _MAX_PATH or any(len(part.encode()) > _MAX_NAME for part in path.parts):
        return Sentence("rulebook.left_out.long_path")
    return ""


def under_files(names: Iterable[str]) -> list[str]:
    """Return the paths that lie under one that is a file: both cannot be written."""
    files = {PurePosixPath(name) for name in names}
    return sorted(str(path) for path in files if any(parent in files for parent in path.parents))


def _is_wanted(name: str) -> bool:
    last = PurePosixPath(name).name.lower()
    return last.endswith(SUFFIXES) or last in _TABLES or last == _VERSION or last in _LICENCES


def _found(source: str, given: Iterator[tuple[str, bytes | None]]) -> Found:
    texts: dict[PurePosixPath, str] = {}
    left_out: list[tuple[str, str]] = []
    size = 0
    for name, data in given:
        path = PurePosixPath(name)
        size += len(data or b"")
        if size > MAX_BYTES or len(texts) >= MAX_FILES:
            raise HaidangError("rulebook.too_large", source=source, limit=MAX_BYTES // 1_000_000)
        if fault := path_fault(name):
            left_out.append((name, fault))
        elif data is None:
            left_out.append((name, Sentence("rulebook.left_out.link")))
        elif len(data) > MAX_FILE:
            left_out.append((name, Sentence("rulebook.left_out.large", most=MAX_FILE)))
        else:
            try:
                texts[path] = data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                left_out.append((name, Sentence("rulebook.left_out.no_text", byte=error.start)))
    for name in under_files(map(str, texts)):
        del texts[PurePosixPath(name)]
        left_out.append((name, Sentence("rulebook.left_out.under_file")))
    files = _rules_of(texts)
    if not any(name.endswith(SUFFIXES) for name in files):
        if left_out:
            name, reason = left_out[0]
            raise HaidangError("rulebook.only_left_out", source=source, count=len(left_out), file=name, reason=reason)
        raise HaidangError("rulebook.no_rules", source=source)
    return Found(source, files, left_out, _first(texts, (_VERSION,), 100), _first(texts, _LICENCES, 200))


def _rules_of(texts: dict[PurePosixPath, str]) -> dict[str, str]:
    """Return the rule files: of SigmaHQ's repository those of the folders with rules in use, else all of them."""
    top = {path.parts[0] for path in texts if len(path.parts) > 1}
    alone = all(len(path.parts) > 1 for path in texts) and len(top) == 1
    if alone and not _RULE_FOLDERS.fullmatch(next(iter(top))):
        texts = {PurePosixPath(*path.parts[1:]): text for path, text in texts.items()}
    is_rule = {path: text for path, text in texts.items() if path.name.lower().endswith((*SUFFIXES, *_TABLES))}
    in_use = {path: text for path, text in is_rule.items() if _RULE_FOLDERS.fullmatch(path.parts[0])}
    return {path.as_posix(): text for path, text in (in_use or is_rule).items()}


def _first(texts: dict[PurePosixPath, str], names: tuple[str, ...], length: int) -> str:
    """Return the first line with words of the file of such a name that lies highest."""
    for path in sorted(texts, key=lambda path: len(path.parts)):
        if path.name.lower() in names:
            return next((line.strip(" #*")[:length] for line in texts[path].splitlines() if line.strip(" #*")), "")
    return ""

"""Packs arrive: a place, or the bytes of a file, enters; a name and rule files leave, of a bundle with its signer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detectors.rulebook import bundle
from detectors.rulebook.bundle import Bundle
from detectors.rulebook.sources import Found, fetch, read_archive, read_file, read_source
from pipeline.messages import HaidangError


@dataclass(frozen=True, slots=True)
class Arrived:
    """A pack that was read, and is in no rulebook yet.

    `source` is where its updates come from, empty for what somebody brought; `opened` the bundle, where it is one.
    """

    name: str
    found: Found
    source: str = ""
    opened: Bundle | None = None


def from_place(place: str, name: str, keys: Mapping[str, str]) -> Arrived:
    """Read a pack from where it lies: a folder, an archive, a bundle, an https address; `keys` are those trusted.

    Raises:
        HaidangError: it cannot be read; a signature is not right; it has no name.
    """
    source = place if "://" in place else str(Path(place).expanduser().absolute())
    newest = _newest_bundle(place)
    if not bundle.is_bundle(newest):
        return Arrived(_named(name), read_source(newest), source)
    opened = _opened(fetch(newest) if "://" in newest else read_file(newest), newest, name, keys)
    return Arrived(opened.manifest.name, opened.found, source, opened)


def from_bytes(data: bytes, file: str, name: str, keys: Mapping[str, str]) -> Arrived:
    """Read a pack that somebody brought: an archive or a bundle, by the name of its file.

    Raises:
        HaidangError: see `from_place`.
    """
    if not bundle.is_bundle(file):
        return Arrived(_named(name), read_archive(data, file))
    opened = _opened(data, file, name, keys)
    return Arrived(opened.manifest.name, opened.found, opened=opened)


def _opened(data: bytes, source: str, name: str, keys: Mapping[str, str]) -> Bundle:
    opened = bundle.open_bundle(data, source, keys)
    if name and name != opened.manifest.name:
        raise HaidangError("rulebook.other_name", name=name, bundle=opened.manifest.name)
    return opened


def _named(name: str) -> str:
    if not name:
        raise HaidangError("rulebook.no_name")
    return name


def _newest_bundle(place: str) -> str:
    """Return the newest bundle of a folder that holds bundles; else the place itself."""
    path = Path(place).expanduser()
    if "://" in place or not path.is_dir():
        return place
    found = sorted(path.glob(f"*{bundle.SUFFIX}"), key=lambda each: each.stat().st_mtime)
    return str(found[-1]) if found else place

"""The index: lines of indicators enter in any number, files leave in which a value is found at once.

A folder with four files. `keys` is a sorted array of 64-bit hashes of what is looked up, `places` says where in `lines`
each one's indicator stands, `bits` has a bit set for the first bits of each key, so that most of what is no indicator
costs one look. All are mapped into memory, so processes share them. What is found is confirmed on the whole text.

It is made in a folder of its own that gets its name when it is whole; a kill leaves nothing that could be read. Memory
does not grow with the number: keys are put apart by their first bits and sorted a part at a time.
"""

import math
import mmap
import os
import shutil
import socket
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from hashlib import blake2b
from ipaddress import ip_network
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from detectors.indicators.indicator import Indicator, of_line

#: Parts that keys are put into by their first bits; each is sorted by itself.
_PART_BITS = 6
_PARTS = 1 << _PART_BITS
#: Bits of `bits` for each key: of what is no indicator so few are looked up further.
_BITS_A_KEY = 16
#: Keys that are gathered before they are put into their parts.
_CHUNK = 262_144
_META = "meta.json"
#: How the files are made; an index that was made otherwise is none.
_FORM = 1
_HASHES = frozenset(("md5", "sha1", "sha256", "ja3", "ja4", "certificate"))


def key_of(letter: bytes, value: bytes) -> int:
    """Return the 64-bit hash of what is looked up; `letter` keeps what is written alike apart."""
    return int.from_bytes(blake2b(letter + value, digest_size=8).digest(), "little")


def key_of_name(name: str) -> int:
    """Return the key of a domain or host name."""
    return key_of(b"d", name.encode("utf-8", "replace"))


def key_of_text(letter: bytes, text: str) -> int:
    """Return the key of a text: `u` a URL, `x` a hash or fingerprint, `m` an e-mail address."""
    return key_of(letter, text.encode("utf-8", "replace"))


def key_of_network(packed: bytes, length: int) -> int:
    """Return the key of a network: its first address as bytes, and its prefix length."""
    return key_of(b"n", packed + bytes((length,)))


def key(indicator: Indicator) -> tuple[int, int]:
    """Return an indicator's key, and of a network its prefix length (that of IPv6 plus 256), else -1."""
    kind, value = indicator.kind, indicator.value
    if kind == "address":
        version = socket.AF_INET6 if ":" in value else socket.AF_INET
        packed = socket.inet_pton(version, value)
        return key_of_network(packed, 8 * len(packed)), 32 if len(packed) == 4 else 256 + 128
    if kind == "network":
        network = ip_network(value)
        length = network.prefixlen
        return key_of_network(network.network_address.packed, length), length + (256 if network.version == 6 else 0)
    if kind in ("domain", "host"):
        return key_of_name(value), -1
    return key_of_text(b"u" if kind == "url" else b"x" if kind in _HASHES else b"m", value), -1


def build(lines: Iterable[bytes], folder: Path, **about: Any) -> dict[str, Any]:
    """Make an index of lines (`Indicator.line`) under a name that is not there yet; return what is said of it.

    `about` is kept with it.
    """
    making = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        meta = _Building(making).take(lines) | about
        _write(making / _META, orjson.dumps(meta))
        making.replace(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return meta


class _Building:
    """An index that is being made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lengths: set[int] = set()
        self._threats: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._sizes = [0] * _PARTS

    def take(self, lines: Iterable[bytes]) -> dict[str, Any]:
        count = self._part(lines)
        bits = max(_PART_BITS + 3, math.ceil(math.log2(max(count, 1) * _BITS_A_KEY)))
        distinct = self._sort(bits)
        return {
            "form": _FORM, "count": count, "distinct": distinct, "bits": bits, "lengths": sorted(self._lengths),
            "threats": dict(self._threats), "kinds": dict(self._kinds),
        }  # fmt: skip

    def _part(self, lines: Iterable[bytes]) -> int:
        """Write the lines behind each other, and key and place of each into the part of its first bits."""
        keys, places = array("Q"), array("Q")
        place = count = 0
        with ExitStack() as stack:
            text = stack.enter_context((self._folder / "lines").open("wb", 1 << 20))
            parts = [stack.enter_context(self._part_file(number).open("wb")) for number in range(_PARTS)]
            for line in lines:
                indicator = of_line(line)
                number, length = key(indicator)
                if length >= 0:
                    self._lengths.add(length)
                self._threats[indicator.threat] += 1
                self._kinds[indicator.kind] += 1
                keys.append(number)
                places.append(place)
                text.write(line + b"\n")
                place += len(line) + 1
                count += 1
                if len(keys) >= _CHUNK:
                    self._spread(keys, places, parts)
                    keys, places = array("Q"), array("Q")
            self._spread(keys, places, parts)
            _settle(text)
        return count

    def _part_file(self, number: int) -> Path:
        return self._folder / f"part.{number}"

    def _spread(self, keys: "array[int]", places: "array[int]", parts: Sequence[IO[bytes]]) -> None:
        pairs = np.empty((len(keys), 2), np.uint64)
        pairs[:, 0], pairs[:, 1] = np.frombuffer(keys, np.uint64), np.frombuffer(places, np.uint64)
        of = (pairs[:, 0] >> np.uint64(64 - _PART_BITS)).astype(np.intp)
        order = np.argsort(of, kind="stable")
        ends = np.cumsum(np.bincount(of, minlength=_PARTS))
        for number, chunk in enumerate(np.split(pairs[order], ends[:-1])):
            parts[number].write(chunk.tobytes())
            self._sizes[number] += len(chunk)

    def _sort(self, bits: int) -> int:
        distinct = 0
        with ExitStack() as stack:
            keys, places, marks = (
                stack.enter_context((self._folder / name).open("wb")) for name in ("keys", "places", "bits")
            )
            for number in range(_PARTS):
                path = self._part_file(number)
                pairs = np.fromfile(path, np.uint64).reshape(-1, 2)
                path.unlink()
                pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
                keys.write(pairs[:, 0].tobytes())
                places.write(pairs[:, 1].tobytes())
                distinct += len(np.unique(pairs[:, 0]))
                marked = np.zeros(1 << (bits - _PART_BITS), np.bool_)
                marked[(pairs[:, 0] >> np.uint64(64 - bits)) & np.uint64(len(marked) - 1)] = True
                marks.write(np.packbits(marked, bitorder="little").tobytes())
            for file in (keys, places, marks):
                _settle(file)
        return distinct


def _settle(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        _settle(file)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Index:
    """An index that is there. `lengths`: the prefix lengths of its networks, those of IPv6 plus 256."""

    def __init__(self, folder: Path) -> None:
        self.meta: dict[str, Any] = orjson.loads((folder / _META).read_bytes())
        if self.meta["form"] != _FORM:
            raise ValueError(f"{folder} is of form {self.meta['form']}, expected {_FORM}")
        self.count: int = self.meta["count"]
        self.lengths = frozenset(self.meta["lengths"])
        self._shift = 64 - self.meta["bits"]
        self._keys = memoryview(_mapped(folder / "keys")).cast("Q")
        self._places = memoryview(_mapped(folder / "places")).cast("Q")
        self._bits = memoryview(_mapped(folder / "bits"))
        self._lines = _mapped(folder / "lines")

    def find(self, number: int) -> list[Indicator]:
        """Return the indicators with a key; not yet confirmed."""
        place = number >> self._shift
        if not self._bits[place >> 3] >> (place & 7) & 1:
            return []
        keys = self._keys
        at = bisect_left(keys, number)
        found = []
        while at < len(keys) and keys[at] == number:
            found.append(self._at(at))
            at += 1
        return found

    def _at(self, at: int) -> Indicator:
        place = self._places[at]
        return of_line(self._lines[place : self._lines.find(b"\n", place)])


def _mapped(path: Path) -> "mmap.mmap | bytes":
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


class Few:
    """Indicators in memory, found as in an index: those that people add by themselves, those of one file."""

    def __init__(self, indicators: Iterable[Indicator] = ()) -> None:
        self._held: dict[int, list[Indicator]] = {}
        self.count = 0
        lengths = set()
        for indicator in indicators:
            number, length = key(indicator)
            if length >= 0:
                lengths.add(length)
            self._held.setdefault(number, []).append(indicator)
            self.count += 1
        self.lengths = frozenset(lengths)

    def find(self, number: int) -> list[Indicator]:
        """Return the indicators with a key; not yet confirmed."""
        return self._held.get(number, [])


def open_newest(place: Path, version: str) -> Index | None:
    """Return the index of a version under `place`, or None where it is not made yet."""
    with suppress(OSError, ValueError, KeyError):
        return Index(place / version)
    return None


def forget_others(place: Path, version: str) -> None:
    """Remove all indexes but that of a version, and what a kill has left; what is in use stays until it is let go.

    Nobody may be making one meanwhile.
    """
    for path in place.iterdir() if place.is_dir() else ():
        if path.name != version and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)

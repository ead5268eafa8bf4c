"""Which fields the embedded indexes have: a folder of indexes enters, names with the types of their values leave.

Tantivy's Python package does not list the columns of a JSON field, so the list is read where Tantivy keeps it: at the
end of each segment's `.fast` file lies the dictionary of its columns. (Formats: `sstable/README.md` and
`columnar/src/columnar` of Tantivy 0.27; both say their version, and another one is refused.) It is as exact as the
index, and its cost does not grow with the number of events. The fields of the kind lie in `kinds.jsonl`.
"""

import os
import struct
import threading
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import orjson
import zstandard

from pipeline.messages import HaidangError
from pipeline.store import KEYWORD, NUMBER
from pipeline.store.tantivy_kinds import names_of_kinds
from pipeline.store.tantivy_schema import kinds_path

#: What a `.fast` file ends with: its dictionary's length, its rows, its version and sign; then Tantivy's own note in
#: JSON, the note's length and sign.
_COLUMNAR, _NOTE = struct.Struct("<QII4s"), struct.Struct("<II")
_COLUMNAR_VERSION, _COLUMNAR_SIGN, _NOTE_SIGN = 2, bytes((2, 113, 119, 66)), 1337
#: What a dictionary ends with: where its blocks end, how many names it has, its version.
_DICTIONARY = struct.Struct("<QQI")
_DICTIONARY_VERSION = 3
_BLOCK = struct.Struct("<IB")
_LONG_FORM, _ONE_BYTE = 1, 0x80
#: A block of names is 4,000 bytes before it is packed, and one name more; of a field's name that is 64 KiB at most.
_MOST_UNPACKED = 1_000_000
#: Before the path of each column of the field `f`, and between its steps.
_START, _STEP = b"f\x01", b"\x01"
#: Letters of the types that are numbers (i64, u64, f64). Texts, truth values and times are all compared as texts.
_NUMBERS = frozenset((0, 1, 2))
#: How often an index is looked at whose files are merged away meanwhile.
_LOOKS = 5


class FieldNames:
    """Knows the fields of each index as of its last commit; safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, dict[str, set[str]]]] = {}
        self._lock = threading.Lock()

    def of(self, folder: Path) -> dict[str, set[str]]:
        """Return the types of each field in the indexes of a collection's folder."""
        found: dict[str, set[str]] = {}
        with self._lock:
            known = {path: self._of_index(path) for path in folder.glob("*")}
            for path in [path for path in self._known if path.parent == folder and path not in known]:
                del self._known[path]
        for fields in known.values():
            for name, types in fields.items():
                found.setdefault(name, set()).update(types)
        return found

    def _of_index(self, index: Path) -> dict[str, set[str]]:
        for _ in range(_LOOKS):
            try:
                changed = (index / "meta.json").stat().st_mtime_ns
                held = self._known.get(index)
                if held is None or held[0] != changed:
                    held = self._known[index] = (changed, _read(index))
                return held[1]
            except FileNotFoundError:  # merged into another segment, or just expired
                continue
        return {}


def _read(index: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: {KEYWORD} for name in names_of_kinds(kinds_path(index))}
    for segment in orjson.loads((index / "meta.json").read_bytes())["segments"]:
        for name, letter in _columns(index / f"{segment['segment_id'].replace('-', '')}.fast"):
            found.setdefault(name, set()).add(NUMBER if letter in _NUMBERS else KEYWORD)
    return found


def _columns(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and letter of type of each column of a segment's JSON field."""
    try:
        for key in _names(_dictionary(path)):
            name, letter = key[:-2], key[-1]  # between them stands 0
            if name.startswith(_START):
                yield name.removeprefix(_START).replace(_STEP, b".").decode("utf-8", "replace"), letter
    except (ValueError, IndexError, struct.error, zstandard.ZstdError) as error:
        raise HaidangError("store.unreadable_index", path=path, fault=error) from error


def _dictionary(path: Path) -> bytes:
    """Return the dictionary of a `.fast` file."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        note_size, sign = _NOTE.unpack(_before(file, end, _NOTE.size))
        if sign != _NOTE_SIGN:
            raise ValueError(f"ends with {sign}, not with {_NOTE_SIGN}")
        end -= _NOTE.size + note_size
        length, _, version, signed = _COLUMNAR.unpack(_before(file, end, _COLUMNAR.size))
        if (version, signed) != (_COLUMNAR_VERSION, _COLUMNAR_SIGN):
            raise ValueError(f"columns of version {version}, not {_COLUMNAR_VERSION}")
        return _before(file, end - _COLUMNAR.size, length)


def _before(file: BufferedReader, end: int, length: int) -> bytes:
    """Return the bytes of a file that stand before a place."""
    if length > end:
        raise ValueError(f"is shorter than the {length} bytes that it should have before byte {end}")
    return os.pread(file.fileno(), length, end - length)


def _names(dictionary: bytes) -> Iterator[bytes]:
    """Yield the keys of an SSTable."""
    _, _, version = _DICTIONARY.unpack(dictionary[-_DICTIONARY.size :])
    if version != _DICTIONARY_VERSION:
        raise ValueError(f"dictionary of version {version}, not {_DICTIONARY_VERSION}")
    place, key = 0, b""
    while True:
        length, packed = _BLOCK.unpack_from(dictionary, place)
        if length <= 1:  # the empty block ends them
            return
        block = dictionary[place + _BLOCK.size : place + _BLOCK.size + length - 1]
        place += _BLOCK.size + length - 1
        if packed:
            block = zstandard.ZstdDecompressor().decompress(block, max_output_size=_MOST_UNPACKED)
        for kept, added in _keys(block):
            key = key[:kept] + added
            yield key


def _keys(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield for each key how much of the one before it is kept, and what is added."""
    values, place = _number(block, 0)
    for _ in range(values):  # where the columns lie
        _, place = _number(block, place)
    while place < len(block):
        kept, added = block[place] & 0xF, block[place] >> 4
        place += 1
        if block[place - 1] == _LONG_FORM:
            kept, place = _number(block, place)
            added, place = _number(block, place)
        yield kept, block[place : place + added]
        place += added


def _number(block: bytes, place: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the least significant first; return it and the place after it."""
    number = shift = 0
    while True:
        byte = block[place]
        place += 1
        number |= (byte & ~_ONE_BYTE) << shift
        if byte < _ONE_BYTE:
            return number, place
        shift += 7

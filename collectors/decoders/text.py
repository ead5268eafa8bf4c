"""Bytes of a record in, text in NFC and the name of its encoding out."""

import codecs
import re
import unicodedata
from collections.abc import Callable

from collectors.decoders.vietnamese import (
    decode_tcvn3,
    decode_vni,
    decode_windows_1258,
    plausibility,
)

SAMPLE_BYTES = 65_536
"""What the guess of an encoding looks at; a record is rarely longer."""

PLAUSIBLE = 0.34
"""Least lead of right over wrong accented words by which a text counts as Vietnamese:
two words in three. Device names and French loans are the third."""

CONTROL_SHARE = 0.05
"""More control bytes than this and it is binary data (terminal colours stay below it)."""

DAMAGED_SHARE = 0.02
"""A UTF-8 text may have this share of broken characters (cut datagrams, a bad copy)."""

_CONTROL = bytes(set(range(0x20)) - set(b"\t\n\r\x1b")) + b"\x7f"
_RARE = re.compile(b"[" + re.escape(_CONTROL) + b"]")
_WESTERN_CONTROL = _CONTROL + b"\x81\x8d\x8f\x90\x9d"  # bytes that Windows-1252 leaves undefined

_OWN: dict[str, Callable[[bytes], str]] = {
    "tcvn3": decode_tcvn3,
    "tcvn-3": decode_tcvn3,
    "abc": decode_tcvn3,
    "vni": decode_vni,
    "vni-windows": decode_vni,
    "windows-1258": decode_windows_1258,
    "cp1258": decode_windows_1258,
}

_CANDIDATES: tuple[tuple[str, Callable[[bytes], str]], ...] = (
    ("windows-1258", decode_windows_1258),
    ("tcvn3", decode_tcvn3),
    ("vni", decode_vni),
)


def to_text(raw: bytes, encoding: str = "auto") -> tuple[str | None, str]:
    """Bytes → (text in NFC, name of the encoding); (None, "binary") = no text we know.

    "auto" tries UTF-8, UTF-16 (by its mark or its zero bytes), then the Vietnamese 8-bit
    encodings by how much their reading looks like Vietnamese, then Windows-1252. A set
    encoding is obeyed: what it cannot read becomes U+FFFD. An unknown name is treated as "auto".
    """
    if encoding == "auto" and raw.isascii():
        text = raw.decode("ascii")
        if text.isprintable() or _RARE.search(raw) is None:
            return text, "utf-8"  # nearly every record: nothing to guess
    name = encoding.strip().lower()
    own = _OWN.get(name)
    if own is not None:
        return own(raw), name
    if name != "auto":
        try:
            return _nfc(codecs.decode(raw, name, "replace")), name
        except (LookupError, TypeError, ValueError):
            pass
    return _guess(raw)


def _guess(raw: bytes) -> tuple[str | None, str]:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _nfc(raw.decode("utf-16", "replace")), "utf-16"
    if b"\x00" in raw:
        return _with_zero_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _not_utf8(raw)
    if _is_binary(raw, _CONTROL):
        return None, "binary"
    return _nfc(text), "utf-8"


def _with_zero_bytes(raw: bytes) -> tuple[str | None, str]:
    """UTF-16 text has its zero bytes in every second place; trailing ones are C padding."""
    bare = raw.rstrip(b"\x00")
    if b"\x00" not in bare and not (len(raw) % 2 == 0 and len(bare) == 1):
        return _guess(bare)
    even, odd = raw[0:SAMPLE_BYTES:2].count(0), raw[1:SAMPLE_BYTES:2].count(0)
    half = min(len(raw), SAMPLE_BYTES) / 2
    if max(even, odd) < half * 0.3 or min(even, odd) > max(even, odd) * 0.2:
        return None, "binary"
    name = "utf-16-le" if odd > even else "utf-16-be"
    text = raw.decode(name, "replace")
    if _is_binary(text[:SAMPLE_BYTES].encode("utf-8", "replace"), _CONTROL):
        return None, "binary"
    return _nfc(text), name


def _not_utf8(raw: bytes) -> tuple[str | None, str]:
    sample = raw[:SAMPLE_BYTES]
    if _is_binary(sample, _CONTROL):
        return None, "binary"
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = len(text) - broken - len(text.encode("ascii", "ignore"))
    if whole > 0 and broken <= max(1, DAMAGED_SHARE * len(text)) and whole >= 2 * broken:
        return _nfc(text), "utf-8"
    scored = [(plausibility(read(sample)), name, read) for name, read in _CANDIDATES]
    score, name, read = max(scored, key=lambda entry: entry[0])
    if score >= PLAUSIBLE:
        return read(raw), name
    if _is_binary(sample, _WESTERN_CONTROL) or not _mostly_ascii(sample):
        return None, "binary"
    return _nfc(raw.decode("windows-1252", "replace")), "windows-1252"


def _is_binary(raw: bytes, control: bytes) -> bool:
    return len(raw) - len(raw.translate(None, control)) > CONTROL_SHARE * len(raw)


def _mostly_ascii(raw: bytes) -> bool:
    return sum(byte < 0x80 for byte in raw) * 2 > len(raw)


def _nfc(text: str) -> str:
    text = text.removeprefix("\ufeff")
    return text if text.isascii() else unicodedata.normalize("NFC", text)

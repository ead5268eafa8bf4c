"""Lists of indicators: the bytes of a file in any of the formats enter, indicators leave, and what is refused with why.

Nothing is left out in silence: each line, attribute or pattern that gives no indicator is a `Refusal` with its place.
Formats: a plain list, a hosts file, CSV, MISP (`misp.py`), STIX 2.1 (`stix.py`), Suricata's datasets.
"""

import base64
import binascii
import csv
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, get_args

import orjson
import zstandard

from detectors.indicators import misp, stix
from detectors.indicators.indicator import (
    Indicator,
    RefusedIndicator,
    guess,
    refanged,
)
from detectors.indicators.listed import KIND_NAMES, Defaults, Found, Refusal, moment_of, threat_of
from pipeline.archives import NO_ARCHIVE
from pipeline.messages import HaidangError

Format = Literal["auto", "plain", "hosts", "csv", "misp", "stix", "suricata"]
FORMATS: tuple[str, ...] = get_args(Format)

#: Bytes of a list, also unpacked; ten million lines with a name or an address each have 200 MB.
MAX_BYTES = 600_000_000
#: Characters of a line of which more is never an indicator, and of a refused one that are shown.
_MAX_LINE, _MAX_SHOWN = 16_384, 120
#: Lines by which a format is told.
_LOOKED_AT = 200
_COMMENTS = ("#", ";", "//")
#: What hosts files say of the machine itself.
_LOCAL_NAMES = frozenset((
    "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
    "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0",  # noqa: S104 - a text
))  # fmt: skip
_HOSTS_LINE = re.compile(r"(?:0\.0\.0\.0|127\.\d+\.\d+\.\d+|::1?|fe80::1%lo0)\s+\S")
#: A separator of columns; a semicolon after a space begins a comment (Spamhaus writes so).
_SEPARATED = re.compile(r",|\t|\S;")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
#: Names of columns, in the order in which they are looked for.
_COLUMNS = {
    "value": ("ioc_value", "indicator", "ioc", "value", "dst_ip", "url", "sha256_hash", "sha256", "md5_hash", "domain",
              "hostname", "host", "ip_address", "ip", "address", "cidr", "network", "ja3_md5", "ja3", "sha1",
              "sha1_hash", "md5", "email"),
    "kind": ("ioc_type", "indicator_type", "type", "kind"),
    "threat": ("threat_type", "threat", "category", "listingreason"),
    "family": ("malware_printable", "malware", "family", "malware_family", "signature"),
    "confidence": ("confidence_level", "confidence", "score"),
    "expires": ("expires", "valid_until", "expiration", "expire"),
    "reference": ("reference", "link", "urlhaus_link", "source"),
    "tlp": ("tlp",),
}  # fmt: skip
_FIXED_KINDS = {"dst_ip": "address", "ip": "address", "ip_address": "address", "ja3_md5": "ja3", "ja3": "ja3"}


def read(data: bytes, form: str, defaults: Defaults, file: str = "") -> Found:
    """Yield what is in a list; `auto` tells the format by the content. `file`: its name, for places.

    Raises:
        HaidangError: it is too large, damaged, or not of the format.
    """
    data = _in_utf_8(unpacked(data, file))
    form = form if form != "auto" else told(data)
    if form in ("misp", "stix"):
        yield from _document(data, form, defaults, file)
        return
    readers: dict[str, Callable[[Iterable[str], Defaults], Iterator[tuple[int, str, list[Indicator] | str]]]] = {
        "plain": _plain, "hosts": _hosts, "csv": _csv, "suricata": _suricata,
    }  # fmt: skip
    for number, text, found in readers[form](_lines(data), defaults):
        if isinstance(found, str):
            yield Refusal(f"{file}:{number}" if file else str(number), text.strip()[:_MAX_SHOWN], found)
        else:
            yield from found


def unpacked(data: bytes, file: str = "") -> bytes:
    """Return what is in a packed file (gzip, zstd, the first file of a zip); others as they are.

    Raises:
        HaidangError: it is damaged, or larger than we read.
    """
    try:
        if data.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(MAX_BYTES + 1)
        elif data.startswith(b"\x28\xb5\x2f\xfd"):
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
                plain = reader.read(MAX_BYTES + 1)
            if len(plain) <= MAX_BYTES and not _is_whole(data):
                raise EOFError("it is cut off")
            data = plain
        elif data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                first = next(item for item in archive.infolist() if not item.is_dir())
                with archive.open(first) as member:
                    data = member.read(MAX_BYTES + 1)
    except (*NO_ARCHIVE, StopIteration) as error:
        raise HaidangError("indicators.damaged", source=file or "-", fault=error) from error
    if len(data) > MAX_BYTES:
        raise HaidangError("indicators.too_large", source=file or "-", limit=MAX_BYTES // 1_000_000)
    return data


def _is_whole(data: bytes) -> bool:
    """Say whether what is packed with zstd has its end; the reader of a stream does not."""
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        frame.decompress(data)
        if not frame.eof:
            return False
        data = frame.unused_data
    return True


def told(data: bytes) -> str:
    """Return the format that a list seems to have."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] in (b"{", b"["):
        return "stix" if b'"spec_version"' in data or re.search(rb'"type"\s*:\s*"bundle"', data[:100_000]) else "misp"
    lines = [line for line in islice(_lines(data), _LOOKED_AT) if line.strip() and not _is_comment(line)]
    if not lines:
        return "plain"

    def most(fits: Callable[[str], object]) -> bool:
        return 2 * sum(1 for line in lines if fits(line)) > len(lines)

    if most(_HOSTS_LINE.match):
        return "hosts"
    if most(lambda line: _encoded(line.strip().partition(",")[0]) is not None):
        return "suricata"
    return "csv" if most(_SEPARATED.search) else "plain"


def _in_utf_8(data: bytes) -> bytes:
    """Return a text in UTF-8; Notepad and Excel say "Unicode" where they write UTF-16."""
    return data.decode("utf-16", "replace").encode() if data.startswith((b"\xff\xfe", b"\xfe\xff")) else data


def _document(data: bytes, form: str, defaults: Defaults, file: str) -> Found:
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise HaidangError("indicators.damaged", source=file or "-", fault=error) from error
    yield from (misp.read if form == "misp" else stix.read)(document, defaults, file)


def _lines(data: bytes) -> Iterator[str]:
    for line in io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")):
        yield line[:_MAX_LINE].decode("utf-8", "replace")


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(_COMMENTS)


_Read = Iterator[tuple[int, str, list[Indicator] | str]]


def _tried(make: Callable[[], list[Indicator]]) -> list[Indicator] | str:
    try:
        return make()
    except RefusedIndicator as refused:
        return refused.reason


def _plain(lines: Iterable[str], defaults: Defaults) -> _Read:
    for number, line in enumerate(lines, 1):
        text = re.split(r"\s+[#;]|\s+//", line.strip(), maxsplit=1)[0]
        if text and not _is_comment(text):
            yield number, line, _tried(lambda text=text: defaults.indicators(text))  # type: ignore[misc]


def _hosts(lines: Iterable[str], defaults: Defaults) -> _Read:
    for number, line in enumerate(lines, 1):
        address, *names = line.partition("#")[0].split()[:20] or [""]
        if not address:
            continue
        if not names:
            yield number, line, "no_domain"
        for each in names:
            found: list[Indicator] | str = "own_name"
            if each.lower() not in _LOCAL_NAMES:
                found = _tried(lambda each=each: defaults.indicators(each, "host"))  # type: ignore[misc]
            yield number, line, found


def _csv(lines: Iterable[str], defaults: Defaults) -> _Read:
    columns: dict[str, int] | None = None
    last_comment: list[str] = []
    separator = ""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        separator = separator or _separator(line)
        if _is_comment(line):
            last_comment = _cells(line.lstrip(" #;/"), separator)
            continue
        cells = _cells(line, separator)
        if columns is None:
            columns = _columns(cells)
            if columns:
                continue
            # abuse.ch writes the names of the columns as the last comment
            columns = _columns(last_comment) if len(last_comment) == len(cells) else {}
        yield number, line, _tried(lambda cells=cells, columns=columns: _row(cells, columns, defaults))  # type: ignore[misc]


def _separator(line: str) -> str:
    counts = {sign: line.count(sign) for sign in ",;\t|"}
    return max(counts, key=lambda sign: counts[sign])


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [
            cell.strip().strip('"') for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))
        ]
    except (csv.Error, StopIteration):
        return [line.strip()]


def _columns(cells: list[str]) -> dict[str, int]:
    """Return which column is what, by their names; none where these are no names."""
    names = [re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_") for cell in cells]
    found = {
        what: names.index(known)
        for what, spellings in _COLUMNS.items()
        for known in reversed(spellings)
        if known in names
    }
    if "value" not in found:
        return {}
    return {**found, f"is {_FIXED_KINDS.get(names[found['value']], '')}": -1}


def _row(cells: list[str], columns: dict[str, int], defaults: Defaults) -> list[Indicator]:
    def cell(what: str) -> str:
        at = columns.get(what, -1)
        return cells[at] if 0 <= at < len(cells) else ""

    if not columns:
        return _first(cells, defaults)
    fixed = next((name[3:] for name in columns if name.startswith("is ")), "")
    kind = KIND_NAMES.get(cell("kind").lower(), "") or fixed
    value = cell("value")
    if kind == "address" and "/" in value:
        kind = "network"
    if cell("kind") and not kind and guess(refanged(value)) == "domain":  # anything looks like a name
        raise RefusedIndicator("unknown_kind")
    sure = cell("confidence").strip("%")
    return defaults.indicators(
        value, kind, threat_of(cell("threat"), cell("kind")), int(sure) if sure.isdecimal() and len(sure) < 4 else None,
        moment_of(cell("expires")), cell("family"), cell("reference"), cell("tlp"),
    )  # fmt: skip


def _first(cells: list[str], defaults: Defaults) -> list[Indicator]:
    """Return the first cell that is an indicator; without names of columns nothing else is known."""
    reason = "no_indicator"
    for cell in cells[:20]:
        try:
            return defaults.indicators(cell)
        except RefusedIndicator as refused:
            if reason == "no_indicator" and refused.reason in ("private", "too_wide", "own_name", "empty_file"):
                reason = refused.reason
    raise RefusedIndicator(reason)


def _encoded(text: str) -> str | None:
    """Return what a dataset of Suricata says in base64, None where it is none."""
    if len(text) % 4 or not _BASE64.fullmatch(text) or re.fullmatch(r"[0-9a-fA-F]+", text):
        return None
    try:
        plain = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return plain if plain.isprintable() and len(plain) > 3 else None


def _suricata(lines: Iterable[str], defaults: Defaults) -> _Read:
    """A line is a value (`string` in base64, `md5`, `sha256`, `ip`), and of `datarep` a comma and a reputation."""
    for number, line in enumerate(lines, 1):
        text = line.strip().partition(",")[0]
        if text and not _is_comment(text):
            meant = _encoded(text)
            shown = text if meant is None else meant
            yield number, shown, _tried(lambda shown=shown: defaults.indicators(shown))  # type: ignore[misc]

"""A file's name and the header lines of Zeek's TSV logs in; what its other lines mean out: the log's kind and columns.

Source: Zeek, `src/logging/writers/ascii/Ascii.cc`: `#separator`, `#set_separator`, `#empty_field`, `#unset_field`,
`#path`, `#fields`, `#types`; `#open`, `#close` and further lines with `#` are no records (a value's own `#` at a line's
start is written `\\x23`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePath

#: Logs by the names of Zeek's own files; others show themselves by `_path` or their header.
LOGS = frozenset((
    "analyzer", "broker", "capture_loss", "cluster", "communication", "config", "conn", "conn_long", "dce_rpc", "dhcp",
    "dnp3", "dns", "dpd", "enip", "files", "ftp", "http", "intel", "irc", "kerberos", "known_certs", "known_hosts",
    "known_modbus", "known_services", "ldap", "ldap_search", "loaded_scripts", "modbus", "mqtt_connect", "mqtt_publish",
    "mqtt_subscribe", "mysql", "netcontrol", "notice", "notice_alarm", "ntlm", "ntp", "ocsp", "packet_filter", "pe",
    "postgresql", "print", "quic", "radius", "rdp", "redis", "reporter", "rfb", "signatures", "sip", "smb_cmd",
    "smb_files", "smb_mapping", "smtp", "snmp", "socks", "software", "ssh", "ssl", "stats", "syslog", "telemetry",
    "traceroute", "tunnel", "unknown_protocols", "weird", "weird_stats", "websocket", "x509",
))  # fmt: skip
_LOG_FILE = re.compile(
    r"([a-z][a-z0-9_]*?)(?:[._-]\d[\d_:.Tt-]*)?\.(?:log|json|ndjson)(?:[.-]\d[\d_:.-]*)?(?:\.(?:gz|zst))?"
)
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_COLUMNS = 500
#: Bytes of a file that are looked at together for the header that holds for what follows.
_LOOK_BYTES = 1_048_576
_HEAD_LINES = 40


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a Zeek log read. `columns` are of TSV only; without them lines are JSON."""

    log: str = ""
    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    separator: str = "\t"
    set_separator: str = ","
    empty: str = "(empty)"
    unset: str = "-"
    tsv: bool = False

    def after(self, line: str) -> "Layout":
        """Return the layout after a header line."""
        if line.startswith("#separator"):  # the only one that is not parted by the separator itself
            return Layout(log=self.log, separator=_unescaped(line[10:].strip(" ")) or "\t", tsv=True)
        name, _, value = line[1:].partition(self.separator)
        match name:
            case "set_separator":
                return replace(self, set_separator=_unescaped(value) or ",")
            case "empty_field":
                return replace(self, empty=value)
            case "unset_field":
                return replace(self, unset=value)
            case "path":
                return replace(self, log=kind_of(value) or self.log)
            case "fields":
                return replace(self, columns=tuple(value.split(self.separator)[:_MOST_COLUMNS]), types=())
            case "types":
                return replace(self, types=tuple(value.split(self.separator)[:_MOST_COLUMNS]))
        return self


def kind_of(path: object) -> str | None:
    """Return the kind of log that a `_path` or `#path` names; a rotation's or a folder's part of it goes."""
    if not isinstance(path, str):
        return None
    name = path.rpartition("/")[2].lower().replace("-", "_")
    return name if _KIND.fullmatch(name) else None


def kind_of_file(path: str) -> str | None:
    """Return the kind of log that a file's name says: `conn.log`, `dns.log.gz`, `conn.2024-05-01-00-00-00.log`."""
    found = _LOG_FILE.fullmatch(PurePath(path).name)
    return found[1] if found is not None and found[1] in LOGS else None


class Layouts:
    """The layout of one file's lines, which its header lines change on the way."""

    def __init__(self, path: str) -> None:
        kind = kind_of_file(path)
        self.layout = Layout(log=kind) if kind else None

    def is_header(self, raw: bytes) -> bool:
        """Say whether a line is one of the header, which is then remembered, and no record."""
        bare = raw.lstrip()
        if bare[:1] != b"#":
            return False
        if bare.startswith(b"#separator"):
            self.layout = (self.layout or Layout()).after(bare.decode("utf-8", "replace"))
            return True
        if self.layout is None or not self.layout.tsv:
            return False
        self.layout = self.layout.after(bare.decode("utf-8", "replace"))
        return True

    def recover(self, read: Callable[[int, int], bytes], offset: int) -> None:
        """Find the header that holds for what follows `offset`, in a file that is read on from there."""
        if not read(_LOOK_BYTES, 0).lstrip().startswith(b"#separator"):
            return
        end = offset
        while end > 0:
            begin = max(0, end - _LOOK_BYTES)
            found = read(min(end - begin + len(b"\n#separator"), offset - begin), begin)
            at = found.rfind(b"\n#separator")
            if at >= 0 or not begin:
                self._read_header(read(_LOOK_BYTES, begin + at + 1))
                return
            end = begin

    def _read_header(self, start: bytes) -> None:
        for line in start.split(b"\n", _HEAD_LINES)[:_HEAD_LINES]:
            if not self.is_header(line.rstrip(b"\r")):
                break


def _unescaped(value: str) -> str:
    try:
        return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), value)
    except ValueError:
        return value

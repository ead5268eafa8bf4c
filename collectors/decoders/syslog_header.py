"""A syslog line in; its header as fields and the place where the message starts out.

Sources: RFC 3164 section 4.1, RFC 5424 section 6, rsyslog's RSYSLOG_FileFormat, Cisco IOS and
ASA logging guides (sequence numbers, "*" of an unset clock, "%FAC-SEV-MNEMONIC"), FortiOS log
reference (a body of key=value right behind <PRI>).
"""

import re
from datetime import datetime, tzinfo
from functools import lru_cache

from collectors.decoders.address import as_ip
from collectors.decoders.contract import Fields
from collectors.decoders.timestamp import MONTHS, from_iso, from_month_first, nearest_year

_FACILITY_TEXT = """
kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console
solaris-cron local0 local1 local2 local3 local4 local5 local6 local7
"""
FACILITIES = tuple(_FACILITY_TEXT.split())
SEVERITIES = (
    "emergency",
    "alert",
    "critical",
    "error",
    "warning",
    "notice",
    "informational",
    "debug",
)

MAX_PRIORITY = 191

CACHED_ORIGINS = 4096
"""Combinations of priority, host and program whose fields are remembered."""

MAX_ELEMENTS = 200
"""Structured-data parameters of one line that are read; the rest stays in the message."""

_USUAL = re.compile(
    r"(?:<(\d{1,3})>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (\S+) "
    r"([^\s:\[\]()<>=\"{}%|]{1,64})(?:\([^()\s]{0,64}\))?(?:\[(\d{1,10})\])?:(?: |$)",
    re.ASCII,
)
"""RFC 3164 as sshd and its like write it, with or without <PRI>."""

_PRIORITY = re.compile(r"<(\d{1,3})>", re.ASCII)
_VERSION_1 = re.compile(r"(\d{1,2}) (\S+) (\S{1,255}) (\S{1,128}) (\S{1,128}) (\S{1,64}) ?", re.ASCII)
_SEQUENCE = re.compile(r"(\d{1,10}): ", re.ASCII)
_STAMP = re.compile(
    r"[*.:]?([A-Z][a-z]{2} {1,2}\d{1,2}(?: \d{4})? \d\d:\d\d:\d\d(?:\.\d{1,9})?(?: \d{4}(?=[ :]))?)"
    r"(?: ([A-Z]{2,5})(?=:))?",
    re.ASCII,
)
_ISO_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d))(?= )", re.ASCII)
_HOST = re.compile(r" ([\w.:-]{1,255}) (?=\S)", re.ASCII)
_TAG = re.compile(
    r"([^\s:\[\]()<>=\"{}%|]{1,64})(?:\([^()\s]{0,64}\))?"
    r"(?:\[(\d{1,10})\]|(?: \d[\w.]{0,16}(?=:)))?:(?: |$)",
    re.ASCII,
)
_CISCO = re.compile(r"%([A-Z0-9_]{2,32})(?:-\w{1,32})*?-(\d)-([A-Z0-9_]{1,64})(?=:)", re.ASCII)
_NAME = re.compile(r" ?([^\s=\]\"]{1,128})(?:=\")?", re.ASCII)
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]$", re.ASCII | re.DOTALL)

_FORMATS = ("CEF:", "LEEF:", "@cee:", "{")

_LEVELS = frozenset(("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "SEVERE"))
"""Words that stand behind the time stamp of a program's own log, where syslog has the host."""


def looks_like(text: str) -> bool:
    """Cheap test by the first characters: "<34>", "Nov 24 ", "2026-11-24T"."""
    first = text[:1]
    if first == "<":
        return text[1:2].isdigit() and ">" in text[2:5]
    if first.isdigit():
        return _ISO_STAMP.match(text) is not None
    return text[:3] in MONTHS and text[3:4] == " "


def parse(text: str, timezone: tzinfo, received: datetime) -> tuple[Fields, int] | None:
    """One line → (fields, index of the message); None = no header that we know."""
    match = _USUAL.match(text)
    if match is None:
        return _parse_unusual(text, timezone, received)
    priority, stamp, host, program, pid = match.groups()
    origin = _origin(priority, host, program)
    if origin is None:
        return None
    fields = origin.copy()
    when = nearest_year(stamp, timezone, received)
    if when is None:
        fields["error.message"] = f"time stamp not understood: {stamp!r}"
    else:
        fields["@timestamp"] = when
    if pid is not None:
        fields["process.pid"] = int(pid)
    return fields, match.end()


@lru_cache(maxsize=CACHED_ORIGINS)
def _origin(priority: str | None, host: str, program: str) -> Fields | None:
    """What a header says that is the same for all messages of one program; to be copied, never changed."""
    fields: Fields = {}
    if priority is not None and not _put_priority(fields, int(priority)):
        return None
    fields["host.name"] = host
    if host[:1].isdigit() or ":" in host:
        _put_host(fields, host)
    fields["process.name"] = program
    return fields


def unrepeat(message: str) -> tuple[str, int]:
    """ "message repeated 5 times: [ Failed password …]" → (the message, 5); others count once."""
    match = _REPEATED.match(message)
    return (message, 1) if match is None else (match[2], int(match[1]))


def _parse_unusual(text: str, timezone: tzinfo, received: datetime) -> tuple[Fields, int] | None:
    fields: Fields = {}
    at = 0
    priority = _PRIORITY.match(text)
    if priority is not None:
        if not _put_priority(fields, int(priority[1])):
            return None
        at = priority.end()
        newer = _VERSION_1.match(text, at)
        if newer is not None and (newer[2] == "-" or newer[2][:4].isdigit()):
            return _parse_5424(fields, text, newer, timezone)
    return _parse_3164(fields, text, at, timezone, received)


def _put_priority(fields: Fields, priority: int) -> bool:
    if priority > MAX_PRIORITY:
        return False
    facility, severity = divmod(priority, 8)
    fields["log.syslog.facility.code"] = facility
    fields["log.syslog.facility.name"] = FACILITIES[facility]
    fields["log.syslog.severity.code"] = severity
    fields["log.syslog.severity.name"] = SEVERITIES[severity]
    return True


def _put_host(fields: Fields, host: str) -> None:
    """A host that is an address goes to `host.ip` too."""
    fields["host.name"] = host
    address = as_ip(host)
    if address is not None:
        fields["host.ip"] = address


def _put_program(fields: Fields, program: str, pid: str | None) -> None:
    fields["process.name"] = program
    if pid is not None and pid.isdecimal():
        fields["process.pid"] = int(pid)


# -- RFC 3164 and its many dialects ----------------------------------------------------------------


def _parse_3164(fields: Fields, text: str, at: int, timezone: tzinfo, received: datetime) -> tuple[Fields, int] | None:
    had_priority = at > 0
    sequence = _SEQUENCE.match(text, at)
    if sequence is not None:
        fields["event.sequence"] = int(sequence[1])
        at = sequence.end()
    stamp = _ISO_STAMP.match(text, at)
    if stamp is not None:
        _put_time(fields, from_iso(stamp[1], timezone), stamp[1])
        at = stamp.end()
    else:
        stamp = _STAMP.match(text, at)
        if stamp is not None:
            told = f"{stamp[1]} UTC" if stamp[2] in ("UTC", "GMT") else stamp[1]
            _put_time(fields, from_month_first(told, timezone, received), stamp[1])
            at = stamp.end()
    if stamp is None and not had_priority:
        return None
    is_iso = stamp is not None and stamp.re is _ISO_STAMP
    if stamp is not None:
        at = _host(fields, text, at)
        if at < 0:
            return None
    message_at = _tag(fields, text, at)
    if is_iso and not had_priority:
        host = fields.get("host.name")
        if host is None or host.upper() in _LEVELS or "process.name" not in fields:
            return None
    return fields, message_at


def _put_time(fields: Fields, stamp: str | None, told: str) -> None:
    if stamp is None:
        fields["error.message"] = f"time stamp not understood: {told!r}"
    else:
        fields["@timestamp"] = stamp


def _host(fields: Fields, text: str, at: int) -> int:
    """Behind the stamp: " host ", or ": " where a device leaves its name out; -1 = neither."""
    if text.startswith(":", at):
        return at + 1 + text.startswith(" ", at + 1)
    match = _HOST.match(text, at)
    if match is None:
        return -1 if not text.startswith(" ", at) else at + 1
    host = match[1]
    if host.endswith(":"):  # no host: the word is the tag
        return at + 1
    _put_host(fields, host)
    at = match.end()
    return at + 2 if text.startswith(": ", at) else at


def _tag(fields: Fields, text: str, at: int) -> int:
    """Behind the host: "sshd[42]: ", "%ASA-6-302013: ", or the message itself."""
    if text.startswith(_FORMATS, at):
        return at
    cisco = _CISCO.match(text, at)
    if cisco is not None:
        _put_cisco(fields, cisco)
        return at
    tag = _TAG.match(text, at)
    if tag is None:
        return at
    _put_program(fields, tag[1], tag[2])
    return tag.end()


def _put_cisco(fields: Fields, match: re.Match[str]) -> None:
    facility, severity, mnemonic = match.groups()
    fields["observer.vendor"] = "Cisco"
    fields["observer.product"] = facility if facility in ("ASA", "FTD", "PIX", "FWSM") else "IOS"
    fields["event.code"] = mnemonic
    fields["event.provider"] = facility
    fields.setdefault("log.syslog.severity.code", int(severity))
    if int(severity) < len(SEVERITIES):
        fields.setdefault("log.syslog.severity.name", SEVERITIES[int(severity)])


# -- RFC 5424 --------------------------------------------------------------------------------------


def _parse_5424(fields: Fields, text: str, match: re.Match[str], timezone: tzinfo) -> tuple[Fields, int] | None:
    version, stamp, host, name, process, message_id = match.groups()
    fields["log.syslog.version"] = version
    if stamp != "-":
        _put_time(fields, from_iso(stamp, timezone), stamp[:64])
    if host != "-":
        _put_host(fields, host)
    if name != "-":
        fields["log.syslog.appname"] = name
        _put_program(fields, name, process)
    if process != "-":
        fields["log.syslog.procid"] = process
    if message_id != "-":
        fields["log.syslog.msgid"] = message_id
    at = _structured_data(fields, text, match.end())
    if text.startswith(" ", at):
        at += 1
    if text.startswith("\ufeff", at):
        at += 1
    if text.startswith(" ", at):  # rsyslog hands on the space behind the tag of RFC 3164
        at += 1
    return fields, at


def _structured_data(fields: Fields, text: str, at: int) -> int:
    """ "-" or "[id name="value" …]…" → log.syslog.structured_data.<id>.<name>."""
    if text.startswith("-", at):
        return at + 1
    count = 0
    while text.startswith("[", at):
        name = _NAME.match(text, at + 1)
        if name is None:
            return _broken(fields, at)
        element = name[1]
        cursor = name.end()
        while not text.startswith("]", cursor):
            name = _NAME.match(text, cursor)
            if name is None or not name[0].endswith('="') or count >= MAX_ELEMENTS:
                return _broken(fields, at)
            value, cursor = _quoted(text, name.end())
            if value is None:
                return _broken(fields, at)
            fields[f"log.syslog.structured_data.{element}.{name[1]}"] = value
            count += 1
        at = cursor + 1
    return at


def _broken(fields: Fields, at: int) -> int:
    fields["error.message"] = "structured data not understood, kept in the message"
    return at


def _quoted(text: str, at: int) -> tuple[str | None, int]:
    """Text up to the closing quote, with RFC 5424's three escapes (" \\ and ])."""
    end = text.find('"', at)
    while end > 0 and _escaped(text, end, at):
        end = text.find('"', end + 1)
    if end < 0:
        return None, at
    raw = text[at:end]
    if "\\" in raw:
        raw = _ESCAPE.sub(r"\1", raw)
    return raw, end + 1


_ESCAPE = re.compile(r"\\([\"\\\]])")


def _escaped(text: str, quote: int, start: int) -> bool:
    """An odd number of backslashes before the quote."""
    at = quote - 1
    while at >= start and text[at] == "\\":
        at -= 1
    return (quote - at) % 2 == 0

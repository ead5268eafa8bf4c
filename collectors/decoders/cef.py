"""ArcSight Common Event Format in, ECS and `cef.extensions.*` out.

Source: "Implementing ArcSight Common Event Format (CEF)", version 25 / 26: header of seven
parts with "\\|" and "\\\\" escaped, an extension of key=value with "\\=", "\\\\", "\\n", "\\r".
"""

import re
from datetime import datetime, tzinfo

from collectors.decoders.address import as_number
from collectors.decoders.contract import Context, Fields
from collectors.decoders.copies import copies, put_copies
from collectors.decoders.timestamp import from_epoch, from_iso, from_month_first

_HEADER_PART = re.compile(r"((?:[^|\\]|\\.)*)\|", re.DOTALL)
_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z0-9_][\w.\[\]-]{0,127})=", re.ASCII)
_ESCAPE = re.compile(r"\\([\\=|nr])")
_CUSTOM = re.compile(r"(cs|cn|cfp|c6a|flexString|flexNumber|deviceCustomDate|flexDate)\d{1,2}")
_NOT_NAME = re.compile(r"[^\w.-]+")

MAX_EXTENSIONS = 500
"""Fields of one event that are read; the vendors' longest have about a hundred."""

_SEVERITIES = {"unknown": 0, "low": 2, "medium": 5, "high": 8, "very-high": 10}

_TEXTS = {
    "act": "event.action",
    "app": "network.protocol",
    "cat": "cef.category",
    "deviceExternalId": "observer.serial_number",
    "deviceInboundInterface": "observer.ingress.interface.name",
    "deviceOutboundInterface": "observer.egress.interface.name",
    "deviceProcessName": "process.name",
    "dhost": "destination.domain",
    "dmac": "destination.mac",
    "dntdom": "destination.user.domain",
    "dpriv": "destination.user.group.name",
    "dproc": "process.name",
    "duid": "destination.user.id",
    "duser": "destination.user.name",
    "dvchost": "observer.hostname",
    "externalId": "event.reference_id",
    "fileHash": "file.hash.value",
    "fileId": "file.inode",
    "filePath": "file.path",
    "fileType": "file.type",
    "fname": "file.name",
    "outcome": "event.outcome",
    "proto": "network.transport",
    "reason": "event.reason",
    "request": "url.original",
    "requestClientApplication": "user_agent.original",
    "requestContext": "http.request.referrer",
    "requestMethod": "http.request.method",
    "shost": "source.domain",
    "smac": "source.mac",
    "sntdom": "source.user.domain",
    "spriv": "source.user.group.name",
    "sproc": "process.name",
    "suid": "source.user.id",
    "suser": "source.user.name",
}
_ADDRESSES = {
    "c6a2": "source.ip",
    "c6a3": "destination.ip",
    "destinationTranslatedAddress": "destination.nat.ip",
    "dst": "destination.ip",
    "dvc": "observer.ip",
    "sourceTranslatedAddress": "source.nat.ip",
    "src": "source.ip",
}
_PORTS = {
    "destinationTranslatedPort": "destination.nat.port",
    "dpt": "destination.port",
    "sourceTranslatedPort": "source.nat.port",
    "spt": "source.port",
}
_NUMBERS = {
    "cnt": "cef.count",
    "dpid": "process.pid",
    "fsize": "file.size",
    "in": "source.bytes",
    "out": "destination.bytes",
    "spid": "process.pid",
}
_COPIES = copies(_TEXTS, _ADDRESSES, _PORTS, _NUMBERS)
_TIMES = {
    "rt": "@timestamp",
    "start": "event.start",
    "end": "event.end",
    "deviceReceiptTime": "@timestamp",
}
_HASH_KINDS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_OUTCOMES = {
    "success": "success",
    "failure": "failure",
    "failed": "failure",
    "successful": "success",
}


def looks_like(message: str) -> bool:
    return message.startswith("CEF:")


def decode(message: str, context: Context) -> Fields | None:
    """ "CEF:0|Vendor|Product|1.0|100|name|10|src=10.0.0.1 dst=2.1.2.2 spt=1232" """
    parts = _header(message)
    if parts is None:
        return None
    (version, vendor, product, product_version, event_class, name, severity), at = parts
    fields: Fields = {
        "event.dataset": "cef",
        "cef.version": version,
        "observer.vendor": vendor,
        "observer.product": product,
        "observer.version": product_version,
        "event.code": event_class,
        "cef.name": name,
        "cef.severity": severity,
    }
    number = as_number(severity)
    number = _SEVERITIES.get(severity.lower()) if number is None else number
    if number is not None:
        fields["event.severity"] = number
    extension = _extension(message[at:])
    for key, text in extension.items():
        fields["cef.extensions." + key] = text
    _put_labelled(fields, extension)
    put_copies(fields, extension, _COPIES)
    _put_times(fields, extension, context)
    _tidy(fields)
    fields["message"] = extension.get("msg") or name
    return fields


def _header(message: str) -> tuple[list[str], int] | None:
    parts: list[str] = []
    at = message.find("CEF:") + 4
    while len(parts) < 7:
        match = _HEADER_PART.match(message, at)
        if match is None:
            if len(parts) == 6:  # no extension and no closing bar: seen from real devices
                parts.append(_unescape(message[at:].strip()))
                return parts, len(message)
            return None
        parts.append(_unescape(match[1]).strip())
        at = match.end()
    return parts, at


def _extension(text: str) -> dict[str, str]:
    """A value ends where the next " key=" begins, so it may hold spaces."""
    values: dict[str, str] = {}
    last: re.Match[str] | None = None
    for match in _KEY.finditer(text):
        if last is not None:
            values[last[1]] = _unescape(text[last.end() : match.start()].rstrip())
        if len(values) >= MAX_EXTENSIONS:
            return values
        last = match
    if last is not None:
        values[last[1]] = _unescape(text[last.end() :].strip())
    return values


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text)


def _put_labelled(fields: Fields, extension: dict[str, str]) -> None:
    """cs1=Rule 5 cs1Label=Policy Name → cef.extensions.Policy_Name beside the raw two."""
    for key, text in extension.items():
        if _CUSTOM.fullmatch(key):
            label = _NOT_NAME.sub("_", extension.get(key + "Label", "")).strip("_.")
            if label:
                fields.setdefault(f"cef.extensions.{label}", text)


def _put_times(fields: Fields, extension: dict[str, str], context: Context) -> None:
    for key, target in _TIMES.items():
        told = extension.get(key)
        if not told:
            continue
        stamp = read_time(told, context.timezone, context.received)
        if stamp is None:
            fields["error.message"] = f"time stamp of {key} not understood: {told[:64]!r}"
        else:
            fields[target] = stamp


def _tidy(fields: Fields) -> None:
    """Values that ECS wants in its own words."""
    if "network.transport" in fields:
        fields["network.transport"] = str(fields["network.transport"]).lower()
    outcome = str(fields.get("event.outcome", "")).lower()
    if outcome:
        fields["event.outcome"] = _OUTCOMES.get(outcome, "unknown")
    digest = str(fields.pop("file.hash.value", "")).lower()
    kind = _HASH_KINDS.get(len(digest))
    if kind:
        fields[f"file.hash.{kind}"] = digest
    if "source.user.name" in fields:
        fields["user.name"] = fields["source.user.name"]
    elif "destination.user.name" in fields:
        fields["user.name"] = fields["destination.user.name"]
    url = fields.get("url.original")
    if url:
        path, question, query = str(url).partition("?")
        fields["url.path"] = "/" + path.split("/", 3)[3] if path.count("/") > 2 else path
        if question:
            fields["url.query"] = query


def read_time(text: str, timezone: tzinfo, received: datetime) -> str | None:
    """Epoch milliseconds, ISO, or "MMM dd [yyyy] HH:mm:ss[.SSS] [zone]"."""
    return from_epoch(text) or from_iso(text, timezone) or from_month_first(text, timezone, received)

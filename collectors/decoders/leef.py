"""IBM QRadar's Log Event Extended Format in, ECS and `leef.attributes.*` out.

Source: "IBM Security QRadar: LEEF" guide, versions 1.0 (tab between attributes) and 2.0 (a
delimiter of its own, a character or "0x5E" / "x5E").
"""

import re

from collectors.decoders.cef import read_time
from collectors.decoders.contract import Context, Fields
from collectors.decoders.copies import copies, put_copies

_HEX = re.compile(r"0?[xX]([0-9A-Fa-f]{2,4})", re.ASCII)
_NAME = re.compile(r"[\w.\[\]/ -]{1,128}")

MAX_ATTRIBUTES = 500
"""Attributes of one event that are read."""

_TEXTS = {
    "accountName": "user.name",
    "action": "event.action",
    "cat": "leef.category",
    "domain": "user.domain",
    "dstMAC": "destination.mac",
    "filename": "file.name",
    "identHostName": "host.name",
    "method": "http.request.method",
    "policy": "rule.name",
    "proto": "network.transport",
    "resource": "leef.resource",
    "role": "user.roles",
    "srcMAC": "source.mac",
    "url": "url.original",
    "usrName": "user.name",
    "userAgent": "user_agent.original",
}
_ADDRESSES = {
    "dst": "destination.ip",
    "dstPostNAT": "destination.nat.ip",
    "identSrc": "host.ip",
    "src": "source.ip",
    "srcPostNAT": "source.nat.ip",
}
_PORTS = {
    "dstPort": "destination.port",
    "dstPostNATPort": "destination.nat.port",
    "srcPort": "source.port",
    "srcPostNATPort": "source.nat.port",
}
_NUMBERS = {
    "dstBytes": "destination.bytes",
    "dstPackets": "destination.packets",
    "sev": "event.severity",
    "srcBytes": "source.bytes",
    "srcPackets": "source.packets",
    "totalPackets": "network.packets",
}
_COPIES = copies(_TEXTS, _ADDRESSES, _PORTS, _NUMBERS)


def looks_like(message: str) -> bool:
    return message.startswith("LEEF:")


def decode(message: str, context: Context) -> Fields | None:
    """ "LEEF:2.0|Vendor|Product|1.0|100|^|src=10.0.0.1^dst=2.1.2.2^sev=5" """
    head = message[5:].split("|", 5)
    if len(head) < 6:
        return None
    version, vendor, product, product_version, event_id, rest = head
    delimiter = "\t"
    if version.startswith("2"):
        told, bar, attributes = rest.partition("|")
        if bar and "=" not in told.strip("="):
            delimiter, rest = _delimiter(told), attributes
    fields: Fields = {
        "event.dataset": "leef",
        "leef.version": version,
        "observer.vendor": vendor,
        "observer.product": product,
        "observer.version": product_version,
        "event.code": event_id,
    }
    attributes_read = _attributes(rest, delimiter)
    for name, text in attributes_read.items():
        fields["leef.attributes." + name] = text
    put_copies(fields, attributes_read, _COPIES)
    if "network.transport" in fields:
        fields["network.transport"] = fields["network.transport"].lower()
    _put_time(fields, attributes_read, context)
    if attributes_read.get("msg"):
        fields["message"] = attributes_read["msg"]
    return fields


def _delimiter(told: str) -> str:
    match = _HEX.fullmatch(told.strip())
    if match is not None:
        return chr(int(match[1], 16))
    return told or "\t"


def _attributes(text: str, delimiter: str) -> dict[str, str]:
    """name=value parts; devices that fall back to spaces for the tab are not guessed at."""
    values: dict[str, str] = {}
    for part in text.split(delimiter, MAX_ATTRIBUTES)[:MAX_ATTRIBUTES]:
        name, equals, value = part.partition("=")
        name = name.strip()
        if equals and _NAME.fullmatch(name):
            values[name.replace(" ", "_")] = value.strip("\r\n")
    return values


def _put_time(fields: Fields, attributes: dict[str, str], context: Context) -> None:
    told = attributes.get("devTime")
    if told:
        stamp = read_time(told, context.timezone, context.received)
        if stamp is None:
            fields["error.message"] = f"time stamp of devTime not understood: {told[:64]!r}"
        else:
            fields["@timestamp"] = stamp

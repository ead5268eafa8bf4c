"""Lines of key=value in (FortiGate, logfmt), ECS of the known keys and all keys out.

Sources: "FortiOS Log Message Reference" (type, subtype, srcip … of traffic, UTM and event logs),
the logfmt of Heroku and Go's slog. FortiGate's own keys lie under `fortinet.firewall.*` as in
Filebeat's module; other keys under `key_value.*`, so that "host=web1" never meets `host.name`.
"""

import re

from collectors.decoders.contract import Context, Fields
from collectors.decoders.copies import copies, put_copies
from collectors.decoders.timestamp import from_epoch, from_iso, from_month_first

_PAIR = re.compile(
    r"([A-Za-z_@][\w.@/-]{0,127})=(?:\"([^\"\\]*(?:\\.[^\"\\]*)*)\"|([^\s\",]*)),?(?=\s|$)",
    re.ASCII | re.DOTALL,
)
_START = re.compile(r"\s*[A-Za-z_@][\w.@/-]{0,127}=", re.ASCII)
_ESCAPE = re.compile(r"\\([\"\\])")

MAX_PAIRS = 500
"""Pairs of one line that are read; FortiGate's longest logs have about eighty."""

LEAST_PAIRS = 3
"""Fewer pairs than this are a sentence with an equals sign."""

PAIR_SHARE = 0.8
"""Least share of a line's characters inside pairs for it to count as key=value."""

_FORTI_TEXTS = {
    "action": "event.action",
    "attack": "threat.indicator.name",
    "agent": "user_agent.original",
    "devid": "observer.serial_number",
    "devname": "observer.hostname",
    "dstintf": "observer.egress.interface.name",
    "dstmac": "destination.mac",
    "dstname": "destination.domain",
    "dstuser": "destination.user.name",
    "filehash": "file.hash.sha256",
    "filename": "file.name",
    "group": "user.group.name",
    "hostname": "url.domain",
    "level": "log.level",
    "logdesc": "event.reason",
    "logid": "event.code",
    "policyid": "rule.id",
    "policyname": "rule.name",
    "qname": "dns.question.name",
    "qtype": "dns.question.type",
    "service": "network.protocol",
    "srcintf": "observer.ingress.interface.name",
    "srcmac": "source.mac",
    "srcname": "source.domain",
    "url": "url.original",
    "user": "user.name",
    "virus": "threat.software.name",
}
_FORTI_ADDRESSES = {
    "dstip": "destination.ip",
    "locip": "observer.ip",
    "remip": "source.ip",
    "srcip": "source.ip",
    "trandip": "destination.nat.ip",
    "transip": "source.nat.ip",
}
_FORTI_PORTS = {
    "dstport": "destination.port",
    "srcport": "source.port",
    "tranport": "destination.nat.port",
    "transport": "source.nat.port",
}
_FORTI_NUMBERS = {
    "rcvdbyte": "destination.bytes",
    "rcvdpkt": "destination.packets",
    "sentbyte": "source.bytes",
    "sentpkt": "source.packets",
}
_TRANSPORTS = {"1": "icmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "58": "ipv6-icmp"}
_DENIED = frozenset(("deny", "blocked", "block", "dropped", "drop", "reset", "ip-conn"))
_ALLOWED = frozenset(("accept", "close", "passthrough", "pass", "permit", "allowed", "detected"))

_COMMON_TEXTS = {
    "action": "event.action",
    "host": "host.name",
    "hostname": "host.name",
    "level": "log.level",
    "lvl": "log.level",
    "method": "http.request.method",
    "path": "url.path",
    "user": "user.name",
    "username": "user.name",
}
_COMMON_ADDRESSES = {
    "dst": "destination.ip",
    "dst_ip": "destination.ip",
    "dstip": "destination.ip",
    "src": "source.ip",
    "src_ip": "source.ip",
    "srcip": "source.ip",
}
_COMMON_PORTS = {
    "dpt": "destination.port",
    "dst_port": "destination.port",
    "dstport": "destination.port",
    "spt": "source.port",
    "src_port": "source.port",
    "srcport": "source.port",
}
_FORTI_COPIES = copies(_FORTI_TEXTS, _FORTI_ADDRESSES, _FORTI_PORTS, _FORTI_NUMBERS)
_COMMON_COPIES = copies(_COMMON_TEXTS, _COMMON_ADDRESSES, _COMMON_PORTS, {})
_COMMON_TIMES = ("time", "ts", "timestamp", "t", "date")


def looks_like(message: str) -> bool:
    return _START.match(message) is not None


def decode(message: str, context: Context) -> Fields | None:
    """ "date=2026-11-24 time=05:17:44 devname="FG1" …" or "level=info msg="done" took=3ms" """
    values: dict[str, str] = {}
    covered = 0
    for name, quoted, bare in _PAIR.findall(message)[:MAX_PAIRS]:
        value = bare or (_ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted)
        values[name] = value
        covered += len(name) + len(bare or quoted) + (2 if bare else 4)  # "=", the gap, quotes
    asked = context.dataset == "key_value"
    if len(values) < (1 if asked else LEAST_PAIRS):
        return None
    if not asked and covered < PAIR_SHARE * len(message) and len(values) < MAX_PAIRS:
        return None
    if "logid" in values and ("devname" in values or "devid" in values):
        return _fortigate(values, context)
    return _common(values, context)


def _fortigate(values: dict[str, str], context: Context) -> Fields:
    fields: Fields = {
        "event.dataset": "key_value",
        "observer.vendor": "Fortinet",
        "observer.product": "FortiGate",
    }
    for name, text in values.items():
        fields["fortinet.firewall." + name] = text
    put_copies(fields, values, _FORTI_COPIES)
    if "devname" in values:
        fields["host.name"] = values["devname"]
    if "network.protocol" in fields:
        fields["network.protocol"] = str(fields["network.protocol"]).lower()
    protocol = values.get("proto", "")
    if protocol:
        fields["network.transport"] = _TRANSPORTS.get(protocol, protocol.lower())
        fields["network.iana_number"] = protocol
    _put_forti_time(fields, values, context)
    _put_meaning(fields, values)
    message = values.get("msg")
    if message:
        fields["message"] = message
    return fields


def _put_forti_time(fields: Fields, values: dict[str, str], context: Context) -> None:
    """eventtime is in seconds or nanoseconds; date and time are local, tz="+0700" tells where."""
    stamp = from_epoch(values["eventtime"]) if "eventtime" in values else None
    if stamp is None and "date" in values and "time" in values:
        told = f"{values['date']} {values['time']}{values.get('tz', '')}"
        stamp = from_iso(told, context.timezone)
        if stamp is None:
            fields["error.message"] = f"time stamp not understood: {told[:64]!r}"
    if stamp is not None:
        fields["@timestamp"] = stamp


def _put_meaning(fields: Fields, values: dict[str, str]) -> None:
    kind, subtype = values.get("type", ""), values.get("subtype", "")
    action = values.get("action", "").lower()
    if kind in ("traffic", "utm"):
        fields["event.category"] = ["network"]
        fields["event.type"] = ["connection"]
        if kind == "utm" and subtype in ("ips", "virus", "anomaly"):
            fields["event.category"] = ["intrusion_detection" if subtype != "virus" else "malware"]
        if action in _DENIED:
            fields["event.type"] = ["connection", "denied"]
        elif action in _ALLOWED:
            fields["event.type"] = ["connection", "allowed"]
    elif kind == "event" and action in ("login", "tunnel-up", "ssl-login-fail", "authentication"):
        fields["event.category"] = ["authentication"]
        fields["event.type"] = ["start"]
    status = values.get("status", "").lower()
    if status in ("success", "failed", "failure") or action.endswith("-fail"):
        fields["event.outcome"] = "success" if status == "success" else "failure"


def _common(values: dict[str, str], context: Context) -> Fields:
    fields: Fields = {"event.dataset": "key_value"}
    for name, text in values.items():
        fields["key_value." + name] = text
    put_copies(fields, values, _COMMON_COPIES)
    for name in _COMMON_TIMES:
        if name not in values:
            continue
        text = values[name]
        stamp = (
            from_iso(text, context.timezone)
            or (from_epoch(text) if len(text) >= 9 else None)
            or from_month_first(text, context.timezone, context.received)
        )
        if stamp is not None:
            fields["@timestamp"] = stamp
            break
    message = values.get("msg") or values.get("message")
    if message:
        fields["message"] = message
    return fields

"""Packet lines of iptables, nftables and UFW in, network fields out.

Source: the kernel's net/ipv4/netfilter/nf_log_ipv4.c and nf_log_ipv6.c ("IN=eth0 OUT= MAC=…
SRC=… DST=… LEN=… PROTO=TCP SPT=… DPT=… SYN").
"""

import re

from collectors.decoders.address import as_ip, as_number, as_port
from collectors.decoders.contract import Context, Fields

_UPTIME = re.compile(r"\[ *\d{1,9}\.\d{6}\] ?")
_DENIED = re.compile(r"block|drop|deny|denied|reject|limit", re.IGNORECASE)
_ALLOWED = re.compile(r"allow|accept|audit|pass", re.IGNORECASE)

_FLAGS = ("SYN", "ACK", "FIN", "RST", "PSH", "URG")

MAX_TOKENS = 64
"""Words of one packet line; real ones have about thirty."""

_TRANSPORTS = {"ICMPv6": "ipv6-icmp", "58": "ipv6-icmp", "2": "igmp", "47": "gre", "50": "esp"}


def looks_like(message: str) -> bool:
    return "IN=" in message and " OUT=" in message and " SRC=" in message


def decode(message: str, _context: Context) -> Fields | None:
    """One packet line; the words before "IN=" are the rule's prefix."""
    at = message.find("IN=")
    if at < 0:
        return None
    prefix = message[:at]
    uptime = _UPTIME.match(prefix)
    if uptime is not None:
        prefix = prefix[uptime.end() :]
    prefix = prefix.strip().rstrip(":").strip()
    values: dict[str, str] = {}
    flags = []
    for word in message[at:].split(" ", MAX_TOKENS)[:MAX_TOKENS]:
        name, equals, value = word.partition("=")
        if equals:
            values.setdefault(name, value)  # an ICMP error repeats the names of the packet in it
        elif word in _FLAGS:
            flags.append(word.lower())
    source, destination = as_ip(values.get("SRC", "")), as_ip(values.get("DST", ""))
    if source is None and destination is None:
        return None
    fields: Fields = {
        "event.dataset": "linux.netfilter",
        "event.category": ["network"],
        "event.type": ["connection"],
        "network.type": "ipv6" if ":" in (source or destination or "") else "ipv4",
    }
    _put_action(fields, prefix)
    if source:
        fields["source.ip"] = source
    if destination:
        fields["destination.ip"] = fields["destination.address"] = destination
    _put_rest(fields, values)
    if flags:
        fields["netfilter.tcp_flags"] = flags
    return fields


def _put_action(fields: Fields, prefix: str) -> None:
    if prefix:
        fields["rule.name"] = prefix.strip("[]")
    if _DENIED.search(prefix):
        fields["event.type"] = ["connection", "denied"]
        fields["event.action"] = "denied"
    elif _ALLOWED.search(prefix):
        fields["event.type"] = ["connection", "allowed"]
        fields["event.action"] = "allowed"
    else:
        fields["event.action"] = "logged"


def _put_rest(fields: Fields, values: dict[str, str]) -> None:
    for name, key in (("SPT", "source.port"), ("DPT", "destination.port")):
        port = as_port(values.get(name, ""))
        if port is not None:
            fields[key] = port
    protocol = values.get("PROTO", "")
    if protocol:
        fields["network.transport"] = _TRANSPORTS.get(protocol, protocol.lower())
    length = as_number(values.get("LEN", ""))
    if length is not None:
        fields["network.bytes"] = length
    for name, key in (
        ("IN", "observer.ingress.interface.name"),
        ("OUT", "observer.egress.interface.name"),
    ):
        if values.get(name):
            fields[key] = values[name]
    if values.get("IN") and not values.get("OUT"):
        fields["network.direction"] = "inbound"
    elif values.get("OUT") and not values.get("IN"):
        fields["network.direction"] = "outbound"
    hardware = values.get("MAC", "").split(":")
    if len(hardware) == 14:  # destination, source, EtherType
        fields["destination.mac"] = "-".join(hardware[:6]).upper()
        fields["source.mac"] = "-".join(hardware[6:12]).upper()
    for name in ("TTL", "ID", "TYPE", "CODE", "MARK"):
        if values.get(name):
            fields["netfilter." + name.lower()] = values[name]

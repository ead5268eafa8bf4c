"""What sensors say of a connection in their own words in, the fields of docs/network.md out: what decoders share."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from collectors.decoders.contract import Fields
from collectors.network.community_id import ICMP, ICMP6, community_id, icmp_ports

#: IANA's numbers of the protocols that sensors name; the others keep their number as their name.
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "ipv6": 41, "rsvp": 46, "gre": 47, "esp": 50,
    "ah": 51, "ipv6-icmp": 58, "eigrp": 88, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132,
    "udplite": 136,
}  # fmt: skip
NAMES = {number: name for name, number in PROTOCOLS.items()}
_OTHER_NAMES = {"icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp", "ospfigp": "ospf"}
_SERVICES = {
    "ssl": "tls", "krb": "kerberos", "krb5": "kerberos", "krb_tcp": "kerberos", "krb_udp": "kerberos",
    "dcerpc": "dce_rpc", "ikev2": "ike", "smb2": "smb", "http2": "http", "http1": "http",
}  # fmt: skip
#: What a connection carries besides what it is for.
_CARRIED = frozenset(("gssapi", "ntlm", "spnego", "failed", "unknown", ""))
_TLS_VERSIONS = {
    "tlsv10": "1.0", "tlsv1": "1.0", "tls 1.0": "1.0", "tlsv11": "1.1", "tls 1.1": "1.1", "tlsv12": "1.2",
    "tls 1.2": "1.2", "tlsv13": "1.3", "tls 1.3": "1.3", "dtlsv10": "1.0", "dtlsv12": "1.2", "dtlsv13": "1.3",
}  # fmt: skip

#: States of Zeek's in which the other side took part, and those in which it did not.
_ANSWERED = frozenset(("SF", "S1", "S2", "S3", "RSTO", "RSTR"))
_UNANSWERED = frozenset(("S0", "REJ", "RSTOS0", "SH", "RSTRH", "SHR"))

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_REMEMBERED = 16_384
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT = 253_402_300_799_999_999  # microseconds: the end of the year 9999


def address(value: object) -> str | None:
    """Return an address in its one short form, however a sensor writes it; None for what is none."""
    return _address(value) if isinstance(value, str) else None


@lru_cache(maxsize=_REMEMBERED)
def _address(value: str) -> str | None:
    try:
        found = ip_address(value.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def number(value: object) -> int | None:
    """Return a whole number that fits 64 bits, also one that came as text."""
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None


def count(value: object) -> int | None:
    """Return a whole number that counts something."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def flag(value: object) -> bool | None:
    """Return what is true or false."""
    return value if isinstance(value, bool) else None


def port(value: object) -> int | None:
    """Return a port."""
    found = number(value)
    return found if found is not None and 0 <= found <= 65_535 else None


def text(value: object) -> str | None:
    """Return a text that is not empty."""
    return value if isinstance(value, str) and value else None


def transport(value: object, is_six: bool = False) -> str | None:
    """Return the name of an IP protocol as docs/network.md has it, of a name or a number."""
    if type(value) is int:
        return NAMES.get(value, str(value))
    if not isinstance(value, str) or not value:
        return None
    name = value.lower()
    if name.isdigit() and len(name) <= 3:
        return NAMES.get(int(name), name)
    name = _OTHER_NAMES.get(name, name)
    return "ipv6-icmp" if name == "icmp" and is_six else name


def service(value: object) -> str | None:
    """Return what a connection is for; of several that a sensor names, the first that is no wrapping."""
    return _service(value) if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _service(value: str) -> str | None:
    names = [_SERVICES.get(name, name) for name in value.lower().replace("-", "_").split(",")]
    return next((name for name in names if name not in _CARRIED), None)


def mac(value: object) -> str | None:
    """Return a hardware address as ECS has it, `AA-BB-CC-00-11-22`."""
    return _mac(value) if isinstance(value, str) else None


@lru_cache(maxsize=_REMEMBERED)
def _mac(value: str) -> str | None:
    digits = value.replace(":", "").replace("-", "").replace(".", "").upper()
    if len(digits) != 12 or not all(digit in "0123456789ABCDEF" for digit in digits):
        return None
    return "-".join(digits[at : at + 2] for at in range(0, 12, 2))


def put_connection(
    fields: Fields, source: object, source_port: object, destination: object, destination_port: object, protocol: object
) -> None:
    """Put addresses, ports, `network.transport` and `network.type`; of ICMP the ports are left out."""
    first, second = address(source), address(destination)
    if first:
        fields["source.ip"] = first
    if second:
        fields["destination.ip"] = second
    either = first or second
    if either:
        fields["network.type"] = "ipv6" if ":" in either else "ipv4"
    name = transport(protocol, bool(either) and ":" in str(either))
    if name:
        fields["network.transport"] = name
    if name in ("icmp", "ipv6-icmp"):
        return
    for key, value in (("source.port", source_port), ("destination.port", destination_port)):
        found = port(value)
        if found is not None:
            fields[key] = found


def put_community_id(fields: Fields, given: object) -> None:
    """Put the sensor's Community ID, or the one of the fields that are there."""
    if isinstance(given, str) and given.startswith("1:"):
        fields["network.community_id"] = given
        return
    name = fields.get("network.transport")
    if name is None or "source.ip" not in fields or "destination.ip" not in fields:
        return
    protocol = PROTOCOLS.get(name) or number(name)
    if protocol is None or not 0 <= protocol < 256:
        return
    first, second = fields.get("source.port", 0), fields.get("destination.port", 0)
    if protocol in (ICMP, ICMP6):
        if "icmp.type" not in fields:
            return
        first, second = icmp_ports(protocol, fields["icmp.type"], fields.get("icmp.code", 0))
    elif "source.port" not in fields and protocol in (6, 17, 132):
        return
    if len(fields["source.ip"].partition(":")[1]) == len(fields["destination.ip"].partition(":")[1]):
        fields["network.community_id"] = community_id(
            fields["source.ip"], fields["destination.ip"], protocol, first, second
        )


def put_sums(fields: Fields) -> None:
    """Put `network.bytes` and `network.packets` where both sides, or one, are known."""
    for what in ("bytes", "packets"):
        sides = [fields[key] for key in (f"source.{what}", f"destination.{what}") if key in fields]
        if sides:
            fields[f"network.{what}"] = sum(sides)


def put_state(fields: Fields, state: object) -> None:
    """Put how a connection went: `flow.state` of TCP, and the outcome that follows."""
    if not isinstance(state, str) or not state:
        return
    if fields.get("network.transport") == "tcp":
        fields["flow.state"] = state
    if state in _ANSWERED:
        fields["event.outcome"] = "success"
    elif state in _UNANSWERED:
        fields["event.outcome"] = "failure"


def tcp_state(source: int, destination: int) -> str:
    """Return Zeek's name of how a connection went, of the flags that each side has sent."""
    if not destination:
        if not source & SYN or source & ACK:
            return "OTH"
        return "RSTOS0" if source & RST else "SH" if source & FIN else "S0"
    if not source:
        return "RSTRH" if destination & RST and destination & SYN else "SHR" if destination & SYN else "OTH"
    if not source & SYN and not destination & SYN:
        return "OTH"
    if source & SYN and not destination & SYN:
        return "REJ" if destination & RST else "OTH"
    if source & FIN and destination & FIN:
        return "SF"
    if source & RST:
        return "RSTO"
    if destination & RST:
        return "RSTR"
    return "S2" if source & FIN else "S3" if destination & FIN else "S1"


def stamp(micros: int | None) -> str | None:
    """Write microseconds since 1970 as ECS wants it; None for what no calendar has."""
    if micros is None or not 0 < micros <= _LAST_MOMENT:
        return None
    moment = _EPOCH + timedelta(microseconds=micros)
    spec = "microseconds" if micros % 1000 else "milliseconds"
    return moment.isoformat(timespec=spec)[:-6] + "Z"


def put_span(fields: Fields, start: int | None, end: int | None) -> None:
    """Put the times of a connection, of microseconds since 1970: it counts at its last packet."""
    if end is None:
        end = start
    if start is None or end is None:
        return
    end = max(start, end)
    first, last = stamp(start), stamp(end)
    if first is None or last is None:
        return
    fields["event.start"], fields["event.end"], fields["@timestamp"] = first, last, last
    fields["event.duration"] = (end - start) * 1000


def host_name(value: object) -> str | None:
    """Return a name of the DNS: in lower case, without the dot at its end."""
    return value.rstrip(".").lower() or None if isinstance(value, str) else None


def resolved(answers: Iterable[object]) -> list[str]:
    """Return the answers that are addresses."""
    return [found for answer in answers if (found := address(answer))]


def put_url(fields: Fields, domain: object, original: object) -> None:
    """Put the parts of a request's target: a path, a whole address, or `host:port` of CONNECT."""
    name = text(domain)
    if name:
        bare = name.rpartition(":")[0] if name.count(":") == 1 else name
        fields["url.domain"] = bare.strip("[]").lower() or name
    target = text(original)
    if target is None:
        return
    fields["url.original"] = target
    path = target
    scheme, slashes, rest = target.partition("://")
    if slashes and scheme.isalpha():
        path = "/" + rest.partition("/")[2]
        if "url.domain" not in fields and rest:
            put_url(fields, rest.partition("/")[0].rpartition("@")[2], None)
    path, mark, query = path.partition("?")
    if path.startswith("/"):
        fields["url.path"] = path
    if mark and query:
        fields["url.query"] = query


def tls_version(value: object) -> str | None:
    """Return `1.2` of what sensors write; SSL keeps its name."""
    if not isinstance(value, str) or value.lower() in ("", "undetermined", "unknown"):
        return None
    return _TLS_VERSIONS.get(value.lower(), value)


def digest(value: object) -> str | None:
    """Return a hash without its colons, in lower case."""
    return value.replace(":", "").lower() or None if isinstance(value, str) else None


def put(fields: Fields, names: Iterable[tuple[str, Any]]) -> None:
    """Put what is there."""
    for key, value in names:
        if value is not None and value not in ("", []):
            fields[key] = value

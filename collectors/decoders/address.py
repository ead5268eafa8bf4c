"""Text of addresses, ports and numbers in, checked values out; None for what is not one."""

import re
from functools import lru_cache
from ipaddress import ip_address

CACHED_ADDRESSES = 8192
"""Distinct addresses whose check is remembered; a scan with more only costs the check again."""

_NUMBER_DIGITS = 18
_NEGATIVE = re.compile(r"-\d{1,18}", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,15}", re.ASCII)

MAX_PORT = 65_535


@lru_cache(maxsize=CACHED_ADDRESSES)
def as_ip(text: str) -> str | None:
    """An IPv4 or IPv6 address as text; brackets and zone go, "::ffff:10.0.0.1" → "10.0.0.1"."""
    bare = text.strip("[]").partition("%")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped) if mapped else bare


def as_number(text: str) -> int | None:
    """A whole number, decimal or "0x…"."""
    if text.isdigit() and text.isascii():
        return int(text) if len(text) <= _NUMBER_DIGITS else None
    if text[:1] == "-":
        return int(text) if _NEGATIVE.fullmatch(text) else None
    return int(text, 16) if _HEX.fullmatch(text) else None


def as_port(text: str) -> int | None:
    number = as_number(text)
    return number if number is not None and 0 <= number <= MAX_PORT else None


def put_host(fields: dict[str, object], group: str, text: str) -> None:
    """What stands for a host of `source` / `destination` → `<group>.ip`, or `.domain` and `.address` for a name.

    ECS would repeat an address in `.address`; a field more in nearly every event is not worth it."""
    if not text or text == "-":
        return
    address = as_ip(text)
    if address is None:
        fields[group + ".address"] = fields[group + ".domain"] = text
    else:
        fields[group + ".ip"] = address


def split_port(text: str) -> tuple[str, int | None]:
    """ "10.0.0.1:80", "[::1]:80", "::1", "host:80" → (host, port)."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, as_port(rest[1:]) if rest.startswith(":") else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, as_port(port)
    return text, None

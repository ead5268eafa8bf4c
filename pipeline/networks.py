"""Addresses enter; whether they are in a network, and whether they are ours, leaves."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from socket import AF_INET, inet_pton
from typing import TypeAlias

LOCAL, OUTSIDE, NOWHERE = "local", "outside", "nowhere"
#: An address: its version, and its number.
_Address: TypeAlias = tuple[int, int]


class Networks:
    """Networks (CIDR), asked whether an address is in one."""

    def __init__(self, networks: Iterable[str]) -> None:
        found = [ip_network(text, strict=False) for text in networks]
        #: Of each version, the first and the last addresses of networks that do not overlap, sorted.
        self._ranges = {
            4: _ranges(collapse_addresses(each for each in found if isinstance(each, IPv4Network))),
            6: _ranges(collapse_addresses(each for each in found if isinstance(each, IPv6Network))),
        }
        self.holds: Callable[[str], bool] = lru_cache(65_536)(self._holds) if found else _never

    def has(self, address: _Address) -> bool:
        """Whether an address that was read is in one of them."""
        version, number = address
        firsts, lasts = self._ranges[version]
        place = bisect_right(firsts, number)
        return place > 0 and number <= lasts[place - 1]

    def _holds(self, text: str) -> bool:
        address = _read(text)
        return address is not None and self.has(address)


class Site:
    """Which addresses are ours."""

    def __init__(self, local: Iterable[str]) -> None:
        self._local = Networks(local)
        #: LOCAL, OUTSIDE, or NOWHERE: no address of one host, or none at all.
        self.where: Callable[[str], str] = lru_cache(65_536)(self._where)

    def _where(self, text: str) -> str:
        address = _read(text)
        if address is None or _NO_HOST.has(address):
            return NOWHERE
        return LOCAL if self._local.has(address) or _LINK.has(address) else OUTSIDE


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    return _read(text) is not None


def is_network(text: str) -> bool:
    """Whether a text is a network (CIDR)."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _ranges(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[list[int], list[int]]:
    found = sorted((int(each.network_address), int(each.broadcast_address)) for each in networks)
    return [first for first, _ in found], [last for _, last in found]


def _read(text: str) -> _Address | None:
    """Read an address; None where it is none. Most are IPv4, which `ipaddress` reads ten times as slowly."""
    try:
        if ":" not in text:
            return 4, int.from_bytes(inet_pton(AF_INET, text), "big")
        return 6, int(ip_address(text))
    except (OSError, ValueError):
        return None


def _never(_text: str) -> bool:
    return False


#: Multicast, loopback, broadcast and no address (RFC 6890); addresses of one link (RFC 3927, 4291).
_NO_HOST = Networks((
    "0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "ff00::/8",
))  # fmt: skip
_LINK = Networks(("169.254.0.0/16", "fe80::/10"))

"""Addresses enter; whether they are in a network, and whether they are ours, leaves."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

LOCAL, OUTSIDE, NOWHERE = "local", "outside", "nowhere"


class Networks:
    """Networks (CIDR), asked whether an address is in one."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(text, strict=False) for text in networks)
        self.holds: Callable[[str], bool] = lru_cache(65_536)(self._holds) if self._networks else _never

    def _holds(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks if network.version == address.version)


def _never(_text: str) -> bool:
    return False


class Site:
    """Which addresses are ours."""

    def __init__(self, local: Iterable[str]) -> None:
        self._local = Networks(local)
        #: LOCAL, OUTSIDE, or NOWHERE: no address of one host, or none at all.
        self.where: Callable[[str], str] = lru_cache(65_536)(self._where)

    def _where(self, text: str) -> str:
        try:
            address = ip_address(text)
        except ValueError:
            return NOWHERE
        if address.is_multicast or address.is_unspecified or address.is_loopback or text == "255.255.255.255":
            return NOWHERE
        return LOCAL if self._local.holds(text) or address.is_link_local else OUTSIDE

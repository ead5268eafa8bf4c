"""Modifier `cidr`: a network becomes a test of the text of an address (specification v2.1.0,
"cidr").
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

ADDRESS_CACHE = 16_384  # parsed addresses kept, about 4 MB


def in_network(network: IPv4Network | IPv6Network) -> Callable[[str], bool]:
    """A test whether a text is an address of the network; text that is no address is outside.

    An IPv4 address written in IPv6 (`::ffff:10.0.0.1`, usual in Windows logs) belongs to both
    kinds.
    """

    def accepts(text: str) -> bool:
        return any(address.version == network.version and address in network for address in addresses(text))

    return accepts


@lru_cache(ADDRESS_CACHE)
def addresses(text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The address a text holds, with its IPv4 form where it has one; empty for other text."""
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except (AddressValueError, ValueError):
        return ()
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (address, mapped) if mapped else (address,)

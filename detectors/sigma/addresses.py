"""Modifier `cidr`: a network becomes a test of the text of an address (specification v2.1.0,
"cidr").
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Network, IPv6Address, IPv6Network, ip_address

ADDRESS_CACHE = 16_384  # parsed addresses kept, about 4 MB
ANSWER_CACHE = 1_024  # answers kept for each list of networks, about 200 KB: the same addresses come again and again
_NONE = -1


def in_networks(networks: Sequence[IPv4Network | IPv6Network]) -> Callable[[str], bool]:
    """A test whether a text is an address of one of the networks; text that is no address is outside.

    An IPv4 address written in IPv6 (`::ffff:10.0.0.1`, usual in Windows logs) belongs to both
    kinds.
    """
    spans = [(int(each.network_address), int(each.broadcast_address), each.version) for each in networks]
    of_four = [(first, last) for first, last, version in spans if version == 4]
    of_six = [(first, last) for first, last, version in spans if version == 6]

    @lru_cache(ANSWER_CACHE)
    def accepts(text: str) -> bool:
        four, six = addresses(text)
        for first, last in of_four if four >= 0 else ():
            if first <= four <= last:
                return True
        for first, last in of_six if six >= 0 else ():  # noqa: SIM110 -- like the loop above
            if first <= six <= last:
                return True
        return False

    return accepts


@lru_cache(ADDRESS_CACHE)
def addresses(text: str) -> tuple[int, int]:
    """The IPv4 and the IPv6 address that a text holds, as numbers; -1 for what it does not hold."""
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except (AddressValueError, ValueError):
        return _NONE, _NONE
    if not isinstance(address, IPv6Address):
        return int(address), _NONE
    mapped = address.ipv4_mapped
    return int(mapped) if mapped else _NONE, int(address)

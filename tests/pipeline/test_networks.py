"""Addresses and networks: read in one step, the answers are those of the standard library."""

import random
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from pipeline.networks import LOCAL, NOWHERE, OUTSIDE, Networks, Site

_NETWORKS = (
    "10.0.0.0/8",
    "10.1.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "203.0.113.77/32",
    "fc00::/7",
    "2001:db8::/32",
)
_ODD = (
    "", "a", "1.2.3", "01.2.3.4", "1.2.3.4 ", "1.2.3.4/8", "1.2.3.4\x00", "1.2.3.256", "0.0.0.0", "255.255.255.255",
    "127.1.2.3", "223.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1", "169.254.3.4", "169.255.0.0",
    "203.0.113.76", "203.0.113.77", "203.0.113.78", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0",
    ":", "::", "::1", "::2", "fe80::1", "fe80::1%eth0", "fe80::1%", "febf::1", "fec0::1", "ff02::1", "fdff::", "fe00::",
    "::ffff:127.0.0.1", "2001:db8::", "2001:db9::",
)  # fmt: skip


def _slow_holds(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in ip_network(each) for each in _NETWORKS if ip_network(each).version == address.version)


def _slow_where(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return NOWHERE
    if address.is_multicast or address.is_unspecified or address.is_loopback or text == "255.255.255.255":
        return NOWHERE
    return LOCAL if _slow_holds(text) or address.is_link_local else OUTSIDE


@pytest.mark.parametrize(
    ("fast", "slow"), [(Networks(_NETWORKS).holds, _slow_holds), (Site(_NETWORKS).where, _slow_where)]
)
def test_the_answers_are_those_of_the_standard_library(
    fast: Callable[[str], object], slow: Callable[[str], object]
) -> None:
    dice = random.Random(7)
    texts = [*_ODD, *(str(ip_address(dice.getrandbits(bits))) for bits in (32, 128) for _ in range(500))]
    texts += [f"{first}.{dice.randrange(256)}.1.2" for first in (10, 127, 169, 172, 192, 224) for _ in range(50)]
    assert [(text, fast(text)) for text in texts] == [(text, slow(text)) for text in texts]


def test_no_network_holds_nothing() -> None:
    assert not Networks(()).holds("10.0.0.1")

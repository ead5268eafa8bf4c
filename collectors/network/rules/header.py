"""Addresses and ports of a rule's header enter, tests of a packet's leave.

Source: https://docs.suricata.io/en/latest/rules/intro.html ("Source and destination", "Ports"): `any`, an address, a
network, `[…]` of them, `!` before each, ranges of ports, and variables.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

from collectors.network.rules.grammar import Refused

#: What the variables are where the settings do not say it: Suricata's own (suricata.yaml).
VARIABLES: Mapping[str, str] = {
    "HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12,fc00::/7,fe80::/10]", "EXTERNAL_NET": "!$HOME_NET",
    "HTTP_SERVERS": "$HOME_NET", "SMTP_SERVERS": "$HOME_NET", "SQL_SERVERS": "$HOME_NET", "DNS_SERVERS": "$HOME_NET",
    "TELNET_SERVERS": "$HOME_NET", "AIM_SERVERS": "$EXTERNAL_NET", "DC_SERVERS": "$HOME_NET",
    "DNP3_SERVER": "$HOME_NET", "DNP3_CLIENT": "$HOME_NET", "MODBUS_CLIENT": "$HOME_NET",
    "MODBUS_SERVER": "$HOME_NET", "ENIP_CLIENT": "$HOME_NET", "ENIP_SERVER": "$HOME_NET",
    "HTTP_PORTS": "80", "SHELLCODE_PORTS": "!80", "ORACLE_PORTS": "1521", "SSH_PORTS": "22", "DNP3_PORTS": "20000",
    "MODBUS_PORTS": "502", "FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]", "FTP_PORTS": "21", "GENEVE_PORTS": "6081",
    "VXLAN_PORTS": "4789", "TEREDO_PORTS": "3544",
}  # fmt: skip
#: Lists in lists and variables in variables that are followed.
_MAX_DEPTH = 10
#: Addresses of which each list remembers whether they are in it.
_ADDRESSES = 1_024


class Networks:
    """Networks of both versions of IP by how long their common part is: one look-up for each length that occurs."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._masks: dict[int, list[tuple[int, set[int]]]] = {4: [], 16: []}
        lengths: dict[tuple[int, int], set[int]] = {}
        self.all = tuple(ip_network(text, strict=False) for text in texts)
        for network in self.all:
            size = network.max_prefixlen // 8
            lengths.setdefault((size, int(network.netmask)), set()).add(int(network.network_address))
        for (size, mask), networks in lengths.items():
            self._masks[size].append((mask, networks))

    def __contains__(self, address: bytes) -> bool:
        number = int.from_bytes(address, "big")
        return any(number & mask in networks for mask, networks in self._masks[len(address)])


class Addresses:
    """The addresses of one side of a rule. `only` are the networks it must be in, None where it may be anywhere."""

    def __init__(self, wanted: "_Items", unwanted: "_Items") -> None:
        self.only = Networks(wanted) if wanted is not _ANYTHING else None
        self._not = Networks(unwanted)
        self.any = self.only is None and not self._not.all
        self._known: dict[bytes, bool] = {}

    def __contains__(self, address: bytes) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _ADDRESSES:
                self._known.clear()
            known = self._known[address] = (self.only is None or address in self.only) and address not in self._not
        return known


class Ports:
    """The ports of one side of a rule."""

    def __init__(self, wanted: "_Items", unwanted: "_Items") -> None:
        self.any = wanted is _ANYTHING and not unwanted
        allowed = bytearray(b"\1" * 65_536 if wanted is _ANYTHING else 65_536)
        for items, value in ((wanted if wanted is not _ANYTHING else (), b"\1"), (unwanted, b"\0")):
            for text in items:
                first, last = _range(text)
                allowed[first : last + 1] = value * (last + 1 - first)
        self._allowed = bytes(allowed)

    def __contains__(self, port: int) -> bool:
        return self._allowed[port] == 1


class Header(NamedTuple):
    """Whom a rule is about."""

    source: Addresses
    source_ports: Ports
    destination: Addresses
    destination_ports: Ports
    both_ways: bool

    def fits(self, source: bytes, source_port: int, destination: bytes, destination_port: int) -> bool:
        """Whether a packet is of it."""
        if self._one_way(source, source_port, destination, destination_port):
            return True
        return self.both_ways and self._one_way(destination, destination_port, source, source_port)

    def _one_way(self, source: bytes, source_port: int, destination: bytes, destination_port: int) -> bool:
        return (
            (self.destination_ports.any or destination_port in self.destination_ports)
            and (self.source_ports.any or source_port in self.source_ports)
            and (self.source.any or source in self.source)
            and (self.destination.any or destination in self.destination)
        )


_Items = tuple[str, ...]
#: Stands for "any" among the items that are wanted.
_ANYTHING: _Items = ("any",)


class Variables:
    """The variables of a site; rules that say the same share what it became."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._values = {**VARIABLES, **{name.lstrip("$").upper(): value for name, value in (given or {}).items()}}
        self.addresses = lru_cache(maxsize=None)(self._addresses)
        self.ports = lru_cache(maxsize=None)(self._ports)

    def _addresses(self, text: str) -> Addresses:
        wanted, unwanted = self._resolved(text, 0)
        try:
            return Addresses(wanted, unwanted)
        except ValueError as fault:
            raise Refused("bad_value", "address", value=str(fault)[:80], expected="10.0.0.0/8") from fault

    def _ports(self, text: str) -> Ports:
        return Ports(*self._resolved(text, 0))

    def _resolved(self, text: str, depth: int) -> tuple[_Items, _Items]:
        """Return what is wanted and what is not."""
        if depth > _MAX_DEPTH:
            raise Refused("bad_value", "header", value=text[:60], expected="[…]")
        if text.startswith("!"):
            wanted, unwanted = self._resolved(text[1:], depth + 1)
            if wanted is _ANYTHING and unwanted:  # such as !$EXTERNAL_NET
                return unwanted, ()
            if wanted is _ANYTHING or unwanted:
                raise Refused("bad_value", "header", value=text[:60], expected="!10.0.0.0/8")
            return _ANYTHING, wanted
        if text.lower() == "any":
            return _ANYTHING, ()
        if text.startswith("$"):
            value = self._values.get(text[1:].upper())
            if value is None:
                raise Refused("no_variable", text)
            return self._resolved(value.replace(" ", ""), depth + 1)
        if not text.startswith("["):
            return (text,), ()
        return self._list(text, depth)

    def _list(self, text: str, depth: int) -> tuple[_Items, _Items]:
        if not text.endswith("]"):
            raise Refused("bad_value", "header", value=text[:60], expected="[…]")
        parts = [self._resolved(each, depth + 1) for each in _items(text[1:-1])]
        given = [wanted for wanted, unwanted in parts if not (wanted is _ANYTHING and unwanted)]
        unwanted = tuple(each for _, items in parts for each in items)
        if not given or any(items is _ANYTHING for items in given):
            return _ANYTHING, unwanted
        return tuple(each for items in given for each in items), unwanted


def _items(text: str) -> list[str]:
    """Split a list at its own commas."""
    items, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            items.append(text[start:at])
            start = at + 1
    return [each for each in [*items, text[start:]] if each]


def _range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    try:
        low = int(first) if first else 0
        high = (int(last) if last else 65_535) if colon else low
    except ValueError as fault:
        raise Refused("bad_value", "port", value=text[:40], expected="80, 1024:2048") from fault
    if not 0 <= low <= high <= 65_535:
        raise Refused("bad_value", "port", value=text[:40], expected="0–65535")
    return low, high

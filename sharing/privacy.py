"""Facts enter; what a profile lets leave of them leaves: its fields alone, pseudonyms in place of some values.

A pseudonym is a keyed hash (HMAC-SHA-256, RFC 2104), so the same value is always the same pseudonym for one receiver,
and nobody without the site's key can tell which value it stands for. Each profile has a key of its own.
"""

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from ipaddress import IPv4Address

from sqlalchemy import Connection, select

from pipeline.state.tables import share_profiles
from sharing.facts import Fact
from sharing.profile import Content

#: Addresses that no machine has (240.0.0.0/4, RFC 1112 section 4): nobody can take one for a real one.
_NOBODYS = int(IPv4Address("240.0.0.0"))
_NOBODYS_BITS = 0x0FFF_FFFF
#: Signs of a hash that a pseudonym shows: of 48 bits two of 100,000 machines are alike once in 50,000 sites.
_SIGNS = 12
_PREFIXES = {"machine.name": "machine-", "machine.unit": "unit-", "connection.program": "program-"}


class Filter:
    """Leaves in facts what may leave."""

    def __init__(self, content: Content, key: bytes) -> None:
        self._kinds, self._fields = frozenset(content.kinds), frozenset(content.fields)
        self._pseudonyms, self._key = frozenset(content.pseudonyms), key

    def __call__(self, facts: Iterable[Fact]) -> list[Fact]:
        """Return the facts of the kinds that may leave, each with the fields that may, in order."""
        found = (self._left(fact) for fact in facts if fact.kind in self._kinds)
        return sorted((fact for fact in found if fact.values), key=lambda fact: fact.key)

    def _left(self, fact: Fact) -> Fact:
        values = {name: self._value(name, value) for name, value in fact.values.items() if name in self._fields}
        return Fact(fact.kind, values, fact.alerts)

    def _value(self, name: str, value: str | int) -> str | int:
        return pseudonym(self._key, name, str(value)) if name in self._pseudonyms and value else value


def pseudonym(key: bytes, name: str, value: str) -> str:
    """Return what stands for a value of a field; names that differ by case alone are one."""
    digest = hmac.digest(key, f"{name}\0{value.lower()}".encode(), sha256)
    if name == "machine.ip":
        return str(IPv4Address(_NOBODYS | int.from_bytes(digest[:4], "big") & _NOBODYS_BITS))
    return _PREFIXES[name] + digest.hex()[:_SIGNS]


def key_of(connection: Connection, profile: str) -> bytes:
    """Return the key of a profile's pseudonyms."""
    row = connection.execute(select(share_profiles.c.pseudonym_key).where(share_profiles.c.name == profile)).one()
    return bytes(row.pseudonym_key)


def revealed(key: bytes, pseudonyms: Iterable[str], values: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return which values stand behind pseudonyms, of the values (by field) that this site knows."""
    known = {pseudonym(key, name, value): value for name, all_of_it in values.items() for value in all_of_it}
    return {each: known[each] for each in pseudonyms if each in known}

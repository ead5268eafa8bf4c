"""Contacts with C2 servers and devices enter, counts leave: how many devices of each kind had any, by day, week, month,
family or unit.

A device counts once, whatever addresses it had: each contact belongs to who had the address at that time. Contacts
whose alert was judged a false positive do not count.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import Connection, Engine, select

from pipeline.devices import KINDS
from pipeline.devices.book import Book, Known, Units
from pipeline.event import from_micros
from pipeline.networks import LOCAL, Site
from pipeline.queue import FALSE_POSITIVE, SUPPRESSED
from pipeline.settings import Settings
from pipeline.state.tables import alerts, c2_contacts, device_addresses

#: What counts may be grouped by.
GROUPS = ("kind", "family", "unit", "day", "week", "month", "device")
_HOUR = 3600 * 1_000_000
#: An address that nobody had at a time belongs to who had it at most so long before or after.
_NEAR = 24 * _HOUR
_NOT_COUNTED = (FALSE_POSITIVE, SUPPRESSED)
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Contact:
    """A device spoke with a C2 server, `count` times."""

    time: int
    device: Known
    family: str
    target: str
    unit: str
    count: int
    blocked: bool
    source: str | None = None  # of the alert that said so
    family_vi: str = ""  # where the rule's name stands for a family


@dataclass(slots=True)
class Group:
    """Contacts of a group, and the distinct devices that had them."""

    name: str
    contacts: int = 0
    blocked: int = 0
    first: int = 0
    last: int = 0
    devices: dict[str, Known] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)

    def add(self, contact: Contact) -> None:
        """Count a contact."""
        self.contacts += contact.count
        self.blocked += contact.count if contact.blocked else 0
        self.first = min(self.first or contact.time, contact.time)
        self.last = max(self.last, contact.time)
        self.devices[contact.device.id] = contact.device
        self.families.add(contact.family)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON; `kinds` counts the devices of each kind."""
        kinds = dict.fromkeys(KINDS, 0)
        for device in self.devices.values():
            kinds[device.kind] += 1
        return {
            "group": self.name, "devices": len(self.devices), "contacts": self.contacts, "blocked": self.blocked,
            "kinds": {kind: count for kind, count in kinds.items() if count}, "families": sorted(self.families),
            "first": from_micros(self.first) if self.first else None,
            "last": from_micros(self.last) if self.last else None,
        }  # fmt: skip


def contacts(engine: Engine, settings: Settings, since: int, until: int) -> list[Contact]:
    """Return the contacts of a time (microseconds since 1970), in order, each with its device."""
    site = Site(settings.detectors.behaviours.local_networks)
    units = Units(settings.devices.units)
    columns = c2_contacts.c
    status = alerts.c.status
    query = (
        select(
            c2_contacts,
            alerts.c.document["labels.source"].as_string().label("of_source"),
            alerts.c.document["rule.name"].as_string().label("rule_name"),
            alerts.c.document["rule.name_vi"].as_string().label("rule_name_vi"),
        )
        .outerjoin(alerts, alerts.c.id == columns.alert)
        .where(
            columns.time >= since,
            columns.time < until,
            status.is_(None) | status.not_in(_NOT_COUNTED),
        )
        .order_by(columns.time, columns.alert)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).all()
        book = Book(connection, units)
        holders = _Holders(connection, {address for row in rows for address in (row.source, row.destination)})
    made = ((row, _contact(row, site, book, holders)) for row in rows)
    return [contact for row, contact in made if not (row.lookup and _answers_dns(contact.device))]


def grouped(found: Iterable[Contact], by: str, zone: tzinfo | None = None) -> list[Group]:
    """Return the contacts in groups; those of a time in its order, all others with the most devices first.

    `by` is one of `GROUPS`; `zone` is where days begin, this machine's by default.
    """
    groups: dict[str, Group] = {}
    for contact in found:
        name = _group(contact, by, zone)
        groups.setdefault(name, Group(name)).add(contact)
    if by in ("day", "week", "month"):
        return [groups[name] for name in sorted(groups)]
    return sorted(groups.values(), key=lambda group: (-len(group.devices), -group.contacts, group.name))


def in_all(found: Iterable[Contact]) -> Group:
    """Return all contacts as one group."""
    group = Group("")
    for contact in found:
        group.add(contact)
    return group


def titles_vi(found: Iterable[Contact]) -> dict[str, str]:
    """Return the families that are names of rules, with what these rules are called in Vietnamese."""
    return {each.family: each.family_vi for each in found if each.family_vi}


def devices_of(connection: Connection, book: Book, places: Sequence[tuple[str, str, int]]) -> list[Known]:
    """Return whose each place was: an address of ours or "", a host's name or "", a time; one of both is there."""
    holders = _Holders(connection, {address for address, _, _ in places if address})
    found = (_device(book, holders, *place) for place in places)
    return [device or book.unseen("ip:") for device in found]


def _device(book: Book, holders: "_Holders", address: str, host: str, time: int) -> Known | None:
    if address:
        identifier = book.id_of(holders.of(address, time))
        return book.get(identifier) or book.unseen(identifier)
    if host:
        return book.find(host) or book.unseen(f"name:{host.lower()}")
    return None


class _Holders:
    """Who had an address when."""

    def __init__(self, connection: Connection, addresses: set[str]) -> None:
        self._of: dict[str, list[tuple[int, int, str]]] = {}
        asked = sorted(addresses)
        for start in range(0, len(asked), _PAGE):
            query = (
                select(device_addresses)
                .where(device_addresses.c.address.in_(asked[start : start + _PAGE]))
                .order_by(device_addresses.c.since)
            )
            for row in connection.execute(query):
                self._of.setdefault(row.address, []).append((row.since, row.until, row.device))

    def of(self, address: str, time: int) -> str:
        """Return the id of the device that had an address at a time, or about then."""
        held = self._of.get(address, [])
        at = bisect_right(held, time, key=lambda each: each[0])
        before = held[at - 1] if at else None
        after = held[at] if at < len(held) else None
        if before and (time <= before[1] or (time - before[1] <= _NEAR and not _closer(after, time, before[1]))):
            return before[2]
        if after and after[0] - time <= _NEAR:
            return after[2]
        return f"ip:{address}"


def _closer(after: tuple[int, int, str] | None, time: int, until: int) -> bool:
    return after is not None and after[0] - time < time - until


def _contact(row: Any, site: Site, book: Book, holders: _Holders) -> Contact:
    address = next((each for each in (row.source, row.destination) if site.where(each) == LOCAL), "")
    known = _device(book, holders, address, row.host, row.time) or book.unseen(f"ip:{row.source}")
    return Contact(
        row.time, known, row.family, row.target, known.unit or row.unit, row.count, row.blocked, row.of_source,
        (row.rule_name_vi or "") if row.family == row.rule_name else "",
    )  # fmt: skip


def _answers_dns(device: Known) -> bool:
    """Whether a device asks names for others: what it asks for is not its own contact."""
    return any(hint == "serves" and text.endswith("/53") for hint, text, _ in device.evidence)


def _group(contact: Contact, by: str, zone: tzinfo | None) -> str:
    if by in ("day", "week", "month"):
        moment = datetime.fromtimestamp(contact.time / 1_000_000, UTC).astimezone(zone)
        return moment.strftime({"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}[by])
    values: Mapping[str, str] = {
        "kind": contact.device.kind, "family": contact.family, "unit": contact.unit,
        "device": contact.device.id,
    }  # fmt: skip
    return values[by]


def plain(found: Iterable[Contact]) -> Iterator[dict[str, Any]]:
    """Yield contacts as JSON."""
    for each in found:
        yield {
            "@timestamp": from_micros(each.time), "device": each.device.id, "name": each.device.name,
            "kind": each.device.kind, "address": each.device.address, "unit": each.unit, "family": each.family,
            "target": each.target, "count": each.count, "blocked": each.blocked,
        }  # fmt: skip

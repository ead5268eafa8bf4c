"""Alerts and the inventory enter, counted facts leave: which machine had which malware, which spoke with which server.

A fact is counted once in a period, however many alerts say it, and names them all. Where no source says something,
there is no fact of it: nothing is guessed. What people judged to be false, and what is about an imported recording, is
none.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

from sqlalchemy import Connection, select

from pipeline.bus import is_imported
from pipeline.devices.book import Book, Known, Units
from pipeline.devices.contacts import contact_of
from pipeline.devices.counting import devices_of
from pipeline.event import Event
from pipeline.networks import LOCAL, Site
from pipeline.queue import FALSE_POSITIVE, SUPPRESSED
from pipeline.queue.risk import tactics_of
from pipeline.settings import Settings
from pipeline.state.tables import alerts

MALWARE, CONNECTION, VULNERABILITY, SYSTEM, UPDATE, PROTECTION, ATTACK, DEVICES, INDICATOR = (
    "malware", "connection", "vulnerability", "system", "update", "protection", "attack", "devices", "indicator",
)  # fmt: skip
_MACHINE = ("machine.name", "machine.ip", "machine.kind", "machine.unit")
#: Kinds of facts, each with the fields it may have: what a profile's list of fields is chosen from.
FIELDS: Mapping[str, tuple[str, ...]] = {
    MALWARE: (*_MACHINE, "malware.name", "malware.type", "malware.behavior", "malware.files"),
    CONNECTION: (
        *_MACHINE, "connection.program", "connection.md5", "connection.sha256", "connection.target",
        "connection.family", "connection.count",
    ),
    VULNERABILITY: (*_MACHINE, "vulnerability.name", "machine.os"),
    SYSTEM: (*_MACHINE, "machine.os", "machine.last_update"),
    UPDATE: ("update.missing",),
    PROTECTION: (*_MACHINE, "protection.auto_protect", "protection.firewall"),
    ATTACK: ("attack.kind", "attack.count"),
    DEVICES: ("devices.what", "devices.kind", "devices.count"),
    INDICATOR: (
        "indicator.kind", "indicator.value", "indicator.threat", "indicator.confidence", "indicator.family",
        "indicator.tlp", "indicator.added",
    ),
}  # fmt: skip
#: Fields that may be replaced by pseudonyms: they are about the parties, not about who attacks them.
PSEUDONYMS = ("machine.name", "machine.ip", "machine.unit", "connection.program")
#: Alerts of this many characters of a value are cut: names of malware and paths are shorter.
_LONGEST = 1000
#: Attacks by the first of these tactics that an alert names, the telling ones first.
_ATTACKS = {
    "command-and-control": "c2", "exfiltration": "data", "collection": "data", "impact": "disruption",
    "credential-access": "credentials", "lateral-movement": "intrusion", "privilege-escalation": "intrusion",
    "persistence": "intrusion", "defense-evasion": "intrusion", "execution": "intrusion",
    "initial-access": "entry", "reconnaissance": "probing", "discovery": "probing",
    "resource-development": "probing",
}  # fmt: skip
ATTACK_KINDS = ("malware", "phishing", "web", *dict.fromkeys(_ATTACKS.values()), "other")
_COUNTED = frozenset(("medium", "high", "critical"))
_NOT_COUNTED = (FALSE_POSITIVE, SUPPRESSED)
#: Windows Defender's records of malware found and acted on (Microsoft, "Review event logs and error codes").
_DEFENDER = "microsoft-windows-windows defender"
_DEFENDER_FOUND = frozenset(("1006", "1007", "1008", "1015", "1116", "1117", "1118", "1119"))
#: Words that Windows has not put in place of their numbers say nothing.
_NO_WORD = "%%"
_NAMES = (
    "winlog.event_data.Threat Name", "threat.software.name", "key_value.virus", "cef.extensions.virusName",
    "cef.extensions.cs1", "leef.attributes.malwareName",
)  # fmt: skip
_TYPES = ("winlog.event_data.Category Name", "threat.software.type", "threat.indicator.type")
_BEHAVIOURS = ("winlog.event_data.Action Name", "event.action")
_FILES = ("winlog.event_data.Path", "file.path", "file.name", "key_value.filename", "url.original")
_ANTIVIRUS_CATEGORY = "malware"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is so: its kind, its fields (of `FIELDS`), and the ids of the alerts that say it."""

    kind: str
    values: Mapping[str, str | int]
    alerts: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What it is sorted by: the same facts are always in the same order."""
        return (self.kind, *(f"{name}={self.values.get(name, '')}" for name in FIELDS[self.kind]))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of ours that a fact is about."""

    id: str
    name: str
    ip: str
    kind: str
    unit: str

    @property
    def values(self) -> dict[str, str | int]:
        """Its fields."""
        return {"machine.name": self.name, "machine.ip": self.ip, "machine.kind": self.kind, "machine.unit": self.unit}


@dataclass(slots=True)
class _Malware:
    machine: Machine
    type: str = ""
    behavior: str = ""
    files: set[str] = field(default_factory=set)
    alerts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Contact:
    machine: Machine
    md5: str = ""
    sha256: str = ""
    family: str = ""
    count: int = 0
    alerts: list[str] = field(default_factory=list)


def gather(connection: Connection, settings: Settings, rows: Sequence[Any]) -> list[Fact]:
    """Return the facts of alerts (rows of the queue), in order, each once."""
    counted = [row for row in rows if _counts(row)]
    whose = Machines(connection, settings)
    malware: dict[tuple[str, str], _Malware] = {}
    contacts: dict[tuple[str, str, str], _Contact] = {}
    attacks: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    machines = whose.of_alerts(counted)
    for row in counted:
        alert: Event = row.document
        machine = machines.get(row.id)
        name = malware_of(alert)
        if name and machine is not None:
            _add_malware(malware, machine, name, row)
        if machine is not None and (contact := contact_of(alert)) is not None:
            _add_contact(contacts, machine, contact, row)
        if row.level in _COUNTED:
            attacks[attack_of(alert, name)][row.group_id or row.id].append(row.id)
    return sorted(_made(malware, contacts, attacks), key=lambda fact: fact.key)


def _counts(row: Any) -> bool:
    document = row.document
    return row.status not in _NOT_COUNTED and not str(row.rule_id).startswith("haidang.") and not is_imported(document)


def _made(
    malware: Mapping[tuple[str, str], _Malware],
    contacts: Mapping[tuple[str, str, str], _Contact],
    attacks: Mapping[str, Mapping[str, Sequence[str]]],
) -> Iterator[Fact]:
    for (_, name), found in malware.items():
        of_malware: dict[str, str | int] = {
            "malware.name": name, "malware.type": found.type, "malware.behavior": found.behavior,
            "malware.files": max(1, len(found.files)),
        }  # fmt: skip
        yield Fact(MALWARE, {**found.machine.values, **of_malware}, tuple(sorted(found.alerts)))
    for (_, program, target), contact in contacts.items():
        of_contact: dict[str, str | int] = {
            "connection.program": program, "connection.md5": contact.md5, "connection.sha256": contact.sha256,
            "connection.target": target, "connection.family": contact.family, "connection.count": contact.count,
        }  # fmt: skip
        yield Fact(CONNECTION, {**contact.machine.values, **of_contact}, tuple(sorted(contact.alerts)))
    for kind, groups in attacks.items():
        ids = sorted({identifier for each in groups.values() for identifier in each})
        yield Fact(ATTACK, {"attack.kind": kind, "attack.count": len(groups)}, tuple(ids))
    yield from _devices("malware", [(each.machine, each.alerts) for each in malware.values()])
    yield from _devices("c2", [(each.machine, each.alerts) for each in contacts.values()])


def _devices(what: str, found: Iterable[tuple[Machine, Sequence[str]]]) -> Iterator[Fact]:
    """Yield how many machines of each kind there were, each once."""
    kinds: dict[str, set[str]] = defaultdict(set)
    said: dict[str, set[str]] = defaultdict(set)
    for machine, ids in found:
        kinds[machine.kind].add(machine.id)
        said[machine.kind].update(ids)
    for kind, ids_of in kinds.items():
        values: dict[str, str | int] = {"devices.what": what, "devices.kind": kind, "devices.count": len(ids_of)}
        yield Fact(DEVICES, values, tuple(sorted(said[kind])))


def _add_malware(found: dict[tuple[str, str], _Malware], machine: Machine, name: str, row: Any) -> None:
    event = _evidence(row.document)
    one = found.setdefault((machine.id, name), _Malware(machine))
    one.type = one.type or _first(event, _TYPES)
    one.behavior = one.behavior or _first(event, _BEHAVIOURS) or _first(row.document, ("rule.name_vi", "rule.name"))
    one.files.update(_files(_first(event, _FILES)))
    one.alerts.append(row.id)


def _add_contact(
    found: dict[tuple[str, str, str], _Contact], machine: Machine, contact: Mapping[str, Any], row: Any
) -> None:
    event = _evidence(row.document)
    path = _first(event, ("process.executable", "process.name"))
    program = PureWindowsPath(path).name  # takes both kinds of strokes; the folders may name a person
    one = found.setdefault((machine.id, program, str(contact["target"])), _Contact(machine))
    one.md5 = one.md5 or _first(event, ("process.hash.md5", "file.hash.md5"))
    one.sha256 = one.sha256 or _first(event, ("process.hash.sha256", "file.hash.sha256"))
    one.family = one.family or _first(row.document, ("threat.software.name",))
    one.count += int(contact["count"])
    one.alerts.append(row.id)


def malware_of(alert: Event) -> str:
    """Return the name of the malware that an alert says was found on a machine; "" where it says no such thing."""
    event = _evidence(alert)
    if str(alert.get("rule.id", "")).startswith("indicator.malware"):
        on_host = alert.get("alert.direction") == "host"
        return (_first(alert, ("threat.software.name", "threat.indicator.name"))) if on_host else ""
    categories = event.get("event.category")
    is_scanner = isinstance(categories, list) and _ANTIVIRUS_CATEGORY in categories
    is_defender = (
        str(event.get("winlog.provider_name", "")).lower() == _DEFENDER
        and str(event.get("event.code", "")) in _DEFENDER_FOUND
    )
    if is_scanner or is_defender or "threat.software.name" in event:
        return _first(event, _NAMES)
    return ""


def attack_of(alert: Event, malware: str = "") -> str:
    """Return which kind of attack (`ATTACK_KINDS`) an alert tells of; `malware`: the name of what it found, if any."""
    if malware:
        return "malware"
    tags = {str(tag) for tag in alert.get("tags") or ()}
    if any(tag.startswith("attack.t1566") for tag in tags):
        return "phishing"
    tactics = set(tactics_of(alert))
    kind = next((kind for tactic, kind in _ATTACKS.items() if tactic in tactics), "other")
    if kind in ("entry", "other") and "url.original" in alert:
        return "web"
    return kind


def _files(text: str) -> set[str]:
    """Return the files of a text; Defender names several, each with its kind, and parts within a file."""
    places = (each.strip().partition("->")[0] for each in text.split("; "))
    return {re.sub(r"^\w+:_", "", place).lower() for place in places if place}


def _evidence(alert: Event) -> Event:
    """Return the event that an alert shows, or the alert itself."""
    evidence = alert.get("alert.evidence")
    return evidence[0] if isinstance(evidence, list) and evidence and isinstance(evidence[0], dict) else alert


def _first(event: Event, names: Sequence[str]) -> str:
    for name in names:
        value = event.get(name)
        if isinstance(value, list):
            value = next((each for each in value if isinstance(each, str) and each), None)
        text = str(value).strip() if isinstance(value, str | int) else ""
        if text and not text.startswith(_NO_WORD):
            return text[:_LONGEST]
    return ""


class Machines:
    """Which machine of ours an alert is about, as the inventory knows it."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._site = Site(settings.detectors.behaviours.local_networks)
        self._book = Book(connection, Units(settings.devices.units))

    def named(self, host: str) -> tuple[Machine, str]:
        """Return the machine of a host's name, and its operating system as far as it is known."""
        device = self._book.find(host) or self._book.unseen(f"name:{host.lower()}")
        return _machine(device, "", host, ""), device.os

    def of_alerts(self, rows: Sequence[Any]) -> dict[str, Machine]:
        """Return the machine of each alert (by its id) that is about one."""
        places = []
        for row in rows:
            document = row.document
            addresses = (_first(document, (name,)) for name in ("source.ip", "destination.ip", "host.ip"))
            ours = next((each for each in addresses if each and self._site.where(each) == LOCAL), "")
            host = _first(document, ("host.name",))
            if ours or host:
                places.append((row.id, ours, host, row.time))
        found = devices_of(self._connection, self._book, [(ours, host, time) for _, ours, host, time in places])
        units = {row.id: _first(row.document, ("organization.id",)) for row in rows}
        return {
            identifier: _machine(device, ours, host, units[identifier])
            for (identifier, ours, host, _), device in zip(places, found, strict=True)
        }


def _machine(device: Known, address: str, host: str, unit: str) -> Machine:
    """Return a machine with the address that it had then: its present one may be another."""
    then = address or device.address
    return Machine(device.id, host or device.name or then, then, device.kind, device.unit or unit)


def rows_of(connection: Connection, ids: Sequence[str]) -> list[Any]:
    """Return alerts by their ids, in the order of time."""
    found: list[Any] = []
    for start in range(0, len(ids), _PAGE):
        found += connection.execute(select(alerts).where(alerts.c.id.in_(ids[start : start + _PAGE]))).all()
    return sorted(found, key=lambda row: (row.time, row.id))


def counted(facts: Iterable[Fact]) -> dict[str, int]:
    """Return how many facts of each kind there are."""
    return dict(sorted(Counter(fact.kind for fact in facts).items()))

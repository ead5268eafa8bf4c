"""Counted facts (`sharing.facts`) enter, the flat events that STIX objects are made of leave.

A fact tells what was so within a period; the moment of its message stands for when.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

from pipeline.event import format_time
from sharing.facts import CONNECTION, FIELDS, INDICATOR, MALWARE, Fact
from sharing.stix.building import Site, objects_of
from sharing.stix.ids import canonical

#: What each field of a fact is called in an event, by kind of fact.
_NAMES: Mapping[str, Mapping[str, str]] = {
    MALWARE: {
        "machine.name": "host.name", "machine.ip": "host.ip", "malware.name": "threat.software.name",
        "malware.behavior": "rule.name", "malware.files": "alert.count",
    },
    CONNECTION: {
        "machine.name": "host.name", "machine.ip": "source.ip", "connection.program": "process.name",
        "connection.md5": "process.hash.md5", "connection.sha256": "process.hash.sha256",
        "connection.target": "threat.indicator.name", "connection.family": "threat.software.name",
        "connection.count": "alert.count",
    },
}  # fmt: skip
#: Kinds of facts that STIX has a place for: malware that was found, servers that were spoken with, indicators by name.
KINDS = (*_NAMES, INDICATOR)


def events(facts: Iterable[Fact], moment: datetime) -> Iterator[dict[str, Any]]:
    """Yield an event for each fact that is of alerts; its id is made of what the fact says and of these alerts."""
    when = format_time(moment)
    for fact in facts:
        if fact.kind not in _NAMES:
            continue
        said = {_NAMES[fact.kind][name]: value for name, value in fact.values.items() if name in _NAMES[fact.kind]}
        key = canonical([fact.kind, dict(fact.values), list(fact.alerts)])
        known = {name: value for name, value in said.items() if value not in ("", 0)}
        yield {**known, "@timestamp": when, "event.id": blake2b(key, digest_size=16).hexdigest()}


def envelope_of_facts(site: Site, facts: Iterable[Fact], tlp: str, moment: datetime) -> bytes:
    """Return a TAXII envelope of facts, of which only what may leave is still there (`sharing.privacy`).

    Raises:
        HaidangError: `tlp` is none.
    """
    given = list(facts)
    allowed = {name for names in _NAMES.values() for name in names.values()} | {"@timestamp", *FIELDS[INDICATOR]}
    made = objects_of(site, events(given, moment), indicators(given), (), allowed, tlp)
    return canonical({"objects": made.objects})


def indicators(facts: Iterable[Fact]) -> Iterator[dict[str, Any]]:
    """Yield indicators as `building.py` reads them; without its value there is none."""
    for fact in facts:
        if fact.kind == INDICATOR and fact.values.get("indicator.value"):
            yield {name.removeprefix("indicator."): value for name, value in fact.values.items()}

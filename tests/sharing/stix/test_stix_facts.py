"""Counted facts, as other profiles send them, as STIX."""

from datetime import UTC, datetime

import orjson
from stix2validator import ValidationOptions, validate_instance

from sharing.facts import ATTACK, CONNECTION, MALWARE, Fact
from sharing.stix.facts import envelope_of_facts
from tests.sharing.stix.stix_samples import EVIL, SITE

_MACHINE = {
    "machine.name": "machine-3f9a2c1b77d0",
    "machine.ip": "240.1.2.3",
    "machine.kind": "computer",
    "machine.unit": "",
}
FACTS = (
    Fact(MALWARE, {**_MACHINE, "malware.name": "Trojan:Win32/Emotet", "malware.type": "", "malware.behavior": "Quarantine",
                   "malware.files": 3}, ("a1", "a2")),
    Fact(CONNECTION, {**_MACHINE, "connection.program": "x.exe", "connection.md5": "", "connection.sha256": EVIL,
                      "connection.target": "c2.evil.example", "connection.family": "Emotet", "connection.count": 12}, ("b1",)),
    Fact(ATTACK, {"attack.kind": "c2", "attack.count": 4}, ("b1",)),
)  # fmt: skip
MOMENT = datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)


def test_malware_and_contacts_are_sightings_with_their_counts() -> None:
    envelope = orjson.loads(envelope_of_facts(SITE, FACTS, "amber", MOMENT))
    bundle = {"type": "bundle", "id": "bundle--d6e3c0b4-f916-4d15-a01f-e3761c5f48ac", **envelope}
    assert validate_instance(bundle, ValidationOptions(version="2.1", enforce_refs=True)).is_valid
    named = {each["id"]: each for each in bundle["objects"]}
    sightings = [each for each in bundle["objects"] if each["type"] == "sighting"]
    found = {named[each["sighting_of_ref"]]["name"]: each for each in sightings}
    assert {name: each["count"] for name, each in found.items()} == {"Trojan:Win32/Emotet": 3, "c2.evil.example": 12}
    for each in sightings:
        assert named[each["where_sighted_refs"][0]]["name"] == _MACHINE["machine.name"]
        assert each["first_seen"] == "2026-11-30T01:02:03.000Z"
    (file,) = (each for each in bundle["objects"] if each["type"] == "file")
    assert (file["name"], file["hashes"]) == ("x.exe", {"SHA-256": EVIL})


def test_the_same_facts_at_the_same_moment_are_the_same_bytes() -> None:
    assert envelope_of_facts(SITE, FACTS, "amber", MOMENT) == envelope_of_facts(SITE, list(FACTS), "amber", MOMENT)


def test_fields_that_were_taken_out_before_are_nowhere() -> None:
    bare = Fact(CONNECTION, {"connection.target": "c2.evil.example", "connection.count": 12}, ("b1",))
    data = envelope_of_facts(SITE, [bare], "amber", MOMENT).decode()
    assert "machine" not in data and "240.1.2.3" not in data and "c2.evil.example" in data

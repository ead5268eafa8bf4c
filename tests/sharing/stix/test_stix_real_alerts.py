"""Alerts that the detectors raise on recordings of others' attacks, as STIX and for MISP."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from stix2validator import ValidationOptions, validate_instance

from detectors.alerts import alert
from detectors.indicators.alerting import alerts_of
from detectors.indicators.allow import Allow
from detectors.indicators.index import Few
from detectors.indicators.indicator import Indicator
from detectors.indicators.matcher import Matcher
from detectors.sigma import RuleSet
from pipeline.event import Event, event_id
from pipeline.networks import Site as Networks
from pipeline.settings import Behaviours
from pipeline.settings.sharing_taxii import Taxii
from sharing.misp import events_of
from sharing.stix import FIELDS, bundle_of
from sharing.stix.checking import fault_of
from tests.detectors.sigma.recordings import windows_events
from tests.sharing.stix.stix_samples import SITE

RULES = Path(__file__).parents[3] / "rules" / "windows"


@pytest.fixture(scope="module")
def alerts(shared_data: Path) -> list[Event]:
    """What our rules for Windows say of recordings of attacks, and alerts on hashes of programs in them."""
    rules = RuleSet.load(RULES)
    made: list[Event] = []
    hashes: dict[str, Event] = {}
    for path in sorted((shared_data / "evtx" / "EVTX-ATTACK-SAMPLES").rglob("*.evtx"))[::3]:
        for number, event in enumerate(windows_events(path)):
            event |= {"event.id": event_id("recorded", path.name, number)}
            made += [alert(rule, [event], []) for rule in rules.evaluate(event)]
            if isinstance(event.get("process.hash.sha256"), str):
                hashes.setdefault(event["process.hash.sha256"], event)
    matcher = Matcher(
        [Few([Indicator("sha256", value.lower(), "list", "malware", 90, family="X") for value in list(hashes)[:20]])],
        Allow(()),
    )
    networks = Networks(Behaviours().local_networks)
    for event in hashes.values():
        made += alerts_of(event, matcher.hits(event), networks)
    assert len(made) > 20 and len({each["rule.id"] for each in made}) > 8, len(made)
    return made


def test_all_of_them_are_stix_with_what_was_seen(alerts: list[Event]) -> None:
    bundle = orjson.loads(bundle_of(SITE, alerts, [], [], FIELDS, "amber"))
    result = validate_instance(bundle, ValidationOptions(version="2.1", enforce_refs=True))
    assert result.is_valid, [str(error) for error in result.errors][:5]
    kinds = {each["type"] for each in bundle["objects"]}
    assert {
        "process",
        "file",
        "sighting",
        "observed-data",
        "attack-pattern",
        "indicator",
        "malware",
        "user-account",
    } <= kinds
    assert [fault_of(each) for each in bundle["objects"]] == [None] * len(bundle["objects"])


def test_hosts_users_and_command_lines_stay_here_by_default(alerts: list[Event]) -> None:
    fields = Taxii().fields
    public = " ".join([*SITE, *(each["rule.name"] for each in alerts)]).lower()
    for data in (bundle_of(SITE, alerts, [], [], fields, "amber"), events_of(SITE, alerts, [], [], fields, "amber")):
        text = data.decode().lower()
        private = {str(value).lower() for each in alerts for value in _private({**each["alert.evidence"][-1], **each})}
        private = {value for value in private if value not in public}
        assert len(private) > 20
        assert [value for value in sorted(private) if value in text] == []


def _private(event: dict[str, Any]) -> list[str]:
    names = (
        "host.name",
        "user.name",
        "user.domain",
        "process.command_line",
        "process.executable",
        "source.ip",
        "file.path",
    )
    return [event[name] for name in names if isinstance(event.get(name), str) and len(event[name]) > 5]


def test_misp_takes_all_of_them(alerts: list[Event]) -> None:
    schema = orjson.loads((files("pymisp") / "data" / "schema-lax.json").read_bytes())
    for event in orjson.loads(events_of(SITE, alerts, [], [], FIELDS, "amber"))["response"]:
        jsonschema.validate(event, schema)

"""Events for MISP: its own library takes them, they are as its schema wants them, and what left comes back as the same."""

from importlib.resources import files
from typing import Any

import jsonschema
import orjson
import pytest
from pymisp import MISPEvent

from detectors.indicators import misp as reading
from detectors.indicators.indicator import Indicator
from detectors.indicators.listed import Defaults
from pipeline.messages import HaidangError
from sharing.misp import events_of
from sharing.stix import FIELDS
from tests.sharing.stix.stix_samples import CASE, CONTACT, EVIL, INDICATOR, RULE, SITE

SCHEMA = orjson.loads((files("pymisp") / "data" / "schema-lax.json").read_bytes())
TYPES = orjson.loads((files("pymisp") / "data" / "describeTypes.json").read_bytes())["result"]
EVERYTHING = ([CONTACT, RULE, {**CONTACT, "@timestamp": "2026-12-01T00:00:00Z"}], [INDICATOR], [CASE])


def events(allowed: Any = FIELDS, tlp: str = "amber", what: Any = EVERYTHING) -> list[dict[str, Any]]:
    return [each["Event"] for each in orjson.loads(events_of(SITE, *what, allowed, tlp))["response"]]


def test_misps_own_library_takes_all_of_it() -> None:
    found = events()
    assert len(found) == 1 + 2 + 1, "indicators, two days of alerts, a case"
    for each in found:
        jsonschema.validate({"Event": each}, SCHEMA)
        event = MISPEvent(strict_validation=False)
        event.from_dict(**each)
        assert str(event.uuid) == each["uuid"] and [tag.name for tag in event.tags] == ["tlp:amber"]
        assert len(event.attributes) == len(each["Attribute"])
        for attribute in each["Attribute"]:
            assert attribute["type"] in TYPES["category_type_mappings"][attribute["category"]]


def test_what_is_to_be_detected_is_marked_so() -> None:
    of_indicators, of_day = events()[:2]
    assert [(each["type"], each["value"], each["to_ids"]) for each in of_indicators["Attribute"]] == [
        ("domain", "evil.example", True)
    ]
    marked = {each["value"]: each["to_ids"] for each in of_day["Attribute"]}
    assert marked == {
        "45.9.148.3": True, "10.1.2.3": False, "C2.Evil.Example.": False, "http://45.9.148.3/a?b=1": False, EVIL: False, "b" * 32: False,
    } | {"45.9.148.3": True}  # fmt: skip
    case = events()[3]
    assert (case["threat_level_id"], case["analysis"], case["info"]) == ("1", "2", f"{SITE.name}: {CASE['title']}")
    assert {each["value"] for each in case["Attribute"]} == {"45.9.148.3", EVIL, "http://evil.example/x"}, (
        "no host, no user, nothing red"
    )


def test_indicators_that_left_come_back() -> None:
    found = [
        each
        for each in reading.read(orjson.loads(events_of(SITE, [], [INDICATOR], [], FIELDS, "green")), Defaults("x"), "")
        if isinstance(each, Indicator)
    ]
    assert {(each.kind, each.value, each.family, each.tlp) for each in found} == {
        ("domain", "evil.example", "Emotet", "green")
    }


def test_the_same_facts_are_the_same_bytes() -> None:
    again = orjson.loads(orjson.dumps(EVERYTHING))
    assert events_of(SITE, *EVERYTHING, FIELDS, "amber") == events_of(SITE, *again, FIELDS, "amber")
    assert events()[0]["uuid"] != events(tlp="green")[0]["uuid"]


@pytest.mark.parametrize("field", sorted(FIELDS - {"@timestamp", "case.created", "case.changed"}))
def test_a_field_that_may_not_leave_is_in_no_event(field: str) -> None:
    telling = {
        "threat.software.name": (), "rule.name": ("Liên lạc",), "process.hash.sha256": (), "source.ip": ("10.1.2.3",),
        "file.hash.md5": ("b" * 32,), "dns.question.name": ("C2.Evil",), "url.full": ("a?b=1",), "indicator.value": ("evil.example\"",),
        "case.title": ("kế toán",), "case.observables": ("evil.example/x",), "host.name": ("pc-ke-toan",), "user.name": ("nguyenvana",),
    }  # fmt: skip
    data = events_of(SITE, *EVERYTHING, FIELDS - {field}, "amber").decode()
    assert not any(
        text in data
        for text in (*telling.get(field, ()), "bí mật", "lý do nội bộ", "nội bộ", "secret.example", "10.1.2.9")
    )
    alone = events_of(SITE, *EVERYTHING, {"@timestamp", "case.created", "case.changed"}, "amber").decode()
    assert not any(text in alone for texts in telling.values() for text in texts)
    assert "incident" not in alone  # a case of which nothing may leave is no event


def test_what_is_for_fewer_people_is_left_out() -> None:
    red = {**CONTACT, "threat.indicator.marking.tlp": "RED"}
    assert events(what=([red], [{**INDICATOR, "tlp": "red"}], [{**CASE, "tlp": "red"}])) == []
    with pytest.raises(HaidangError, match="level"):
        events(tlp="purple")
    with pytest.raises(HaidangError, match="@timestamp"):
        events(FIELDS - {"@timestamp"})

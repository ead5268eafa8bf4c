"""Alerts, indicators and cases as STIX 2.1: OASIS's validator accepts all of it, nothing leaves that may not, and the
same facts are the same bytes."""

import itertools
from typing import Any

import orjson
import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_instance

from detectors.indicators import stix as reading
from detectors.indicators.indicator import KINDS, Indicator
from detectors.indicators.listed import Defaults
from pipeline.messages import HaidangError
from sharing.stix import FIELDS, Made, bundle_of, objects_of
from sharing.stix.checking import fault_of
from sharing.stix.marking import LEVELS, is_stricter, level_of, marking, normal
from sharing.stix.patterns import pattern_of
from tests.sharing.stix.stix_samples import CASE, CONTACT, EVIL, INDICATOR, RULE, SITE

#: What the validator says of what it would rather have: random UUIDs in ids (ours are of what they name, as section 2.9
#: allows), a hash beside each URL, and a description beside each name.
_RATHER = frozenset(("103", "302", "303"))
EVERYTHING = ([CONTACT, RULE], [INDICATOR], [CASE, {**CASE, "id": 13, "status": "open"}])


def made(allowed: Any = FIELDS, tlp: str = "amber", what: Any = EVERYTHING) -> Made:
    return objects_of(SITE, *what, allowed, tlp)


def by_type(objects: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    ordered = sorted(objects, key=lambda each: str(each["type"]))
    return {kind: list(found) for kind, found in itertools.groupby(ordered, lambda each: str(each["type"]))}


def judged(objects: list[dict[str, Any]]) -> tuple[bool, set[str]]:
    """Return what OASIS's validator says: whether it is STIX, and the numbers of what it would rather have."""
    bundle = {"type": "bundle", "id": "bundle--d6e3c0b4-f916-4d15-a01f-e3761c5f48ac", "objects": objects}
    result = validate_instance(bundle, ValidationOptions(version="2.1", enforce_refs=True))
    assert not result.errors, result.errors
    return bool(result.is_valid), {str(warning).partition("{")[2][:3] for warning in result.warnings}


@pytest.mark.parametrize("tlp", LEVELS)
def test_the_validator_of_oasis_accepts_all_of_it(tlp: str) -> None:
    objects = made(tlp=tlp).objects
    valid, rather = judged(objects)
    assert valid and rather <= _RATHER
    assert [fault_of(each) for each in objects] == [None] * len(objects)
    for each in objects:
        stix2.parse(each, allow_custom=False)


def test_everything_that_is_asked_for_is_there() -> None:
    kinds = by_type(made().objects)
    assert set(kinds) == {
        "attack-pattern", "directory", "domain-name", "file", "grouping", "identity", "indicator", "ipv4-addr",
        "malware", "marking-definition", "network-traffic", "observed-data", "process", "relationship", "report",
        "sighting", "url", "user-account",
    }  # fmt: skip
    sightings = {each["sighting_of_ref"].partition("--")[0]: each for each in kinds["sighting"]}
    of_indicator = sightings["indicator"]
    assert (of_indicator["count"], of_indicator["confidence"]) == (3, 85)
    assert of_indicator["first_seen"] == of_indicator["last_seen"] == "2026-11-30T01:02:03.123Z"
    named = {each["id"]: each for each in made().objects}
    assert named[of_indicator["sighting_of_ref"]]["pattern"] == "[ipv4-addr:value = '45.9.148.3']"
    assert named[of_indicator["observed_data_refs"][0]]["number_observed"] == 3
    assert named[of_indicator["where_sighted_refs"][0]]["name"] == "pc-ke-toan-7"
    assert {each["name"] for each in kinds["attack-pattern"]} == {"T1059.001", "T1027"}
    assert {each["relationship_type"] for each in kinds["relationship"]} == {"indicates"}
    assert kinds["report"][0]["name"] == CASE["title"] and kinds["grouping"][0]["context"] == "suspicious-activity"


def test_ids_of_observables_are_those_that_stix_gives_them() -> None:
    """Section 2.9: OASIS's own library, which makes the ids of what has properties that make one, has the same."""
    checked = 0
    for each in made().objects:
        if each["type"] in ("ipv4-addr", "domain-name", "url", "directory", "file", "network-traffic", "user-account"):
            plain = {name: value for name, value in each.items() if name not in ("id", "spec_version")}
            assert stix2.parse(plain, version="2.1").id == each["id"]
            checked += 1
    assert checked >= 9


def test_the_same_facts_are_the_same_bytes() -> None:
    first = bundle_of(SITE, *EVERYTHING, FIELDS, "amber")
    again = bundle_of(SITE, *orjson.loads(orjson.dumps(EVERYTHING)), sorted(FIELDS), "amber")
    assert first == again == orjson.dumps(orjson.loads(first), option=orjson.OPT_SORT_KEYS)
    other = bundle_of(SITE, [{**CONTACT, "alert.count": 4}], [], [], FIELDS, "amber")
    assert orjson.loads(other)["id"] != orjson.loads(first)["id"]


def test_no_two_objects_of_one_id_and_version_differ_whatever_is_told_with_them() -> None:
    """An indicator in an alert, in a list, and in a list with more known of it; other levels; other alerts."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    asked = [
        made(tlp=tlp, what=what)
        for tlp in LEVELS
        for what in (
            EVERYTHING, ([CONTACT], [], []), ([{**CONTACT, "event.id": "1", "rule.id": "indicator.malware"}], [], []),
            ([], [{**INDICATOR, "value": "45.9.148.3", "kind": "address"}], []),
            ([], [{**INDICATOR, "value": "45.9.148.3", "kind": "address", "added": 1_791_000_000.0, "confidence": 5}], []),
            ([{**CONTACT, "event.id": "2", "threat.software.name": "EMOTET", "host.name": "PC-KE-TOAN-7"}], [], []),
        )
    ]  # fmt: skip
    for each in (one for found in asked for one in found.objects):
        if "modified" in each:
            assert seen.setdefault((each["id"], each["modified"]), each) == each
    assert len(seen) > 50
    created: dict[str, set[str]] = {}
    for each in seen.values():
        created.setdefault(each["id"], set()).add(each["created"])
    assert all(len(times) == 1 for times in created.values()), "an object is created once"


#: Texts of the samples, and the fields that have them: without any of these, the text may be nowhere.
_TELLING = {
    "pc-ke-toan-7": {"host.name"}, "mậtkhẩu123": {"process.command_line"}, "10.1.2.3": {"source.ip"},
    "nguyenvana": {"user.name", "process.executable", "file.path", "case.observables"}, "BENTHANH": {"user.domain"},
    ":50123": {"source.port"}, ":4711": {"process.pid"}, "c2.evil.example": {"dns.question.name"},
    "a?b=1": {"url.full"}, "b" * 32: {"file.hash.md5"}, EVIL: {"process.hash.sha256", "case.observables"},
    "Liên lạc": {"rule.name"}, "level:high": {"rule.level"}, "rule:indicator.c2": {"rule.id"}, "T1059": {"tags"},
    "Emotet": {"threat.software.name", "indicator.family"}, "'evil.example'": {"indicator.value"},
    "cert.example": {"indicator.reference"}, "2027-12-2": {"indicator.expires"}, "live": {"indicator.feed"},
    "kế toán": {"case.title"}, "Đã xử lý": {"case.summary"}, "level:critical": {"case.level"},
    "verdict:true_positive": {"case.verdict"}, "evil.example/x": {"case.observables"},
    '"confidence":85': {"threat.indicator.confidence"}, '"confidence":80': {"indicator.confidence"},
    '"count":3': {"alert.count"},
}  # fmt: skip
#: Fields that nothing can be said without, and what is in fields that no list of fields can name.
_NEEDED = {"@timestamp", "case.created", "case.changed"}
_NEVER = ("bí mật", "ghi chú nội bộ", "lý do nội bộ", "10.1.2.9", "secret.example")


@settings(deadline=None)  # the validator takes its time
@given(allowed=st.sets(st.sampled_from(sorted(FIELDS))))
def test_a_field_that_may_not_leave_is_in_no_object(allowed: set[str]) -> None:
    data = orjson.dumps(made(allowed | _NEEDED).objects).decode()
    assert [text for text, fields in _TELLING.items() if text in data and not fields & allowed] == []
    assert not any(text in data for text in _NEVER)
    assert judged(orjson.loads(data))[0]


def test_every_text_that_is_looked_for_leaves_where_it_may() -> None:
    """Without this, the test above could not fail."""
    data = orjson.dumps(made(FIELDS).objects).decode()
    assert [text for text in _TELLING if text not in data] == []


def test_without_any_field_only_who_says_it_is_said() -> None:
    found = made(_NEEDED)
    assert set(by_type(found.objects)) == {"identity", "marking-definition"}
    assert found.empty == len(EVERYTHING[2]) > 0


def test_a_case_of_which_only_its_title_may_leave_is_told_without_observables() -> None:
    objects = made(_NEEDED | {"case.title"}).objects
    assert all(each["object_refs"] == [objects[0]["id"]] for each in by_type(objects)["grouping"])


@pytest.mark.parametrize(("what", "field"), [(0, "@timestamp"), (2, "case.created"), (2, "case.changed")])
def test_what_cannot_be_told_is_refused_with_the_field_that_it_needs(what: int, field: str) -> None:
    given = tuple(each if number == what else [] for number, each in enumerate(EVERYTHING))
    with pytest.raises(HaidangError, match=field):
        made(FIELDS - {field}, what=given)
    with pytest.raises(HaidangError, match="level"):
        made(tlp="TLP:AMBER")


def test_what_is_for_fewer_people_is_left_out_and_counted() -> None:
    red = {**CONTACT, "threat.indicator.marking.tlp": "RED"}
    strict = ([red], [{**INDICATOR, "tlp": "amber+strict"}], [{**CASE, "tlp": "red"}])
    found = made(what=strict)
    assert (found.left_out, {each["type"] for each in found.objects}) == (3, {"identity", "marking-definition"})
    for_all = made(tlp="red", what=strict)
    assert for_all.left_out == 0 and {"indicator", "sighting", "report"} <= set(by_type(for_all.objects))
    observables = made(tlp="green", what=([], [], [CASE]))
    assert observables.left_out == 5 and set(by_type(observables.objects)) >= {"url", "report"}


def test_each_object_says_who_may_know_it() -> None:
    for tlp in LEVELS:
        for each in made(tlp=tlp).objects:
            if each["type"] != "marking-definition" and each["name" if "name" in each else "type"] != SITE.name:
                assert level_of(each) == tlp, each
        assert level_of({"object_marking_refs": [marking(tlp)["id"]]}) == tlp


def test_levels_are_in_order_and_old_names_are_understood() -> None:
    assert [is_stricter(level, "amber") for level in LEVELS] == [False, False, False, True, True]
    assert [normal(text) for text in ("WHITE", "TLP:GREEN", " amber+strict ", "purple", "")] == [
        "clear", "green", "amber+strict", "", "",
    ]  # fmt: skip
    assert level_of({"object_marking_refs": ["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]}) == "red"


@pytest.mark.parametrize(
    ("kind", "value"),
    [("address", "45.9.148.3"), ("address", "2001:db8::9"), ("network", "45.9.0.0/16"), ("domain", "evil.example.com"),
     ("host", "pc.evil.example.com"), ("url", "evil.example.com/a'b\\c"), ("email", "a@evil.example.com"), ("md5", "c" * 32),
     ("sha1", "c" * 40), ("sha256", EVIL), ("certificate", "d" * 40), ("certificate", "d" * 64)],
)  # fmt: skip
def test_indicators_that_left_come_back_as_the_same(kind: str, value: str) -> None:
    """What we send is read by what reads others' STIX here; patterns of certificates are nobody's there."""
    given = {**Indicator(kind, value, "live", "c2", 80, 0, "Emotet", "", "")._asdict(), "added": 1_790_000_000.0}
    bundle = orjson.loads(bundle_of(SITE, [], [given], [], FIELDS, "green"))
    assert judged(bundle["objects"])[0]
    found = [each for each in reading.read(bundle, Defaults("x", "suspicious", 50), "") if isinstance(each, Indicator)]
    if kind == "certificate":
        return
    back = {(each.kind, each.value) for each in found}
    expected = {"host": "domain"}.get(kind, kind)
    wanted = "address" if value == "2001:db8::9" else expected
    if value != "2001:db8::9":  # an address for documentation, which nobody may look for
        assert back == {(wanted, value)}
        assert {(each.family, each.confidence, each.tlp) for each in found} == {("Emotet", 80, "green")}


def test_every_kind_of_indicator_has_a_pattern_or_is_known_to_have_none() -> None:
    without = {kind for kind in KINDS if not pattern_of(kind, "d" * 64 if kind == "certificate" else "x")}
    assert without == {"ja3", "ja4"}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)),
        st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.lists(st.text()), st.booleans(),
                  st.sampled_from(["1.2.3.4", "::1%eth0", "a.b", "http://[x", "C:\\", "/", "\\\\x\\y", "T1", "attack.t", "a" * 64])),
        max_size=30,
    )
)  # fmt: skip
def test_whatever_an_alert_has_what_leaves_is_stix(alert: dict[str, Any]) -> None:
    given = {**alert, "@timestamp": "2026-01-01T00:00:00Z"}
    objects = made(what=([given], [], [])).objects
    assert judged(objects)[0]
    assert [fault_of(each) for each in objects] == [None] * len(objects)

"""Our quick look at STIX says the same as OASIS's validator: of examples of every type, as they are and broken in every
way that we could think of."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import stix2.v21
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_instance

from pipeline.messages import LANGUAGES, say, speaking
from sharing.stix import FIELDS, objects_of
from sharing.stix.checking import _OBSERVABLES, _TYPES, MAX_DEPTH, fault_of, is_deeper
from tests.sharing.stix.stix_samples import CASE, CONTACT, INDICATOR, RULE, SITE

_TIME, _LATER = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.500Z"
_MARK = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"
#: A value of each kind of property that is as it should be.
_VALUES: dict[str, Any] = {
    "text": "x", "time": _LATER, "bool": True, "number": 1.5, "whole": 7, "count": 7, "percent": 50, "port": 443,
    "map": {"abc": {"abcd": 1}}, "hashes": {"MD5": "a" * 32}, "opinion": "agree", "latitude": 10.5, "longitude": 106.5, "hex": "ab01", "base64": "QUJD",
    "external": {"source_name": "x", "description": "y"}, "phase": {"kill_chain_name": "x", "phase_name": "y"},
    "granular": {"selectors": ["created"], "marking_ref": _MARK},
}  # fmt: skip
#: Where a value must say more than its kind.
_NAMED: dict[tuple[str, str], Any] = {
    ("indicator", "pattern"): "[ipv4-addr:value = '1.2.3.4']", ("indicator", "pattern_type"): "stix", ("indicator", "valid_from"): _TIME, ("relationship", "start_time"): _TIME,
    ("software", "languages"): ["en"], ("software", "swid"): None,
    ("observed-data", "objects"): None, ("observed-data", "object_refs"): ["ipv4-addr--00000000-0000-4000-8000-000000000001"],
    ("ipv4-addr", "value"): "1.2.3.4", ("ipv6-addr", "value"): "2001:db8::1", ("mac-addr", "value"): "d2:fb:49:24:37:18",
    ("domain-name", "value"): "example.com", ("url", "value"): "http://example.com/", ("email-addr", "value"): "a@example.com",
    ("email-message", "is_multipart"): False, ("email-message", "body_multipart"): None, ("email-message", "additional_header_fields"): None,
    ("network-traffic", "protocols"): ["tcp"], ("network-traffic", "end"): None, ("network-traffic", "is_active"): None,
    ("artifact", "url"): None, ("artifact", "mime_type"): "text/plain", ("artifact", "encryption_algorithm"): "AES-256-GCM",
    ("malware", "is_family"): False,
    ("location", "latitude"): 10.5, ("location", "longitude"): 106.5, ("location", "precision"): 5.0, ("location", "country"): "vn",
    ("language-content", "contents"): {"vi": {"name": "x"}}, ("language-content", "object_ref"): "campaign--00000000-0000-4000-8000-000000000001",
    ("windows-registry-key", "values"): [{"name": "x", "data": "y", "data_type": "REG_SZ"}],
    ("extension-definition", "extension_types"): ["property-extension"], ("extension-definition", "version"): "1.0.0",
    ("extension-definition", "extension_properties"): None, ("extension-definition", "labels"): None,
    ("relationship", "relationship_type"): "related-to", ("marking-definition", "definition"): {"statement": "x"},
    ("marking-definition", "definition_type"): "statement", ("marking-definition", "name"): "x",
    ("process", "environment_variables"): {"PATH": "/bin"}, ("x509-certificate", "x509_v3_extensions"): {"issuer_alternative_name": "x"},
    ("software", "cpe"): "cpe:2.3:a:microsoft:word:2000:*:*:*:*:*:*:*", ("network-traffic", "ipfix"): {"minimumIpTotalLength": 32},
    ("file", "mime_type"): "text/plain", ("file", "name_enc"): "UTF-8", ("directory", "path_enc"): "UTF-8", ("directory", "path"): "/tmp",
    ("artifact", "hashes"): {"MD5": "a" * 32}, ("sighting", "sighting_of_ref"): "indicator--00000000-0000-4000-8000-000000000001",
    ("malware-analysis", "product"): "x", ("malware-analysis", "result"): "benign",
}  # fmt: skip
_FALLBACK = "campaign"


def example(kind: str, optional: bool) -> dict[str, Any]:
    """Return an object of a type with all that it must have, or also with all that it may have."""
    is_observable = kind in _OBSERVABLES
    made: dict[str, Any] = {
        "type": kind, "id": f"{kind}--{_uuid(1)}", "spec_version": "2.1",
        **({} if is_observable else {"created": _TIME, "modified": _LATER}),
    }  # fmt: skip
    if kind == "marking-definition":
        del made["modified"]
    words = (_OBSERVABLES.get(kind) or _TYPES.get(kind) or "name:text definition_type:text! definition:map!").split()
    for word in words:
        name, sign, what = re.match(r"(\w+)([:>])(.*)", word.rstrip("!*")).groups()  # type: ignore[union-attr]
        if not (word.endswith("!") or optional):
            continue
        value: Any = _VALUES[what] if sign == ":" else f"{what.split('|')[0] or _FALLBACK}--{_uuid(2)}"
        value = _NAMED.get((kind, name), [value] if "*" in word else value)
        if value is not None:
            made[name] = value
    if kind in ("sighting", "report", "grouping", "note", "opinion") and "object_refs" in made:
        made["object_refs"] = [f"campaign--{_uuid(3)}"]
    first_of = {"file": {"name": "x"}, "artifact": {"payload_bin": "QUJD", "mime_type": "text/plain"}, "process": {"pid": 1},
                "user-account": {"user_id": "x"}, "x509-certificate": {"issuer": "x"}, "windows-registry-key": {"key": "hkey"},
                "network-traffic": {"src_ref": f"ipv4-addr--{_uuid(4)}"}, "location": {"region": "south-eastern-asia"},
                "malware-analysis": {"result": "benign"}, "observed-data": {"object_refs": [f"ipv4-addr--{_uuid(5)}"]}}  # fmt: skip
    made |= {name: value for name, value in first_of.get(kind, {}).items() if name not in made}
    if kind == "extension-definition":
        made["created_by_ref"] = f"identity--{_uuid(9)}"
    return made


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def valid(item: Any) -> bool:
    """Return whether OASIS's validator takes an object."""
    return bool(validate_instance(item, ValidationOptions(version="2.1")).is_valid)


KINDS = (*_TYPES, *_OBSERVABLES, "marking-definition")


def test_every_type_of_the_library_is_known_with_every_property() -> None:
    library = {
        each._type: set(each._properties)
        for each in (*stix2.v21.OBJ_MAP.values(), *stix2.v21.OBJ_MAP_OBSERVABLE.values())
    }
    assert set(library) - {"bundle", "marking-definition"} == {*_TYPES, *_OBSERVABLES}
    common = {"type", "id", "spec_version", "created", "modified", "created_by_ref", "revoked", "labels", "confidence", "lang",
              "external_references", "object_marking_refs", "granular_markings", "extensions", "defanged"}  # fmt: skip
    for kind, names in library.items():
        if kind in ("bundle", "marking-definition"):
            continue
        ours = {re.match(r"\w+", word)[0] for word in (_OBSERVABLES.get(kind) or _TYPES[kind]).split()}  # type: ignore[index]
        beside = {"kill_chain_phases"} if kind == "incident" else set()  # the library's own, which STIX has not
        assert ours - common == names - common - beside, kind


@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_every_type_are_taken_by_both(kind: str) -> None:
    for optional in (False, True):
        item = example(kind, optional)
        result = validate_instance(item, ValidationOptions(version="2.1"))
        assert result.is_valid, (kind, [str(error) for error in result.errors])
        assert fault_of(item) is None, (kind, item)


def broken(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the object, each time with one thing of it left out or made into something else."""
    wrong: tuple[Any, ...] = (
        None,
        [],
        {},
        -1,
        2**60,
        "",
        "x y",
        "2026-02-30T00:00:00Z",
        True,
        ["x", 5],
        f"bundle--{_uuid(1)}",
    )
    for name, good in item.items():
        yield f"no {name}", {each: value for each, value in item.items() if each != name}
        for value in wrong:
            if value != good:
                yield f"{name} = {value!r}", {**item, name: copy.deepcopy(value)}
    for name, value in (("created", "2027-01-01T00:00:00Z"), ("confidence", 101), ("labels", [1]), ("external_references", [{}]),
                        ("object_marking_refs", ["x"]), ("granular_markings", [{}]), ("extensions", []), ("revoked", "no")):  # fmt: skip
        if item["type"] not in _OBSERVABLES:
            yield f"{name} = {value!r}", {**item, name: value}


#: What we refuse as STIX 2.1 says, though the validator takes it: numbers beyond 54 bits or below nothing (section 2.6),
#: references that are none.
_AS_STIX_SAYS = frozenset(("no_whole", "no_reference", "no_reference_list"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_broken_is_refused_where_the_validator_refuses_it(kind: str) -> None:
    """What it refuses is never taken, but for texts that should have had another content; what it takes is refused
    only where STIX says so."""
    lax, strict = [], []
    whole = example(kind, True)
    for what, item in broken(whole):
        name = what.partition(" = ")[0]
        if isinstance(item.get(name), str) and _kinds(kind).get(name) == "text":
            continue
        try:
            theirs = valid(item)
        except Exception:  # the validator itself fails on some
            theirs = False
        fault = fault_of(item)
        if fault is None and not theirs:
            lax.append(what)
        if theirs and fault is not None and fault.kind not in _AS_STIX_SAYS:
            strict.append((what, fault))
    assert (lax, strict) == ([], []), kind


def _kinds(kind: str) -> dict[str, str]:
    words = (_OBSERVABLES.get(kind) or _TYPES.get(kind) or "name:text definition_type:text").split()
    return {word.partition(":")[0]: word.partition(":")[2].rstrip("!") for word in words if ":" in word}


def test_what_we_make_is_taken() -> None:
    for item in objects_of(SITE, [CONTACT, RULE], [INDICATOR], [CASE], FIELDS, "green").objects:
        assert fault_of(item) is None and valid(item)


@pytest.mark.parametrize(
    "pattern",
    ["x", "[]", "[a:b]", "[ipv4-addr:value = '1'", "ipv4-addr:value = '1'", "[ipv4-addr:value = '1]", "[ipv4-addr:value = 'it's']",
     "([ipv4-addr:value = '1']", "[ipv4-addr:value = '1')]", "[ipv4-addr:value '1']", "[ipv4-addr:value = '1'] ]"],
)  # fmt: skip
def test_patterns_that_are_none_are_refused_by_both(pattern: str) -> None:
    item = {**example("indicator", False), "pattern": pattern}
    assert fault_of(item) is not None and not valid(item)


@pytest.mark.parametrize(
    "pattern",
    [
        "[ipv4-addr:value = '1.2.3.4']", "[file:name = 'it\\'s' OR file:name = 'b']", "[ipv4-addr:value ISSUBSET '1.2.3.0/24']",
        "[ipv4-addr:value = '1.2.3.4'] AND [domain-name:value = 'a.example'] WITHIN 5 SECONDS",
        "([domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value != 'b.example']) REPEATS 5 TIMES",
        "[domain-name:value IN ('a.example', 'b.example')]", "[process:command_line MATCHES '^.+>-add GlobalSign.cer']",
        "[domain-name:value NOT LIKE '%[%']", "[windows-registry-key:values[*].data = ']']", "[x509-certificate:issuer = 'C=VN']",
        "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_port > 1024]",
    ],
)  # fmt: skip
def test_patterns_of_all_kinds_are_taken_by_both(pattern: str) -> None:
    item = {**example("indicator", False), "pattern": pattern}
    assert valid(item) and fault_of(item) is None


def test_a_rule_of_another_language_is_no_pattern_of_stix() -> None:
    assert fault_of({**example("indicator", False), "pattern_type": "sigma", "pattern": "title: x"}) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(item=_json, kind=st.sampled_from(KINDS), data=st.data())
def test_nothing_that_somebody_sends_is_a_fault_of_ours(item: Any, kind: str, data: st.DataObject) -> None:
    fault_of(item)
    made = example(kind, True)
    for name in data.draw(st.sets(st.sampled_from(sorted(made)), min_size=1, max_size=3)):
        made[name] = data.draw(_json)
    if fault := fault_of(made):
        for language in LANGUAGES:
            with speaking(language):
                assert say(f"stix.fault.{fault.kind}", place=fault.place)


def test_depth_is_told_without_going_deeper_than_that() -> None:
    deep: Any = 1
    for level in range(MAX_DEPTH + 5):
        deep = [deep] if level % 2 else {"x": deep}
    assert is_deeper(deep, MAX_DEPTH) and not is_deeper(deep, MAX_DEPTH + 5)
    assert not is_deeper({"x": list(range(100_000))}, 2)

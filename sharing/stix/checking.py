"""Is it STIX? An object as somebody sent it enters, what is wrong with it leaves.

What STIX 2.1 demands of each type stands in `types.toml`. OASIS's validator, to which tests hold this, takes a hundred
times as long. Types and properties that STIX does not know are taken as they are: it lets everybody add some (section
11).
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

#: How deep lists and maps may lie within each other, and how long a pattern may be.
MAX_DEPTH, _MAX_PATTERN = 40, 100_000
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab0-7c-f][0-9a-f]{3}-[0-9a-f]{12}"
_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ID = re.compile(rf"([a-z][a-z0-9-]{{1,248}})--{_UUID}")
_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?Z", re.ASCII
)
_PROPERTY = re.compile(r"[a-z0-9_]{3,250}")
_HEX = re.compile(r"([0-9a-fA-F]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_HASH_LENGTHS = {"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-512": 128, "SHA3-256": 64, "SHA3-512": 128}
_STRING_IN_PATTERN = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_COMPARISON = re.compile(
    r"[a-zA-Z0-9_-]+:[\w.'\[\]*-]+\s*(NOT\s+)?(=|!=|<>|[<>]=?|IN\b|LIKE\b|MATCHES\b|ISSUBSET\b|ISSUPERSET\b|EXISTS\b)",
    re.ASCII,
)

#: What every object may have, all but markings, and observables.
_OF_ALL = "object_marking_refs>marking-definition* granular_markings:granular* extensions:map"
_OF_MOST = "revoked:bool labels:text* confidence:percent lang:text"
_OF_OBJECTS, _OF_OBSERVABLES = "created_by_ref>identity external_references:external*", "defanged:bool"
_FILE = tomllib.loads((Path(__file__).parent / "types.toml").read_text("utf-8"))
_TYPES: dict[str, str] = _FILE["objects"]
_OBSERVABLES: dict[str, str] = _FILE["observables"]
#: Types without `modified`.
_CREATED_ONLY = "marking-definition"
#: Times of which the second may not be before the first; `True`: nor the same.
_IN_ORDER = (
    ("created", "modified", False), ("first_observed", "last_observed", False), ("first_seen", "last_seen", False),
    ("valid_from", "valid_until", True), ("start_time", "stop_time", True), ("start", "end", False),
    ("analysis_started", "analysis_ended", False), ("validity_not_before", "validity_not_after", False),
)  # fmt: skip
#: Of these properties at least one must be there.
_ONE_OF = {
    "file": ("hashes", "name"), "artifact": ("payload_bin", "url"), "observed-data": ("object_refs", "objects"),
    "malware-analysis": ("result", "analysis_sco_refs"), "location": ("region", "country", "latitude"),
}  # fmt: skip
#: Observables of which every property may be left out, but not all.
_NOT_EMPTY = frozenset(("process", "user-account", "x509-certificate", "windows-registry-key"))
_OPINIONS = frozenset(("strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"))
_MOST_COUNT, _MOST_WHOLE = 999_999_999, 2**53 - 1


class Fault(NamedTuple):
    """What is wrong (`stix.fault.…` in the catalogues) and where."""

    kind: str
    place: str


def fault_of(item: Any) -> Fault | None:
    """Return the first thing that is wrong with an object, or None where it is STIX 2.1."""
    if not isinstance(item, dict):
        return Fault("no_object", "")
    if is_deeper(item, MAX_DEPTH):
        return Fault("too_deep", "")
    kind, identifier = item.get("type"), item.get("id")
    if not isinstance(kind, str) or not 3 <= len(kind) <= 250 or not _TYPE.fullmatch(kind):
        return Fault("no_type", "type")
    found = _ID.fullmatch(identifier) if isinstance(identifier, str) else None
    if found is None or found[1] != kind:
        return Fault("no_id", "id")
    return _of_type(kind, item)


def is_deeper(value: Any, limit: int) -> bool:
    """Say whether maps and lists lie deeper within each other than that."""
    level: list[Any] = [value]
    for _ in range(limit + 1):
        level = [
            each
            for outer in level
            for each in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(each, (dict, list))
        ]
        if not level:
            return False
    return True


def _of_type(kind: str, item: Mapping[str, Any]) -> Fault | None:
    is_observable = kind in _OBSERVABLES
    if item.get("spec_version", "2.1" if is_observable else None) != "2.1":
        return Fault("spec_version", "spec_version")
    for name, needed, good, fault in _properties(kind):
        value = item.get(name)
        if value is None:
            if needed:
                return Fault("missing", name)
            if name in item:
                return Fault(fault, name)
        elif not good(value):
            return Fault("empty_list" if value == [] else fault, name)
    for name in item:
        if name != "id" and not _PROPERTY.fullmatch(name):
            return Fault("bad_name", name[:100])
    for first, second, strictly in _IN_ORDER:
        one, two = item.get(first), item.get(second)
        if one is not None and two is not None and not _in_order(one, two, strictly):
            return Fault("order", second)
    return _of_content(kind, item)


def _of_content(kind: str, item: Mapping[str, Any]) -> Fault | None:
    """Return what no single property says."""
    if (names := _ONE_OF.get(kind)) and not any(name in item for name in names):
        return Fault("missing", " / ".join(names))
    if kind in _NOT_EMPTY and not item.keys() - {"type", "id", "spec_version", "object_marking_refs", "defanged"}:
        return Fault("missing", kind)
    if kind == "network-traffic" and not ("src_ref" in item or "dst_ref" in item):
        return Fault("missing", "src_ref / dst_ref")
    if kind == "marking-definition" and not (
        "extensions" in item or ("definition_type" in item and "definition" in item)
    ):
        return Fault("missing", "definition_type / extensions")
    if kind == "email-message" and item["is_multipart"] and "body" in item:
        return Fault("no_place", "body")
    if kind == "artifact" and "decryption_key" in item and "encryption_algorithm" not in item:
        return Fault("missing", "encryption_algorithm")
    if kind == "location" and ("latitude" in item) != ("longitude" in item):
        return Fault("missing", "latitude / longitude")
    if kind == "indicator" and item["pattern_type"] == "stix" and not _is_pattern(item["pattern"]):
        return Fault("pattern", "pattern")
    return None


_Rule = tuple[str, bool, Callable[[Any], bool], str]


@cache
def _properties(kind: str) -> tuple[_Rule, ...]:
    """Return name, whether it must be there, what says that it is good, and the fault where it is not."""
    if kind in _OBSERVABLES:
        text = f"{_OF_OBSERVABLES} {_OF_ALL} {_OBSERVABLES[kind]}"
    elif kind == _CREATED_ONLY:
        text = f"created:time! {_OF_OBJECTS} {_OF_ALL} name:text definition_type:text definition:map"
    elif kind in _TYPES:
        text = f"created:time! modified:time! {_OF_OBJECTS} {_OF_MOST} {_OF_ALL} {_TYPES[kind]}"
    else:  # one that STIX does not know: what all objects have, where it has it
        text = f"created:time modified:time {_OF_OBJECTS} {_OF_MOST} {_OF_ALL}"
    return tuple(map(_rule, text.split()))


def _rule(text: str) -> _Rule:
    needed, plain = text.endswith("!"), text.removesuffix("!")
    is_list, plain = plain.endswith("*"), plain.removesuffix("*")
    if ">" in plain:
        name, _, types = plain.partition(">")
        wanted = frozenset(types.split("|")) if types else None
        good: Callable[[Any], bool] = lambda value: _is_reference(value, wanted)  # noqa: E731
        fault = "no_reference"
    else:
        name, _, called = plain.partition(":")
        good, fault = _GOOD[called], f"no_{called}"
    if is_list:
        single = good
        good, fault = lambda value: isinstance(value, list) and bool(value) and all(map(single, value)), f"{fault}_list"
    return name, needed, good, fault


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None and _is_day(value[:10])


@cache
def _days(month: str) -> int:
    year, number = int(month[:4]), int(month[5:])
    if number == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if number in (4, 6, 9, 11) else 31


def _is_day(date: str) -> bool:
    return int(date[:4]) > 0 and int(date[8:]) <= (28 if int(date[8:]) <= 28 else _days(date[:7]))


def _is_reference(value: Any, types: frozenset[str] | None) -> bool:
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    return found is not None and (found[1] in types if types is not None else found[1] != "bundle")


def _is_whole(value: Any, least: int = 0, most: int = _MOST_WHOLE) -> bool:
    return type(value) is int and least <= value <= most


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)


def _are_hashes(value: Any) -> bool:
    return _is_map(value) and all(
        isinstance(each, str) and bool(each) and (name not in _HASH_LENGTHS or _is_hash(name, each))
        for name, each in value.items()
    )


def _is_hash(name: str, value: str) -> bool:
    return len(value) == _HASH_LENGTHS[name] and _HEX.fullmatch(value) is not None


def _is_external(value: Any) -> bool:
    if not _is_map(value) or not isinstance(value.get("source_name"), str):
        return False
    told = [value[name] for name in ("description", "url", "external_id") if name in value]
    return bool(told) and all(map(_is_text, told)) and ("hashes" not in value or _are_hashes(value["hashes"]))


def _is_phase(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("kill_chain_name", "phase_name")
    )


def _is_granular(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    selectors = value.get("selectors")
    marked = _is_reference(value.get("marking_ref"), frozenset(("marking-definition",))) or "lang" in value
    return marked and isinstance(selectors, list) and bool(selectors) and all(map(_is_text, selectors))


_GOOD: dict[str, Callable[[Any], bool]] = {
    "text": _is_text, "time": _is_time, "bool": lambda value: isinstance(value, bool),
    "number": _is_number, "latitude": lambda value: _is_number(value) and -90 <= value <= 90,
    "longitude": lambda value: _is_number(value) and -180 <= value <= 180,
    "whole": _is_whole, "count": lambda value: _is_whole(value, 1, _MOST_COUNT),
    "percent": lambda value: _is_whole(value, 0, 100), "port": lambda value: _is_whole(value, 0, 65_535),
    "map": _is_map, "hashes": _are_hashes, "external": _is_external, "phase": _is_phase, "granular": _is_granular,
    "opinion": lambda value: isinstance(value, str) and value in _OPINIONS,
    "hex": lambda value: isinstance(value, str) and _HEX.fullmatch(value) is not None,
    "base64": lambda value: isinstance(value, str) and len(value) % 4 == 0 and _BASE64.fullmatch(value) is not None,
}  # fmt: skip


def _in_order(one: Any, two: Any, strictly: bool) -> bool:
    first, second = _sortable(one), _sortable(two)
    return first < second or (first == second and not strictly)


def _sortable(time: str) -> str:
    return time[:19] + time[20:-1].ljust(9, "0")


def _is_pattern(text: str) -> bool:
    """Say whether it looks like a pattern: something is compared, and what is opened is closed again in order."""
    if len(text) > _MAX_PATTERN:
        return False
    bare = _STRING_IN_PATTERN.sub("''", text)
    if not bare.lstrip().startswith(("[", "(")) or not _COMPARISON.search(bare):
        return False
    opened: list[str] = []
    for sign in re.findall(r"''|[\[\]()']", bare):
        if sign in "[(":
            opened.append(sign)
        elif sign == "'" or (sign in "])" and (not opened or opened.pop() + sign not in ("[]", "()"))):
            return False
    return not opened

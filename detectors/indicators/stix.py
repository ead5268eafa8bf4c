"""STIX 2.1: a bundle (or a page of TAXII) enters, the indicators of its patterns leave.

Of a pattern (OASIS STIX 2.1, part 9) what is compared with `=`, `IN` or `ISSUBSET` is used, where one such comparison
alone is enough for the pattern, so where they are joined by OR. What is joined by AND is narrower than what we look
for: of it only hashes of files are used, which name the file by themselves. All else is refused, and says so.
"""

import re
from collections.abc import Iterator
from typing import Any

from detectors.indicators.indicator import RefusedIndicator, word
from detectors.indicators.listed import Defaults, Found, Refusal, moment_of, threat_of
from pipeline.messages import HaidangError

#: Characters of a pattern.
_MAX_PATTERN = 100_000
_COMPARISON = re.compile(
    r"""([a-z0-9-]+):([\w.'\[\]*-]+?)\s+(NOT\s+)?(=|!=|>=|<=|>|<|IN\b|LIKE\b|MATCHES\b|ISSUBSET\b|ISSUPERSET\b)\s*
        ('(?:[^'\\]|\\.)*'|\((?:[^'()]|'(?:[^'\\]|\\.)*')*\)|[^\s\])]+)|([a-z0-9-]+):([\w.'\[\]*-]+?)(=)\s*('(?:[^'\\]|\\.)*')""",
    re.VERBOSE,
)
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'")
_KINDS = {
    ("ipv4-addr", "value"): "address", ("ipv6-addr", "value"): "address", ("domain-name", "value"): "domain",
    ("url", "value"): "url", ("email-addr", "value"): "email", ("email-message", "from_ref.value"): "email",
    ("email-message", "sender_ref.value"): "email", ("network-traffic", "dst_ref.value"): "",
    ("network-traffic", "src_ref.value"): "", ("hostname", "value"): "host",
}  # fmt: skip
_HASHES = {"md5": "md5", "sha-1": "sha1", "sha1": "sha1", "sha-256": "sha256", "sha256": "sha256"}
#: The markings that STIX itself defines (section 7.2.1.4), TLP 1 and 2.
_TLP = {
    "613f2e26-407d-48c7-9eca-b8e91df99dc9": "white", "34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "f88d31f6-486f-44da-b317-01333bde0b82": "amber", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
    "94868c89-83c2-464b-929b-a1a8aa3c8487": "clear", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "green",
    "55d920b0-5e8b-4f79-9ee9-91f868d9b421": "amber", "939a9414-2ddd-4d32-a0cd-375ea402b003": "amber+strict",
    "e828b379-4e03-4974-9ac4-e53a884c97c1": "red",
}  # fmt: skip


def read(document: Any, defaults: Defaults, file: str) -> Found:
    """Yield the indicators of a bundle.

    Raises:
        HaidangError: it is no bundle.
    """
    objects = document.get("objects", []) if isinstance(document, dict) else document
    is_bundle = isinstance(document, dict) and bool({"type", "objects"} & document.keys())
    are_objects = isinstance(document, list) and all(isinstance(each, dict) and "type" in each for each in document)
    if not isinstance(objects, list) or not (is_bundle or are_objects):
        raise HaidangError("indicators.not_format", source=file or "-", format="STIX 2.1")
    objects = [each for each in objects if isinstance(each, dict)]
    families = _families(objects)
    for each in objects:
        if each.get("type") == "indicator":
            yield from _of_indicator(each, families, defaults, file)


def _families(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Return what each indicator indicates, by the relationships in the bundle."""
    names = {
        each.get("id"): word(each.get("name"))
        for each in objects
        if each.get("type") in ("malware", "tool", "campaign", "intrusion-set", "threat-actor")
    }
    return {
        str(each.get("source_ref")): names[each.get("target_ref")]
        for each in objects
        if each.get("type") == "relationship" and each.get("target_ref") in names
    }


def _of_indicator(item: dict[str, Any], families: dict[str, str], defaults: Defaults, file: str) -> Found:
    identifier = str(item.get("id", ""))
    place = f"{file}:{identifier}" if file else identifier
    pattern = item.get("pattern")
    if item.get("revoked") is True:
        yield Refusal(place, word(item.get("name")), "expired")
        return
    if item.get("pattern_type", "stix") != "stix" or not isinstance(pattern, str) or len(pattern) > _MAX_PATTERN:
        yield Refusal(place, str(pattern)[:120], "pattern")
        return
    phases = [word(each.get("phase_name")) for each in _list(item.get("kill_chain_phases")) if isinstance(each, dict)]
    # what is said of this one first: the types of STIX (`malicious-activity`) say the least
    words = [*_texts(item.get("labels")), word(item.get("name")), *phases, *_texts(item.get("indicator_types"))]
    sure = item.get("confidence")
    links = [each for each in _list(item.get("external_references")) if isinstance(each, dict)]
    where = next((each["url"] for each in links if isinstance(each.get("url"), str)), identifier)
    marks = [
        _TLP.get(mark.removeprefix("marking-definition--"), "") for mark in _texts(item.get("object_marking_refs"))
    ]
    for kind, value, reason in comparisons(pattern):
        try:
            if reason:
                raise RefusedIndicator(reason)
            yield from defaults.indicators(
                value, kind, threat_of(*words), sure if type(sure) is int else None,
                moment_of(item.get("valid_until")), families.get(identifier, ""), where, next(filter(None, marks), ""),
            )  # fmt: skip
        except RefusedIndicator as refused:
            yield Refusal(place, value[:120], refused.reason)


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def comparisons(pattern: str) -> Iterator[tuple[str, str, str]]:
    """Yield kind, value and why it is refused ("" where it is not) of each comparison of a pattern."""
    bare = _TEXT.sub("''", pattern)
    narrow = re.search(r"\b(?:AND|FOLLOWEDBY)\b", bare) is not None
    found = False
    for match in _COMPARISON.finditer(pattern):
        found = True
        subject, path, negated, operator, operand = match[1], match[2], match[3], match[4], match[5]
        if match[6]:
            subject, path, negated, operator, operand = match[6], match[7], None, match[8], match[9]
        kind = _kind(subject, path)
        values = [re.sub(r"\\(.)", r"\1", text) for text in _TEXT.findall(operand)] or [operand]
        usable = operator in ("=", "IN") or (operator == "ISSUBSET" and kind == "address")
        for value in values:
            if kind is None:
                if not narrow:
                    yield "", f"{subject}:{path}", "unknown_kind"
            elif negated or not usable or (narrow and kind not in ("md5", "sha1", "sha256")):
                yield kind, value, "pattern"
            else:
                yield "network" if "/" in value and kind == "address" else kind, value, ""
    if not found:
        yield "", pattern, "pattern"


def _kind(subject: str, path: str) -> str | None:
    """Return the kind of indicator that a path names; "" where the value's shape decides, None where none."""
    if subject == "file" and (named := re.fullmatch(r"hashes\.'?([\w-]+)'?", path)):
        return _HASHES.get(named[1].lower())
    if subject == "x509-certificate" and path.startswith("hashes."):
        return "certificate"
    return _KINDS.get((subject, path))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

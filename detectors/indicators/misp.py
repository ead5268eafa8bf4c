"""MISP: an event, a list of events or of attributes as JSON enters, its attributes that are to be detected leave.

The format is MISP's core format (draft-dulaunoy-misp-core-format); what is not marked `to_ids` is context and no
indicator, and is no refusal either.
"""

from collections.abc import Iterator
from typing import Any

from detectors.indicators.indicator import Indicator, RefusedIndicator, word
from detectors.indicators.listed import KIND_NAMES, Defaults, Found, Refusal, threat_of
from pipeline.messages import HaidangError

#: Attributes of one document.
_MAX_ATTRIBUTES = 10_000_000
#: Attribute types of two values, and the part that is used.
_TWO_VALUES = {
    "filename|md5": ("md5", 1), "filename|sha1": ("sha1", 1), "filename|sha256": ("sha256", 1),
    "domain|ip": ("domain", 0), "ip-dst|port": ("address", 0), "ip-src|port": ("address", 0),
    "hostname|port": ("host", 0), "malware-sample": ("md5", 1),
}  # fmt: skip
_FAMILY = (
    "misp-galaxy:malpedia",
    "misp-galaxy:tool",
    "misp-galaxy:ransomware",
    "misp-galaxy:banker",
    "misp-galaxy:rat",
)


def read(document: Any, defaults: Defaults, file: str) -> Found:
    """Yield the indicators of a document.

    Raises:
        HaidangError: it is none of MISP's.
    """
    if isinstance(document, dict) and isinstance(document.get("response"), (list, dict)):
        document = document["response"]
    events = document if isinstance(document, list) else [document]
    if not all(isinstance(each, dict) and {"Event", "Attribute", "type"} & each.keys() for each in events):
        raise HaidangError("indicators.not_format", source=file or "-", format="MISP")
    for each in events:
        event = each.get("Event", each)
        if isinstance(event, dict):
            yield from _of_event(event, defaults, file)


def _of_event(event: dict[str, Any], defaults: Defaults, file: str) -> Found:
    tags = _tags(event)
    info = word(event.get("info"))
    where = f"MISP {word(event.get('uuid'))} {info}".strip() if event.get("uuid") else info
    attributes = _attributes(event)
    for number, attribute in enumerate(attributes):
        if number >= _MAX_ATTRIBUTES:
            raise HaidangError("indicators.too_many", source=file or "-", limit=_MAX_ATTRIBUTES)
        if attribute.get("to_ids") in (True, 1, "1") and attribute.get("deleted") not in (True, 1, "1"):
            yield from _of_attribute(attribute, [*_tags(attribute), *tags], where, info, defaults, file)


def _attributes(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "type" in event and "value" in event:  # of a search for attributes
        yield event
    for holder in (event, *_objects(event, "Object")):
        yield from _objects(holder, "Attribute")


def _objects(holder: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list; nothing where it is none."""
    found = holder.get(name)
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())


def _of_attribute(
    attribute: dict[str, Any], tags: list[str], where: str, info: str, defaults: Defaults, file: str
) -> Iterator[Indicator | Refusal]:
    kind, value = str(attribute.get("type", "")), str(attribute.get("value", ""))
    threat = threat_of(*tags, attribute.get("comment"), info) or ("malware" if "hash" in kind or "md5" in kind else "")
    sure = next((_percent(tag) for tag in tags if "confidence-level" in tag), None)
    tlp = next((tag for tag in tags if tag.lower().startswith("tlp:")), "")
    try:
        if kind in _TWO_VALUES:
            used, part = _TWO_VALUES[kind]
            pieces = value.split("|")
            value = pieces[part] if part < len(pieces) else ""
        else:
            used = KIND_NAMES.get(kind, "")
            if not used:
                raise RefusedIndicator("unknown_kind")
        if used == "address" and "/" in value:
            used = "network"
        yield from defaults.indicators(value, used, threat, sure, 0.0, _family(tags), where, tlp)
    except RefusedIndicator as refused:
        place = f"{file}:{attribute.get('uuid', '')}" if file else str(attribute.get("uuid", ""))
        yield Refusal(place, f"{kind} {value}"[:120], refused.reason)


def _tags(holder: dict[str, Any]) -> list[str]:
    found = holder.get("Tag")
    tags = found if isinstance(found, list) else ()
    return [word(each.get("name")) for each in tags if isinstance(each, dict)]


def _family(tags: list[str]) -> str:
    return next((tag.partition("=")[2].strip('"') for tag in tags if tag.startswith(_FAMILY)), "")


def _percent(tag: str) -> int | None:
    words = {"completely": 100, "usually": 75, "fairly": 50, "rarely": 25, "unconfident": 0}
    return next((percent for name, percent in words.items() if name in tag), None)

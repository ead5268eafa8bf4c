"""TLP 2.0: a level enters, the marking that OASIS published for it leaves; and the level of an object that has one.

Ids and shape are those of OASIS's common objects (`marking-definition`, extension "TLP 2.0"); the markings of TLP 1
that STIX 2.1 itself defines (section 7.2.1.4) are understood, too.
"""

from collections.abc import Mapping
from typing import Any

#: From what everybody may know to what only those who are told may know.
LEVELS = ("clear", "green", "amber", "amber+strict", "red")
_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_CREATED = "2022-10-01T00:00:00.000Z"
_IDS = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
_TLP_1 = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
}
_LEVEL_OF = {identifier: level for level, identifier in _IDS.items()} | _TLP_1


def marking(level: str) -> dict[str, Any]:
    """Return the marking of a level."""
    return {
        "type": "marking-definition", "spec_version": "2.1", "id": _IDS[level], "created": _CREATED,
        "name": f"TLP:{level.upper()}",
        "extensions": {_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": level}},
    }  # fmt: skip


def marking_id(level: str) -> str:
    """Return the id of a level's marking."""
    return _IDS[level]


def normal(level: str) -> str:
    """Return a level as TLP 2.0 calls it, of small or large letters, with or without `TLP:`; "" for what is none."""
    plain = level.strip().lower().removeprefix("tlp:")
    plain = "clear" if plain == "white" else plain
    return plain if plain in LEVELS else ""


def is_stricter(level: str, than: str) -> bool:
    """Say whether a level lets fewer people know than another one; what has no level is not."""
    return level in LEVELS and LEVELS.index(level) > LEVELS.index(than)


def level_of(item: Mapping[str, Any]) -> str:
    """Return the strictest level that an object is marked with, or ""."""
    marks = item.get("object_marking_refs")
    found = [_LEVEL_OF[mark] for mark in marks if mark in _LEVEL_OF] if isinstance(marks, list) else []
    return max(found, key=LEVELS.index, default="")

"""The dashboards that come with us: files of `dashboards/ready/` enter, saved things leave that nobody can change.

A file is `{"name": …, "description": …, "body": …}`; where a text stands, there may be `{"vi": …, "en": …}`, of which
whoever asks gets the one in their language.
"""

from functools import cache
from pathlib import Path
from typing import Any

import orjson

from pipeline.messages import LANGUAGES, language
from pipeline.saved import DASHBOARD, EVERYONE
from pipeline.shipped import shipped_dashboards

#: What the id of a ready thing begins with; after it comes the file's name.
READY = "ready-"


def all_of_them() -> list[dict[str, Any]]:
    """Return all ready dashboards in the language that is spoken here and now, by id."""
    return list(_in(language()).values())


def named(identifier: str) -> dict[str, Any] | None:
    """Return one in the language that is spoken here and now, or None."""
    return _in(language()).get(identifier)


def read(file: Path) -> dict[str, Any]:
    """Return what a file holds, in all languages."""
    found: dict[str, Any] = orjson.loads(file.read_bytes())
    return {
        "id": f"{READY}{file.stem}", "kind": DASHBOARD, "name": found["name"],
        "description": found.get("description", ""), "owner": "", "shared": EVERYONE, "revision": 1, "created": 0.0,
        "changed": 0.0, "changed_by": "", "ready": True, "body": found["body"],
    }  # fmt: skip


def spoken(value: Any, tongue: str) -> Any:
    """Return a value with one language's text wherever there is one of each."""
    if isinstance(value, dict):
        if value.keys() == set(LANGUAGES):
            return value[tongue]
        return {name: spoken(each, tongue) for name, each in value.items()}
    return [spoken(each, tongue) for each in value] if isinstance(value, list) else value


@cache
def _in(tongue: str) -> dict[str, dict[str, Any]]:
    things = map(read, sorted(shipped_dashboards().glob("*.json")))
    return {thing["id"]: spoken(thing, tongue) for thing in things}

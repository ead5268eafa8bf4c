"""What fields are called and hold: the types found of each field enter, one list of fields leaves, for every store."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.store import DATE, KEYWORD, NUMBER, TEXT, Field
from pipeline.store.query import TEXT_FIELDS, TIME

#: Fields whose values are numbers wherever they are any; by the last part of an ECS name.
NUMERIC = re.compile(r"(^|\.)(port|pid|bytes|packets|status_code|severity|duration|size|count)$")
#: What every event has, or is searched in every event.
_ALWAYS = {TIME: DATE, "event.id": KEYWORD, **dict.fromkeys(TEXT_FIELDS, TEXT)}


def listed(found: Mapping[str, set[str]]) -> list[Field]:
    """Return fields by name, each with one type."""
    types = {name: _type(name, types) for name, types in found.items()} | _ALWAYS
    return [Field(name, types[name]) for name in sorted(types)]


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value below `value` with the name of its field; a list stands for its elements."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(path, inner)
    else:
        yield path, value


def _type(name: str, types: set[str]) -> str:
    if len(types) == 1:
        return next(iter(types))
    return NUMBER if NUMERIC.search(name) else KEYWORD

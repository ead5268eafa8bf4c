"""A map that somebody brings: a GeoJSON FeatureCollection (RFC 7946) enters, nothing leaves but what is wrong in it.

Positions are WGS 84, longitude first. Older files may have a `crs` member, which the standard took out: refused, for
their numbers mean something else.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.messages import HaidangError

#: So many features and positions may a map have: a browser draws them without waiting.
MOST_FEATURES = 5_000
MOST_POSITIONS = 50_000
_LONGITUDE, _LATITUDE = 180.0, 90.0
#: The least positions of a line, and of a ring, whose last is its first (section 3.1.6).
_OF_LINE, _OF_RING = 2, 4


def check_map(body: Any) -> None:
    """Look at a whole map.

    Raises:
        HaidangError: names the place, and what is expected there.
    """
    top = _object(body, "body", ("FeatureCollection",))
    if "crs" in top:
        raise _fault("body.crs", "saved.map_no_crs")
    count = 0
    for place, feature in _each(top.get("features"), "features", MOST_FEATURES):
        made = _object(feature, place, ("Feature",))
        if made.get("properties") is not None and not isinstance(made["properties"], dict):
            raise _fault(f"{place}.properties", "saved.map_want_object")
        if not isinstance(made.get("id", ""), (str, int, float)):
            raise _fault(f"{place}.id", "saved.map_want_id")
        if made.get("geometry", "") is not None:
            count += _geometry(made.get("geometry"), f"{place}.geometry", collections=True)
        if count > MOST_POSITIONS:
            raise HaidangError("saved.map_too_many", what="positions", limit=MOST_POSITIONS)


def _geometry(value: Any, place: str, collections: bool) -> int:
    """Look at a geometry; return how many positions it has. A collection holds no other (section 3.1.8)."""
    kinds = (*_SHAPES, "GeometryCollection") if collections else tuple(_SHAPES)
    made = _object(value, place, kinds)
    if made["type"] == "GeometryCollection":
        parts = _each(made.get("geometries"), f"{place}.geometries", MOST_FEATURES)
        return sum(_geometry(part, inner, collections=False) for inner, part in parts)
    return _SHAPES[made["type"]](made.get("coordinates"), f"{place}.coordinates")


def _position(value: Any, place: str) -> int:
    good = isinstance(value, list) and len(value) in (2, 3) and all(_is_number(each) for each in value)
    if not good or abs(value[0]) > _LONGITUDE or abs(value[1]) > _LATITUDE:
        raise _fault(place, "saved.map_want_position")
    return 1


def _line(value: Any, place: str) -> int:
    count = sum(_position(each, inner) for inner, each in _each(value, place, MOST_POSITIONS))
    if count < _OF_LINE:
        raise _fault(place, "saved.map_want_line")
    return count


def _ring(value: Any, place: str) -> int:
    count = sum(_position(each, inner) for inner, each in _each(value, place, MOST_POSITIONS))
    if count < _OF_RING or value[0] != value[-1]:
        raise _fault(place, "saved.map_want_ring")
    return count


def _several(shape: Callable[[Any, str], int]) -> Callable[[Any, str], int]:
    return lambda value, place: sum(shape(each, inner) for inner, each in _each(value, place, MOST_POSITIONS))


_SHAPES: dict[str, Callable[[Any, str], int]] = {
    "Point": _position,
    "MultiPoint": _several(_position),
    "LineString": _line,
    "MultiLineString": _several(_line),
    "Polygon": _several(_ring),
    "MultiPolygon": _several(_several(_ring)),
}


def _each(value: Any, place: str, most: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, list):
        raise _fault(place, "saved.map_want_list")
    if len(value) > most:
        raise HaidangError("saved.map_too_many", what=place, limit=most)
    for number, each in enumerate(value):
        yield f"{place}[{number}]", each


def _object(value: Any, place: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("type") not in kinds:
        raise HaidangError("saved.map_want_type", place=place, known=", ".join(kinds))
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fault(place: str, key: str) -> HaidangError:
    return HaidangError(key, place=place[:200])

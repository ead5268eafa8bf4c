"""What a saved thing may hold: JSON of a kind enters, the same JSON leaves, or what is wrong with it and where."""

import math
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from pipeline.messages import HaidangError
from pipeline.saved import DASHBOARD, MAP, RANGE, SEARCH
from pipeline.saved.maps import check_map

#: Of each kind, the most bytes that a body may have as JSON.
MOST_BYTES = {SEARCH: 64_000, RANGE: 4_000, DASHBOARD: 512_000, MAP: 2_000_000}
#: How deep any of them may nest.
_MAX_DEPTH = 20
#: Whole numbers that every reader of JSON keeps exactly (RFC 8259 section 6).
_MAX_NUMBER = 2**53
_MAX_QUERY = 10_000

_Query = Annotated[str, Field(max_length=_MAX_QUERY)]
_Moment = Annotated[str, Field(max_length=100)]
_Place = Annotated[int, Field(ge=0, le=10_000)]
_Extent = Annotated[int, Field(ge=1, le=1_000)]
PanelKind = Literal[
    "line", "area", "bar", "stacked", "pie", "heatmap", "table", "number", "gauge", "treemap", "sankey", "graph",
    "tilemap", "points", "timeline", "top", "text",
]  # fmt: skip


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Panel(_Shape):
    """A panel of a dashboard: where it is, what it asks, how it is drawn (`options`: as the console reads them)."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    title: Annotated[str, Field(max_length=200)]
    kind: PanelKind
    x: _Place
    y: _Place
    w: _Extent
    h: _Extent
    query: _Query = ""
    index: Literal["events", "alerts", "c2", "systems"] = "events"
    fields: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = []
    options: dict[str, JsonValue] = {}


class Variable(BaseModel):
    """A variable of a dashboard; beside its name it holds what the console reads."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]


class Dashboard(_Shape):
    """A dashboard."""

    version: Literal[1]
    panels: Annotated[list[Panel], Field(max_length=60)]
    variables: Annotated[list[Variable], Field(max_length=20)] = []
    time: dict[str, JsonValue] = {}
    refresh: Annotated[int, Field(ge=0, le=86_400)] = 0


class Search(BaseModel):
    """A search; beside its text it holds what the console reads."""

    model_config = ConfigDict(extra="allow", strict=True)

    query: _Query = ""


class Range(BaseModel):
    """A range of time: ISO 8601 or `now-1h`."""

    model_config = ConfigDict(extra="allow", strict=True, populate_by_name=True)

    start: Annotated[_Moment, Field(alias="from")]
    end: Annotated[_Moment, Field(alias="to")]


_MODELS: dict[str, type[BaseModel]] = {SEARCH: Search, RANGE: Range, DASHBOARD: Dashboard}


class BadShape(Exception):
    """A body whose parts are not as its kind has them; `faults` are Pydantic's."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.faults: list[Any] = list(error.errors(include_url=False, include_context=True))


def encoded(body: Any, most_bytes: int) -> bytes:
    """Return a value as JSON that every database and browser can keep.

    Raises:
        HaidangError: it is too long, too deep, or holds a number or text that not every reader of JSON keeps.
    """
    _check(body)
    text = orjson.dumps(body)
    if len(text) > most_bytes:
        raise HaidangError("saved.too_large", size=len(text), limit=most_bytes)
    return text


def checked(kind: str, body: Any) -> bytes:
    """Return a body of this kind as JSON.

    Raises:
        BadShape: a part is missing, unknown or of another type.
        HaidangError: as `encoded`; or it is no map.
    """
    text = encoded(body, MOST_BYTES[kind])
    if kind == MAP:
        check_map(body)
        return text
    try:
        made = _MODELS[kind].model_validate(body)
    except ValidationError as error:
        raise BadShape(error) from None
    if isinstance(made, Dashboard):
        _check_ids([panel.id for panel in made.panels])
    return text


def _check_ids(ids: list[str]) -> None:
    twice = next((each for number, each in enumerate(ids) if each in ids[:number]), None)
    if twice is not None:
        raise HaidangError("saved.panel_twice", id=twice)


def _check(body: Any) -> None:
    """Look at every value, without recursion: the body is anybody's."""
    waiting: list[tuple[Any, int]] = [(body, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, (dict, list)):
            if depth > _MAX_DEPTH:
                raise HaidangError("saved.too_deep", limit=_MAX_DEPTH)
            waiting += [(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value)]
            waiting += [(name, depth + 1) for name in (value if isinstance(value, dict) else ())]
        elif isinstance(value, str):
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                raise HaidangError("saved.no_text")
        elif isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) <= _MAX_NUMBER):
            raise HaidangError("saved.no_number", value=str(value)[:40], limit=_MAX_NUMBER)

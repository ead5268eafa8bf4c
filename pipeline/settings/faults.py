"""Faults as pydantic finds them enter; sentences leave that say where, which value, and what was expected."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from pipeline.messages import say
from pipeline.settings.delivery import CHANNELS, Route, Shift
from pipeline.settings.indicators import IndicatorFeed
from pipeline.settings.sharing_taxii import Peer
from pipeline.settings.sources import SOURCES
from pipeline.settings.whole import Settings

#: The lists of sections, and what each may hold.
LISTS: dict[str, tuple[type[BaseModel], ...]] = {
    "sources": SOURCES, "indicators.feeds": (IndicatorFeed,), "channels": CHANNELS, "routes": (Route,),
    "roster": (Shift,), "sharing.taxii.peers": (Peer,),
}  # fmt: skip
#: Our words for pydantic's kinds of fault.
_EXPECTED = {
    "int_parsing": "settings.want_int", "int_type": "settings.want_int", "int_from_float": "settings.want_int",
    "float_parsing": "settings.want_number", "float_type": "settings.want_number",
    "finite_number": "settings.want_number", "int_parsing_size": "settings.want_int",
    "bool_parsing": "settings.want_bool", "bool_type": "settings.want_bool",
    "string_type": "settings.want_text", "path_type": "settings.want_text", "list_type": "settings.want_list",
    "missing": "settings.want_value", "too_short": "settings.want_value", "literal_error": "settings.want_one_of",
    "greater_than_equal": "settings.want_ge", "less_than_equal": "settings.want_le", "greater_than": "settings.want_gt",
    "union_tag_invalid": "settings.want_kind", "union_tag_not_found": "settings.want_kind",
    "string_pattern_mismatch": "settings.want_name", "model_type": "settings.want_section",
    "model_attributes_type": "settings.want_section", "string_too_long": "settings.want_shorter",
    "string_too_short": "settings.want_longer", "too_long": "settings.want_fewer", "dict_type": "settings.want_section",
}  # fmt: skip


def secret_settings() -> frozenset[str]:
    """Return the places of settings whose values are secrets: `state.url`, `channels.password`; of lists without the
    number."""
    places: list[tuple[str, type[BaseModel]]] = [("", Settings), *sections_of(Settings)]
    places += [(place, kind) for place, kinds in LISTS.items() for kind in kinds]
    return frozenset(
        f"{place}.{name}".lstrip(".")
        for place, section in places
        for name, field in section.model_fields.items()
        if field.annotation in (SecretStr, list[SecretStr])
    )


def faults_of(error: ValidationError, meant: Callable[[tuple[Any, ...]], list[str]]) -> list[str]:
    """Return every fault of a table in a file of its own; `meant` says which name an unknown one may stand for."""
    return [fault_of(item, meant) for item in error.errors()]


def fault_of(item: Any, meant: Callable[[tuple[Any, ...]], list[str]] | None = None) -> str:
    loc = item["loc"]
    place = _place_of(loc)
    if item["type"] == "extra_forbidden":
        return unknown(place, (meant or _meant)(loc))
    context = item.get("ctx", {})
    key = _EXPECTED.get(item["type"])
    if item["type"] == "value_error":
        return f"{place}: {context['error']}" if place else str(context["error"])
    limits = {"limit": _kinds(loc)} if key == "settings.want_kind" else _limits(context)
    expected = say(key, **limits) if key else item["msg"]
    value = "-" if item["type"] == "missing" else _shown_at(loc, item["input"])  # else what stands around it
    return say("settings.fault", place=place, value=value, expected=expected)


def _place_of(loc: tuple[Any, ...]) -> str:
    """Return a place as files name it: where entries of a list have kinds, pydantic names theirs behind the number."""
    section = next((name for name, kinds in LISTS.items() if (name,) == loc[:1] and len(kinds) > 1), None)
    return ".".join(str(part) for number, part in enumerate(loc) if section is None or number != 2)


def _kinds(loc: tuple[Any, ...]) -> str:
    """Return the kinds that a list's entries may have."""
    kinds = LISTS[next(name for name in LISTS if name == loc[0])]
    return ", ".join(str(kind.model_fields["kind"].default) for kind in kinds)


#: Settings whose values are secrets, also where they are no text and so are refused.
_SECRETS = ("password", "token", "secrets", "url", "api_key", "client_secret")


def _shown_at(loc: tuple[Any, ...], value: Any) -> str:
    """Show a value; of what may be a secret, also within a section, that there is one."""
    if isinstance(value, dict):
        return shown({name: "…" if name in _SECRETS else each for name, each in value.items()})
    return "…" if any(part in _SECRETS for part in loc) else shown(value)


def unknown(place: str, near: list[str]) -> str:
    hint = say("settings.did_you_mean", name=near[0]) if near else ""
    return say("settings.unknown", place=place, hint=hint)


def _limits(context: dict[str, Any]) -> dict[str, Any]:
    limit = next((context[name] for name in ("ge", "le", "gt", "expected", "max_length") if name in context), "")
    return {"limit": str(limit).replace(" or ", ", ")}


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _meant(loc: tuple[Any, ...]) -> list[str]:
    """Return the setting that a misspelt or misplaced one means, if any; one of another section with its section."""
    name, section = str(loc[-1]), _section_of(loc)
    known = _known_names()
    elsewhere = {each: place for place, names in reversed(known.items()) if place != section for each in names}
    if name not in elsewhere and (near := difflib.get_close_matches(name, known[section], n=1)):
        return near
    near = difflib.get_close_matches(name, elsewhere, n=1)
    return [f"{elsewhere[each]}.{each}".lstrip(".") for each in near]


def _known_names() -> dict[str, list[str]]:
    """Return the settings of each section, of one in another by both names; those at the top under ""."""
    sections = {name: list(section.model_fields) for name, section in sections_of(Settings)}
    lists = {place: sorted({name for kind in kinds for name in kind.model_fields}) for place, kinds in LISTS.items()}
    return {"": list(Settings.model_fields), **sections, **lists}


def _section_of(loc: tuple[Any, ...]) -> str:
    """Return the section of a setting's place, of a list the list: `sources` of `sources.0.syslog.port`."""
    place = ".".join(map(str, loc[:-1]))
    return next((name for name in LISTS if place.startswith(f"{name}.")), place)


def sections_of(of: type[BaseModel], above: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section with its name."""
    for name, field in of.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{above}{name}", field.annotation
            yield from sections_of(field.annotation, f"{above}{name}.")

"""Log sources: the `logsource` of a rule becomes a test of where an event comes from.

What is read of an event is its origin: (event.dataset, channel, event code, provider), in lower
case. The table is data: `logsources.toml` beside this file, and a `logsources.toml` in any rule
directory that is loaded.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from detectors.sigma.view import Event

BUILT_IN = Path(__file__).with_name("logsources.toml")
ATTRIBUTES = ("product", "category", "service")
_NAMES = ("datasets", "channels", "codes", "providers")
_MAPS = {"codes_of": "category", "channels_of": "service", "datasets_of": "service"}


#: The keys that `origin` reads.
ORIGIN_NAMES = (
    "event.dataset", "winlog.channel", "Channel", "event.code", "winlog.event_id", "EventID",
    "winlog.provider_name", "Provider_Name",
)  # fmt: skip


class Origin(NamedTuple):
    """Where an event comes from; empty where it does not say."""

    dataset: str
    channel: str
    code: str
    provider: str


def origin(event: Event) -> Origin:
    """The origin of an event; the raw Windows names stand in for the ECS ones of foreign events."""
    get = event.get
    dataset = get("event.dataset")
    channel = get("winlog.channel") or get("Channel")
    code = get("event.code") or get("winlog.event_id") or get("EventID")
    provider = get("winlog.provider_name") or get("Provider_Name")
    return Origin(_text(dataset), _text(channel), _text(code), _text(provider))


@dataclass(frozen=True, slots=True)
class Place:
    """A set of origins: each attribute that is not empty must hold the event's; a name may end in
    `*`.
    """

    datasets: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    #: Of each attribute that is not empty: its place in an origin, its names, and what those with `*` begin with.
    _asked: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = enumerate((self.datasets, self.channels, self.codes, self.providers))
        asked = [(n, names, tuple(name[:-1] for name in names if name.endswith("*"))) for n, names in given if names]
        object.__setattr__(self, "_asked", tuple(asked))

    def holds(self, at: Origin) -> bool:
        for number, names, beginnings in self._asked:
            name = at[number]
            if name not in names and not (name and name.startswith(beginnings)):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Route:
    """Where a rule applies: in one place of each of its groups. `known`: the table has the log
    source.
    """

    groups: tuple[tuple[Place, ...], ...]
    known: bool = True

    def holds(self, at: Origin) -> bool:
        for group in self.groups:
            for place in group:
                if place.holds(at):
                    break
            else:
                return False
        return True


class LogSources:
    """The table of log sources: attributes of `logsource` to the places where such events come
    from.
    """

    def __init__(self, entries: Iterable[tuple[Mapping[str, str], tuple[Place, ...]]]) -> None:
        self._places: dict[tuple[str, str, str], tuple[Place, ...]] = {}
        for logsource, places in entries:
            key = _key(logsource)
            self._places[key] = self._places.get(key, ()) + places

    @classmethod
    def load(cls, *paths: Path) -> "LogSources":
        """The built-in table and those at `paths`, which add places to it.

        Raises `ValueError` that names the file for a broken table, `OSError` for a missing one.
        """
        return cls([entry for path in (BUILT_IN, *paths) for entry in read_entries(path)])

    def route(self, logsource: Mapping[str, str]) -> Route:
        """Where a rule of this log source applies.

        The exact entry, or else an entry for its category and one for its service, both of which
        must hold. A log source that is not in the table applies to datasets of its name:
        `product.service`, `product.category`, `service`, `category`, or `product` alone; `known` is
        False then.
        """
        if exact := self._places.get(_key(logsource)):
            return Route((exact,))
        product = logsource.get("product", "")
        parts = [
            self._places.get((product, *pair)) or self._places.get(("", *pair))
            for pair in ((logsource.get("category", ""), ""), ("", logsource.get("service", "")))
            if any(pair)
        ]
        if parts and all(parts):
            return Route(tuple(part for part in parts if part))
        return Route((_by_name(logsource),), known=False)

    def naming(self, attribute: str, product: str, at: Origin) -> list[str]:
        """The services (or categories) of a product that the table knows, whose events come from there."""
        place = ATTRIBUTES.index(attribute)
        alone = (key for key in self._places if key[0] == product and sum(map(bool, key[1:])) == 1 and key[place])
        return [key[place] for key in alone if any(each.holds(at) for each in self._places[key])]


def read_entries(path: Path) -> list[tuple[Mapping[str, str], tuple[Place, ...]]]:
    """The `[[source]]` entries of a file. Raises `ValueError` that names the file for a broken
    one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return [entry for source in document.get("source", []) for entry in _entries(source)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a table of log sources: {error}") from error


def _entries(source: Mapping[str, Any]) -> list[tuple[Mapping[str, str], tuple[Place, ...]]]:
    """One entry, or one for each name in a `codes_of`, `channels_of` or `datasets_of` map."""
    attributes = {name: source[name] for name in ATTRIBUTES if name in source}
    for plural, attribute in _MAPS.items():
        if plural in source:
            shared = {name: source[name] for name in _NAMES if name in source}
            name = plural.removesuffix("_of")
            return [
                ({**attributes, attribute: key}, (_place({**shared, name: values}),))
                for key, values in source[plural].items()
            ]
    return [(attributes, tuple(map(_place, source.get("match", [source]))))]


def _place(entry: Mapping[str, Any]) -> Place:
    names = [_lower(entry.get(name, [])) for name in _NAMES]
    if not any(names):
        raise ValueError(f"an entry without datasets, channels, codes and providers: {entry!r}")
    return Place(*names)


def _lower(names: list[Any]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"expected a list of names, not {names!r}")
    return tuple(str(name).lower() for name in names)


def _by_name(logsource: Mapping[str, str]) -> tuple[Place, ...]:
    product = logsource.get("product", "")
    names = [logsource[name] for name in ("service", "category") if logsource.get(name)]
    datasets = [f"{product}.{name}" for name in names] if product else []
    return (Place(datasets=tuple(name.lower() for name in [*datasets, *names, product] if name)),)


def _key(logsource: Mapping[str, str]) -> tuple[str, str, str]:
    return (
        logsource.get("product", ""),
        logsource.get("category", ""),
        logsource.get("service", ""),
    )


def _text(value: Any) -> str:
    if type(value) is str:
        return value.lower()
    return str(value) if isinstance(value, int) else ""

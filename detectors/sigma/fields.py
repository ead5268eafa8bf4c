"""From the field names of rules to the keys of our events: (log source, field) enters, a list of
keys leaves.

The map is data: `fields.toml` beside this file, and a `fields.toml` in any rule directory that is
loaded.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.sigma.view import Field

BUILT_IN = Path(__file__).with_name("fields.toml")


@dataclass(frozen=True, slots=True)
class FieldTable:
    """One `[[map]]` of a table: keys by field for the log sources that contain its attributes.

    `envelope` fields have these keys and no others but their own name. `first` and `last` are
    prefixes: the field under them is tried before all, and after all other keys. `union` fields
    read all of their keys, not the first present one.
    """

    logsource: Mapping[str, str]
    first: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]
    envelope: Mapping[str, tuple[str, ...]]
    union: frozenset[str]
    last: tuple[str, ...]

    def fits(self, logsource: Mapping[str, str]) -> bool:
        return self.logsource.items() <= logsource.items()


class FieldMap:
    """Resolves rule fields; equal answers are the same `Field`, so rules share the texts of a
    view.
    """

    def __init__(self, tables: Iterable[FieldTable]) -> None:
        # The more a table asks of the log source, the earlier its keys are tried.
        self._tables = sorted(tables, key=lambda table: -len(table.logsource))
        self._interned: dict[tuple[tuple[str, ...], bool, bool], Field] = {}
        self._found: dict[tuple[str, bool, tuple[tuple[str, str], ...]], Field] = {}

    @classmethod
    def load(cls, *paths: Path) -> "FieldMap":
        """The built-in table and those at `paths` (tried before it).

        Raises `ValueError` that names the file for a broken table, `OSError` for a missing one.
        """
        return cls([table for path in (*paths, BUILT_IN) for table in read_tables(path)])

    def field(self, logsource: Mapping[str, str], name: str, *, exact: bool) -> Field:
        """The keys for a field of a rule, in the order they are tried; an empty name is any
        value.
        """
        asked = (name, exact, tuple(logsource.items()))
        if asked not in self._found:
            self._found[asked] = self._find(logsource, name, exact)
        return self._found[asked]

    def _find(self, logsource: Mapping[str, str], name: str, exact: bool) -> Field:
        if not name:
            return self._intern("", (), exact, False)
        tables = [table for table in self._tables if table.fits(logsource)]
        envelope = [key for table in tables for key in table.envelope.get(name, ())]
        if envelope:
            return self._intern(name, (*envelope, name), exact, False)
        keys = [prefix + name for table in tables for prefix in table.first]
        keys += [key for table in tables for key in table.fields.get(name, ())]
        keys += [name]
        keys += [prefix + name for table in tables for prefix in table.last]
        union = any(name in table.union for table in tables)
        return self._intern(name, tuple(dict.fromkeys(keys)), exact, union)

    def _intern(self, name: str, keys: tuple[str, ...], exact: bool, union: bool) -> Field:
        identity = (keys, exact, union)
        if identity not in self._interned:
            self._interned[identity] = Field(name, keys, exact, union)
        return self._interned[identity]


def read_tables(path: Path) -> list[FieldTable]:
    """The `[[map]]` tables of a file. Raises `ValueError` that names the file for a broken one."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return [_table(entry) for entry in document.get("map", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a table of fields: {error}") from error


def _table(entry: Mapping[str, Any]) -> FieldTable:
    return FieldTable(
        {name: entry[name] for name in ("product", "category", "service") if name in entry},
        _names(entry.get("first", [])),
        {field: _names(keys) for field, keys in entry.get("fields", {}).items()},
        {field: _names(keys) for field, keys in entry.get("envelope", {}).items()},
        frozenset(_names(entry.get("union", []))),
        _names(entry.get("last", [])),
    )


def _names(value: str | list[str]) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a name or a list of names, not {value!r}")
    return tuple(names)

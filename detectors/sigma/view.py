"""What a rule sees of an event: a flat event enters, the texts of one rule field leave.

Sigma compares text (specification v2.1.0, "Value Types"), so every value is turned into text once
for each field of an event and kept for all the rules that ask for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Event: TypeAlias = Mapping[str, Any]

# Added by the receiver, not part of what the source said: a keyword must not match on them.
RECEIVER_FIELDS = frozenset({"@timestamp", "event.id", "event.ingested", "event.dataset", "event.kind"})
RECEIVER_PREFIXES = ("observer.", "organization.", "labels.")
_SCALARS = frozenset({str, int, float, bool, type(None)})
MAX_DEPTH = 20  # levels of nested objects walked; docs/events.md flattens to the same depth


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of a rule, as the event keys that may hold it, in order of preference.

    `exact` texts keep their case, the others are folded. `union` reads all keys instead of the
    first present one. A field without keys stands for every value of the event (a keyword search).
    Identity is equality: views cache by the object, so share it between rules.
    """

    name: str
    keys: tuple[str, ...]
    exact: bool = False
    union: bool = False


class View(dict[Field, tuple[str, ...]]):
    """The texts of one event by field, made at first use.

    `keys`, where they are known, say which key of the event a field is read from ("" for none), and that no value is an
    object.
    """

    __slots__ = ("_keys", "_nests", "event")

    def __init__(self, event: Event, keys: Mapping[Field, str] | None = None) -> None:
        super().__init__()
        self.event = event
        self._keys = keys
        self._nests: bool | None = None if keys is None else False

    def __missing__(self, field: Field) -> tuple[str, ...]:
        found: list[str] = []
        for _, value in self.located(field):
            if type(value) is str:
                found.append(value if field.exact else fold(value))
            elif field.exact:
                found.extend(texts(value))
            else:
                found.extend(map(fold, texts(value)))
        self[field] = result = tuple(found)
        return result

    def located(self, field: Field) -> list[tuple[str, Any]]:
        """The (event key, value) pairs a field reads: none when the field is missing.

        A flat key goes before a path into nested objects; a key that holds null counts only when
        no other key of the field holds a value.
        """
        event = self.event
        if not field.keys:
            return [pair for pair in event.items() if not _is_receiver_field(pair[0])]
        if self._keys is not None and not field.union:
            key = self._keys[field]
            if not key or event[key] is not None:
                return [(key, event[key])] if key else []
        found: list[tuple[str, Any]] = []
        nests = self._has_objects()
        for key in field.keys:
            value = event.get(key)
            if value is None:
                if not nests or key in event:
                    continue
                nested = list(_nested(event, key))
                if not nested:
                    continue
                value = nested if len(nested) > 1 else nested[0]
            found.append((key, value))
            if not field.union:
                return found
        return found or [(key, None) for key in field.keys if key in event][:1]

    def _has_objects(self) -> bool:
        """Whether any value of the event is an object, or a list with one, so that a path can lead into it."""
        if self._nests is None:
            self._nests = has_objects(self.event)
        return self._nests


def has_objects(event: Event) -> bool:
    """Whether any value of an event is an object, or a list with one, so that a path can lead into it."""
    if _SCALARS.issuperset(map(type, event.values())):
        return False
    others = [value for value in event.values() if type(value) not in _SCALARS]
    return not all(type(value) is list and _SCALARS.issuperset(map(type, value)) for value in others)


def texts(value: Any) -> Iterator[str]:
    """The texts of a value: each element of a list, each leaf of an object; null has none."""
    if type(value) is str:
        yield value
    else:
        yield from _walk(value, MAX_DEPTH)


def has_null(value: Any) -> bool:
    """Whether a value is null, holds a null element or is an empty list."""
    if isinstance(value, (list, tuple)):
        return not value or any(element is None for element in value)
    return value is None


def fold(text: str) -> str:
    """Text for comparison without case, one character for each character (so that `?` stays
    one).
    """
    if text.isascii():
        return text.lower()
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(low if len(low := one.lower()) == 1 else one for one in text)
    return lowered.replace("ς", "σ")


def _walk(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        yield str(int(value))
    elif isinstance(value, Mapping):
        if depth:
            for element in value.values():
                yield from _walk(element, depth - 1)
    elif isinstance(value, (list, tuple)):
        if depth:
            for element in value:
                yield from _walk(element, depth - 1)
    elif value is not None:
        yield str(value)


def _nested(value: Any, path: str, depth: int = MAX_DEPTH) -> Iterator[Any]:
    """Values at a dotted path through nested objects; a list on the way offers each element."""
    if not depth:
        return
    if isinstance(value, (list, tuple)):
        for element in value:
            yield from _nested(element, path, depth - 1)
    elif isinstance(value, Mapping):
        if path in value:
            yield value[path]
            return
        dot = path.find(".")
        while dot > 0:
            inner = value.get(path[:dot])
            if isinstance(inner, (Mapping, list, tuple)):
                yield from _nested(inner, path[dot + 1 :], depth - 1)
            dot = path.find(".", dot + 1)


def _is_receiver_field(key: str) -> bool:
    return key in RECEIVER_FIELDS or key.startswith(RECEIVER_PREFIXES)

"""Any JSON object in, flat dotted names out: bounded in depth and number, every value one that any index takes."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from collectors.decoders.contract import Fields
from collectors.decoders.json_text import to_json

MAX_DEPTH = 20
"""Levels that become dots; what is deeper stays one JSON text (docs/events.md)."""

MAX_FIELDS = 1000
"""Fields of one event; the rest goes as JSON text into `labels.overflow`.

Elasticsearch's own default for an index is 1,000 too."""

RESERVED_FIELDS = 50
"""Of those, for the copies made here and the envelope that the caller adds."""

LEAST_INTEGER, GREATEST_INTEGER = -(2**63), 2**63 - 1
"""What Elasticsearch's long and the wire's JSON hold."""

OVERFLOW = "labels.overflow"

_GROUPS = {
    "host": "host.name",
    "user": "user.name",
    "agent": "agent.name",
    "source": "source.address",
    "destination": "destination.address",
    "client": "client.address",
    "server": "server.address",
    "service": "service.name",
    "process": "process.name",
    "file": "file.path",
    "url": "url.original",
    "event": "event.action",
    "rule": "rule.name",
    "group": "group.name",
    "log": "log.value",
    "error": "error.message",
    "http": "http.value",
    "network": "network.value",
    "dns": "dns.value",
    "observer": "observer.value",
    "organization": "organization.value",
    "threat": "threat.value",
    "winlog": "winlog.value",
    "labels": "labels.value",
    "registry": "registry.value",
    "related": "related.value",
    "device": "device.value",
    "container": "container.name",
    "cloud": "cloud.value",
    "geo": "geo.value",
    "tls": "tls.value",
    "ecs": "ecs.version",
    "data_stream": "data_stream.value",
}
"""ECS groups: a plain value of that name would bar the group's own fields from any index."""


def flat(obj: Mapping[str, Any]) -> Fields:
    """Any JSON object → dotted names; at most MAX_FIELDS, at most MAX_DEPTH levels."""
    fields: Fields = {}
    overflow: Fields = {}
    _flatten(fields, overflow, "", obj, MAX_DEPTH)
    for name in [name for name in fields if name in _GROUPS]:
        fields.setdefault(_GROUPS[name], _scalar_text(fields.pop(name), _GROUPS[name]))
    _part_prefixes(fields)
    if overflow:
        fields[OVERFLOW] = to_json(overflow)
        add_error(
            fields,
            f"more than {MAX_FIELDS} fields: {len(overflow)} kept as JSON text in {OVERFLOW}",
        )
    return fields


def under(prefix: str, obj: Mapping[str, Any]) -> Fields:
    """What a sensor wrote → the same under names of its own, as bounded as `flat`."""
    fields: Fields = {}
    overflow: Fields = {}
    _flatten(fields, overflow, "", obj, MAX_DEPTH)
    _part_prefixes(fields)  # before the prefix comes: most names have no dot yet
    fields = {prefix + name: value for name, value in fields.items()}
    if overflow:
        fields[OVERFLOW] = to_json(overflow)
    return fields


def _flatten(fields: Fields, overflow: Fields, prefix: str, obj: Mapping[str, Any], depth: int) -> None:
    for name, value in obj.items():
        key = prefix + str(name)
        if isinstance(value, Mapping):
            if not value:
                continue
            if depth > 1:
                _flatten(fields, overflow, key + ".", value, depth - 1)
                continue
            value = to_json(value)  # noqa: PLW2901
        elif isinstance(value, list):
            value = _list(fields, overflow, key, value, depth)  # noqa: PLW2901
        elif type(value) is not str:
            value = _number(value)  # noqa: PLW2901
        if value is not None:
            _put(fields, overflow, key, value)


def _number(value: Any) -> object:
    """Numbers that JSON on the wire cannot hold (above 64 bits, NaN) become text."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if LEAST_INTEGER <= value <= GREATEST_INTEGER else str(value)
    if kind is float:
        return value if isfinite(value) else str(value)
    return str(value)


def _put(fields: Fields, overflow: Fields, key: str, value: object) -> None:
    if len(fields) < MAX_FIELDS - RESERVED_FIELDS or key in fields:
        fields[key] = value
    else:
        overflow[key] = value


def _list(fields: Fields, overflow: Fields, key: str, items: list[Any], depth: int) -> object:
    """Lists of plain values stay; lists of objects become one list a member, as Elasticsearch
    reads them; all else is kept as JSON text."""
    if not items:
        return None
    kinds = {type(item) for item in items}
    if kinds in ({str}, {bool}):
        return items
    if kinds <= {int, float}:
        numbers = [_number(item) for item in items]
        return numbers if str not in map(type, numbers) else [str(item) for item in items]
    if kinds == {dict} and depth > 1:
        members: dict[str, list[Any]] = {}
        for item in items:
            inner: Fields = {}
            _flatten(inner, overflow, "", item, depth - 1)
            for name, value in inner.items():
                members.setdefault(name, []).extend(value if isinstance(value, list) else [value])
        for name, values in members.items():
            same = len({type(value) for value in values}) == 1
            _put(
                fields,
                overflow,
                f"{key}.{name}",
                values if same else [_scalar_text(value, "") for value in values],
            )
        return None
    if dict in kinds or list in kinds:
        return to_json(items)
    return [_scalar_text(item, "") for item in items if item is not None]


def _scalar_text(value: object, _key: str) -> object:
    return value if isinstance(value, str | list) else to_json(value)


def _part_prefixes(fields: Fields) -> None:
    """ "a" beside "a.b" cannot both be indexed: "a" becomes "a.value"."""
    prefixes = set()
    for key in fields:
        dot = key.find(".")
        while dot > 0:
            prefixes.add(key[:dot])
            dot = key.find(".", dot + 1)
    for key in [key for key in fields if key in prefixes]:
        fields.setdefault(key + ".value", fields.pop(key))


def add_error(fields: Fields, text: str) -> None:
    told = fields.get("error.message")
    fields["error.message"] = f"{told}; {text}" if told else text

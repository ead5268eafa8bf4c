"""Windows event logs as flat objects with the raw names of the log, as tools expect that read rules literally."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from evtx import PyEvtxParser

from detectors.sigma.logsource import LogSources, origin

_PLAIN = ("Channel", "Computer", "EventRecordID", "Keywords", "Level", "Opcode", "Task")


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of an `.evtx` as its JSON has them; broken ones are passed over."""
    found = iter(PyEvtxParser(str(path)).records_json())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            try:
                record = next(found, None)
            except (RuntimeError, ValueError):
                continue
            if record is None:
                return
            yield orjson.loads(record["data"])


def flat_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record (`{"Event": {"System": …, "EventData": …}}`) with all its values side by side."""
    event = record["Event"]
    system = event["System"]
    flat: dict[str, Any] = {
        "EventID": _text(system.get("EventID")),
        "Provider_Name": _attributes(system.get("Provider")).get("Name"),
        **{name: system.get(name) for name in _PLAIN},
        "SystemTime": _attributes(system.get("TimeCreated")).get("SystemTime"),
    }
    data, more = event.get("EventData"), event.get("UserData")
    groups = [data, *(more.values() if isinstance(more, dict) else ())]
    for group in groups:
        if isinstance(group, dict):
            for name, value in group.items():
                if name != "#attributes":
                    flat.setdefault(name, _text(value))
    return flat


def with_logsource(flat: dict[str, Any], sources: LogSources) -> dict[str, Any]:
    """Return the same with `product`, `service` and `category` as far as its origin decides them."""
    found = {"product": "windows"}
    for name in ("service", "category"):
        if len(values := sources.naming(name, "windows", origin(flat))) == 1:
            (found[name],) = values
    return {**flat, **found}


def _attributes(value: Any) -> dict[str, Any]:
    inner = value.get("#attributes") if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _text(value: Any) -> Any:
    return value["#text"] if isinstance(value, dict) and "#text" in value else value

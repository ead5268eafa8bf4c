"""Streams of events as test vectors write them: a list of entries enters, events with times and ids leave.

An entry is `{at, repeat, every, event}`: the event `repeat` times (once), the first one `at` seconds after the start
(0), the next ones `every` seconds later (1). `{n}` in its values is the number of the repetition.
"""

from typing import Any

from pipeline.event import Event, event_id, from_micros, to_micros

START = to_micros("2026-11-24T05:00:00.000Z")


def events_of(entries: list[dict[str, Any]]) -> list[Event]:
    """Write the entries out, in the order given."""
    events: list[Event] = []
    for place, entry in enumerate(entries):
        unknown = entry.keys() - {"at", "repeat", "every", "event", "received"}
        assert not unknown, f"unknown keys in an entry: {unknown}"
        for number in range(entry.get("repeat", 1)):
            time = START + round((entry.get("at", 0) + number * entry.get("every", 1)) * 1_000_000)
            event = {"@timestamp": from_micros(time), "event.id": event_id("vector", place, number)}
            events.append(event | {name: _numbered(value, number) for name, value in entry["event"].items()})
    return events


def _numbered(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_numbered(each, number) for each in value]
    return value.replace("{n}", str(number)) if isinstance(value, str) else value

"""What is held of an event that takes part in a correlation, how it is read of the event, and how it is shown."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from detectors.sigma import Correlation
from detectors.sigma.correlation import VALUE_COUNT, VALUE_PERCENTILE, Key, Number, Part, number
from pipeline.event import Event, encode, from_micros

#: Values of one event that are measured, where the field holds a list.
_MAX_VALUES = 100
#: Values of different events that are one object where they are equal.
_MAX_KNOWN = 4_096

Value: TypeAlias = Key | Number
#: An event as JSON; of a correlation's alert its events; empty where it was too much to keep.
Lines: TypeAlias = bytes | tuple[bytes, ...]


class Hit(NamedTuple):
    """One event that takes part in a correlation. Hits are in order by their first three fields, which no two share.

    `time` in microseconds since 1970, `part` the number of the rule that it matched, `values` what is measured of it.
    """

    time: int
    id: str
    part: int
    values: tuple[Value, ...]
    lines: Lines


def reader_of(rule: Correlation) -> Callable[[Part, Event], tuple[Value, ...] | None]:
    """Return what reads what a correlation measures of an event; None where the event does not have it."""
    if not rule.fields:
        return lambda _part, _event: ()
    if rule.type == VALUE_COUNT or (rule.condition.percentile is None and rule.type == VALUE_PERCENTILE):
        return _texts()
    return _numbers


def _texts() -> Callable[[Part, Event], tuple[Value, ...] | None]:
    """Return what reads texts; equal ones are mostly one object, so that less is held, and counted quicker."""
    known: dict[tuple[Value, ...], tuple[Value, ...]] = {}

    def read(part: Part, event: Event) -> tuple[Value, ...] | None:
        if len(known) >= _MAX_KNOWN:
            known.clear()
        found = tuple(part.values_of(event)[:_MAX_VALUES])
        return known.setdefault(found, found) or None

    return read


def _numbers(part: Part, event: Event) -> tuple[Value, ...] | None:
    found = part.values_of(event)[:_MAX_VALUES]
    return tuple(exact for value in found if (exact := number(value[0])) is not None) or None


def copied(line: bytes) -> bytes:
    """A copy: what the encoder gives keeps some kilobytes of its buffer."""
    return bytes(memoryview(line))


def size_of(lines: Lines) -> int:
    """How many bytes they are."""
    return len(lines) if isinstance(lines, bytes) else sum(map(len, lines))


def shown(hit: Hit) -> Sequence[bytes]:
    """Return the events of a hit as JSON; what is known of it where they were too much to keep."""
    if hit.lines == b"":
        return [_stub(hit)]
    return [hit.lines] if isinstance(hit.lines, bytes) else hit.lines


def _stub(hit: Hit) -> bytes:
    return encode({"@timestamp": from_micros(hit.time), "event.id": hit.id})

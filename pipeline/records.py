"""A bus record enters, its events leave; what is no event is counted as dropped, with the reason."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from pipeline.bus import Record
from pipeline.event import Event, decode, encode, event_id, format_time, to_micros
from pipeline.frame import PoisonFrame, unpack
from pipeline.ledger import IN, POISON_FRAME, DeadLetter, Tally
from pipeline.logs import log

#: Chooses lines of a record, with their numbers from 0; `enumerate` chooses them all.
Choice = Callable[[list[bytes]], Iterable[tuple[int, bytes]]]


def readable(record: Record, tally: Tally) -> list[tuple[Event, bytes]]:
    """Return a record's events with their lines, and count them as taken in.

    A foreign producer's event that lacks an id or a time gets one: the id from its place, the time from now.
    """
    return [
        (event, line) if is_complete(event) else _completed(event, record, number)
        for number, line, event in parsed(record, tally)
    ]


def parsed(record: Record, tally: Tally, chosen: Choice = enumerate) -> Iterator[tuple[int, bytes, Event]]:
    """Yield number, line and object of the `chosen` lines, and count all lines as taken in."""
    try:
        lines = unpack(record.payload)
    except PoisonFrame as error:
        log("records").error("poison_frame", topic=record.topic, offset=record.offset, error=str(error))
        tally.add(record.source, IN, max(record.events, 1))
        letter = DeadLetter(record.topic, record.source, POISON_FRAME, str(error), record.payload)
        tally.drop(letter, max(record.events, 1))
        return
    tally.add(record.source, IN, len(lines))
    for number, line in chosen(lines):
        try:
            yield number, line, decode(line)
        except ValueError as error:
            log("records").error(
                "not_an_event", topic=record.topic, offset=record.offset, line=number, error=str(error)
            )
            tally.drop(DeadLetter(record.topic, record.source, "not_an_event", str(error), line))


def complete(event: Event, record: Record, number: int) -> Event:
    """Return the event with an id and a time, those it has or new ones."""
    return event if is_complete(event) else _completed(event, record, number)[0]


def is_complete(event: Event) -> bool:
    """Say whether an event has an id and a readable time."""
    if not isinstance(event.get("event.id"), str):
        return False
    try:
        to_micros(event["@timestamp"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return False
    return True


def _completed(event: Event, record: Record, number: int) -> tuple[Event, bytes]:
    if not isinstance(event.get("event.id"), str):
        event["event.id"] = event_id(record.topic, record.partition, record.offset, number)
    event["@timestamp"] = format_time(datetime.now(UTC))
    event.setdefault("error.message", "the event came without a readable @timestamp; the time of receipt stands in")
    return event, encode(event)

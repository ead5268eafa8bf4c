"""The envelope: a raw record and where it came from enter, a complete event's JSON line leaves."""

import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from collectors.decoders import Fields, Hints, decode, decode_object
from collectors.decoders.text import to_text
from collectors.decoders.zeek_layout import Layout
from pipeline.event import EARLIEST, KIND_FIELDS, Event, encode, event_id, format_time, parse_time
from pipeline.messages import HaidangError
from pipeline.settings.check import is_encoding

#: A time stamp further ahead than this is a clock's fault.
_AHEAD = timedelta(days=1)
#: Bytes of an unreadable record that are kept.
_MAX_BINARY = 131_072
_EARLIEST_TEXT = format_time(EARLIEST)


Position = tuple[str | bytes | int, ...]
"""What makes an event's id within its source: a place in a file, a number in a connection, the content."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What all records of a source have in common."""

    source: str
    observer: str
    organization: str
    hints: Hints = field(default_factory=Hints)
    encoding: str = "auto"

    def event(self, raw: bytes, position: Position, received: datetime, more: Mapping[str, Any]) -> bytes:
        """Return the event of one record of text. `position` makes its id; `more` are further fields."""
        text, _ = to_text(raw, self.encoding)
        if text is None:
            fields: Fields = {
                "event.kind": "pipeline_error",
                "event.dataset": "binary",
                "error.message": f"{len(raw)} bytes that are no text in any known encoding",
                "event.original_base64": base64.b64encode(raw[:_MAX_BINARY]).decode(),
            }
        else:
            fields = decode(text, self.hints, received)
            fields["event.original"] = text
        return self.complete(fields, position, received, more)

    def line_event(self, raw: bytes, position: Position, received: datetime, more: Mapping[str, Any]) -> bytes:
        """Return the event of one line, which is a JSON object or any other text."""
        if raw.lstrip()[:1] == b"{":
            with contextlib.suppress(orjson.JSONDecodeError):
                return self.object_event(orjson.loads(raw), position, received, more)
        return self.event(raw, position, received, more)

    def with_layout(self, layout: Layout | None) -> "Origin":
        """Return the origin of lines whose file has this layout."""
        return self if layout is self.hints.layout else replace(self, hints=replace(self.hints, layout=layout))

    def object_event(
        self, obj: Mapping[str, Any], position: Position, received: datetime, more: Mapping[str, Any]
    ) -> bytes:
        """Return the event of one JSON object that a sender gave."""
        return self.complete(decode_object(obj, self.hints, received), position, received, more)

    def complete(self, fields: Fields, position: Position, received: datetime, more: Mapping[str, Any]) -> bytes:
        """Put the envelope around decoded fields. It comes last: no sender can say who it is or where it belongs."""
        ingested = _stamp(received)
        message, original = fields.pop("message", None), fields.pop("event.original", None)
        identifier = event_id(self.source, *position)
        event: Event = {"@timestamp": ingested, "event.id": identifier, "event.ingested": ingested, **more}
        kind: Fields = {"event.kind": "event"}
        for name, value in fields.items():
            (kind if name in KIND_FIELDS else event)[name] = value
        event["event.id"] = identifier
        event["event.ingested"] = ingested
        if "error.message" in more and "error.message" in fields:
            event["error.message"] = f"{more['error.message']}; {fields['error.message']}"
        if event["@timestamp"] is not ingested:
            _check_time(event, received, ingested)
        # Last, in this order: the store cuts such a line into its parts without parsing it.
        event.update(kind)
        event["observer.name"] = self.observer
        event["organization.id"] = self.organization
        event["labels.source"] = self.source
        if message is not None:
            event["message"] = message
        if original is not None:
            event["event.original"] = original
        return encode(event)


def _check_time(event: Event, received: datetime, ingested: str) -> None:
    """Replace a time that no working clock says by the time of receipt; keep what was claimed."""
    claimed = event["@timestamp"]
    # Texts of one form and zone compare like their moments; only the rare rest is parsed.
    if (
        type(claimed) is str
        and len(claimed) in (24, 27)
        and claimed[-1] == "Z"
        and _EARLIEST_TEXT <= claimed <= ingested
    ):
        return
    try:
        moment = parse_time(claimed)
    except (ValueError, TypeError, OverflowError):
        moment = None
    if moment is not None and EARLIEST <= moment <= received + _AHEAD:
        event["@timestamp"] = format_time(moment)
        return
    event["@timestamp"] = ingested
    event["labels.claimed_time"] = str(claimed)[:100]
    note = f"time stamp {str(claimed)[:100]!r} is not between 1990 and tomorrow; the time of receipt stands in"
    event["error.message"] = f"{event['error.message']}; {note}" if "error.message" in event else note


_last_stamp: tuple[datetime, str] = (EARLIEST, "")


def _stamp(received: datetime) -> str:
    """Format the time of receipt, once for all the records that came together."""
    global _last_stamp  # noqa: PLW0603 - the records of one read share their time of receipt
    if _last_stamp[0] is not received:
        _last_stamp = (received, format_time(received))
    return _last_stamp[1]


def zone(name: str) -> tzinfo:
    """Return the time zone that a source's settings name.

    Raises:
        HaidangError: there is no such zone.
    """
    if name == "local":
        return _local_zone()
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise HaidangError("settings.unknown_zone", value=name) from error


def encoding(name: str) -> str:
    """Return the name of an encoding as it was given.

    Raises:
        HaidangError: there is no such encoding.
    """
    if not is_encoding(name):
        raise HaidangError("settings.unknown_encoding", value=name)
    return name


def _local_zone() -> tzinfo:
    """Return this machine's zone, with its changes over the year where the system names it."""
    target = Path("/etc/localtime").resolve()
    if "zoneinfo" in target.parts:
        name = "/".join(target.parts[target.parts.index("zoneinfo") + 1 :])
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    return datetime.now().astimezone().tzinfo or UTC

"""Events: a decoded record and its origin enter, a complete flat ECS event (docs/events.md) and its JSON line leave."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

Event = dict[str, Any]

#: An event's JSON line may not be longer: a frame (and a Kafka record) holds at most 1 MB.
MAX_EVENT_BYTES = 1_000_000
#: What is left of a long text when an event must be cut, in characters.
CUT_TEXT_TO = 32_768
#: Time stamps before this are taken for the fault of a clock (1970 is what a dead battery says).
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)

#: Long texts, last in a line: they are searched by their words, not as values.
TEXTS = ("message", "event.original", "event.original_base64", "alert.evidence")
#: What says only of which kind an event is: names from small vocabularies, in few combinations even in a busy day. The
#: collectors write those of an event side by side, `event.kind` first, just before the texts; the embedded store keeps
#: each combination once (`store/tantivy_kinds.py`). No names of hosts, users, programs or addresses: those are many.
KIND_FIELDS = frozenset((
    "event.kind", "event.dataset", "event.category", "event.type", "event.action", "event.outcome", "event.provider",
    "event.code", "network.transport", "network.protocol", "observer.name", "organization.id", "labels.source",
    "log.level", "system.auth.pam.module", "system.auth.pam.service", "system.auth.ssh.method",
    "winlog.channel", "winlog.event_id", "winlog.keywords", "winlog.level", "winlog.logon.type", "winlog.opcode",
    "winlog.provider_guid", "winlog.provider_name", "winlog.task",
))  # fmt: skip
_MICROSECOND = 1_000_000
#: Lists and maps within each other that a line may hold; orjson writes 254. What lies deeper becomes `_TOO_DEEP`.
_MAX_DEPTH = 200
_TOO_DEEP = "…"


def event_id(source: str, *parts: str | bytes | int) -> str:
    """Return 24 hexadecimal digits that are the same whenever `source` and `parts` are.

    96 bits: a store of a day holds 10^10 events at the most, where a collision has a chance of 10^-9.
    """
    # A tuple's repr is unambiguous: no two different tuples of texts, bytes and whole numbers share one.
    return blake2b(repr((source, parts)).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def format_time(moment: datetime) -> str:
    """Write a moment as ECS wants it: `2026-11-24T05:17:44.123Z` (UTC; microseconds only where there are some)."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    precision = "microseconds" if utc.microsecond % 1000 else "milliseconds"
    return utc.isoformat(timespec=precision) + "Z"


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 moment; without an offset it is UTC.

    Raises:
        ValueError: the text is no ISO 8601 date and time.
    """
    moment = datetime.fromisoformat(_at_most_microseconds(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_micros(text: str) -> int:
    """Return an ISO 8601 moment as microseconds since 1970 (UTC).

    Raises:
        ValueError: the text is no ISO 8601 date and time.
    """
    size = len(text)
    if size in (24, 27) and text[-1] == "Z" and text[19] == "." and text[20:-1].isdigit():
        return _second(text[:19]) + int(text[20:-1]) * (1 if size == 27 else 1000)
    moment = parse_time(text)
    return int(moment.replace(microsecond=0).timestamp()) * _MICROSECOND + moment.microsecond


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    """Read a whole second of UTC, as microseconds: events that come together share few of them."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * _MICROSECOND


def from_micros(micros: int) -> str:
    """Write microseconds since 1970 as ECS wants it."""
    seconds, rest = divmod(micros, _MICROSECOND)
    return format_time(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest))


def at_second(seconds: float) -> str:
    """Write seconds since 1970 as a moment without its fraction, for people and programs."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _at_most_microseconds(text: str) -> str:
    """Cut the nanoseconds that some sources write; `fromisoformat` reads them only from a fixed form."""
    dot = text.find(".")
    if dot < 0:
        return text
    end = dot + 1
    while end < len(text) and text[end].isdigit():
        end += 1
    return text[: dot + 7] + text[end:] if end - dot > 7 else text


def encode(event: Mapping[str, Any]) -> bytes:
    """Return the event as one JSON line (no line end) of at most `MAX_EVENT_BYTES`.

    A longer one is cut where it is longest, and says so in `error.message`; nothing else of it changes.
    """
    line = _dumps(event)
    return line if len(line) <= MAX_EVENT_BYTES else _cut(event, len(line))


def decode(line: bytes) -> Event:
    """Read one JSON line.

    Raises:
        ValueError: the line is no JSON object.
    """
    event = orjson.loads(line)
    if not isinstance(event, dict):
        raise ValueError(f"an event is a JSON object, this is a {type(event).__name__}")
    return event


def _dumps(event: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:  # lone surrogates, integers past 64 bits, deep nesting: rare, so only then the slow way
        return orjson.dumps(_plain(dict(event)), default=str)


def _plain(value: Any, depth: int = _MAX_DEPTH) -> Any:
    if not depth:
        return _TOO_DEEP
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    return value


def _cut(event: Mapping[str, Any], size: int) -> bytes:
    kept = dict(event)
    note = f"event of {size} bytes cut to fit {MAX_EVENT_BYTES}"
    kept["error.message"] = f"{kept['error.message']}; {note}" if "error.message" in kept else note
    sizes = {name: len(_dumps({"": value})) for name, value in kept.items()}
    for name in sorted(kept, key=lambda name: -sizes[name]):
        if size <= MAX_EVENT_BYTES - len(note) * 2 or sizes[name] <= CUT_TEXT_TO:
            break  # short enough, or nothing is left that a cut would shorten
        value = kept[name]
        kept[name] = (value if isinstance(value, str) else _dumps({"": value}).decode())[:CUT_TEXT_TO]
        size += len(_dumps({"": kept[name]})) - sizes[name]
    line = _dumps(kept)
    if len(line) <= MAX_EVENT_BYTES:
        return line
    essential: Event = {name: kept[name] for name in ("@timestamp", "event.id", "event.dataset") if name in kept}
    return _dumps({**essential, "event.kind": "pipeline_error", "error.message": note})

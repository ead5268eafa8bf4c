"""What a behaviour detector is: network and log-in events enter in the order of their time, alerts leave.

Here are the contract, what of an event all detectors read (`Seen`), the bounded state that they keep (`Keys`, `Recent`,
`Told`), and how an alert is made (`alert`). The list of detectors is in `behaviours.py`. No clock, no input, no output.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

from pipeline.event import Event, event_id, format_time, from_micros, to_micros
from pipeline.messages import LANGUAGES, say, speaking
from pipeline.networks import Site
from pipeline.own_alerts import DATASET, SEVERITY
from pipeline.settings import Behaviours

S = TypeVar("S")

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
#: Events that an alert shows: the first of them by id and time alone, the last one whole.
MAX_EVIDENCE = 10
#: What comes from an event into the state is cut to so many characters.
MAX_TEXT = 300
#: How a TCP connection went (Zeek's names) where the source has asked for it and was not let in, and where it was. The
#: others say that no SYN of the source was seen: half a connection, or the answer to a forged one (back-scatter).
_REFUSED, _ACCEPTED = frozenset(("S0", "REJ", "RSTOS0", "SH")), frozenset(("SF", "S1", "S2", "S3", "RSTO", "RSTR"))
#: Ports below this are services; answers come from them, and go to ports from it on.
SERVICES = 1024


def text(event: Event, name: str) -> str:
    """Return a field's text; "" where it is none. Of a list the first."""
    value = event.get(name)
    if type(value) is str:
        return value[:MAX_TEXT]
    first = value[0] if isinstance(value, list) and value else None
    return first[:MAX_TEXT] if isinstance(first, str) else ""


def texts(event: Event, name: str) -> list[str]:
    """Return a field's texts."""
    value = event.get(name)
    found = value if isinstance(value, list) else [value]
    return [item[:MAX_TEXT] for item in found if isinstance(item, str)]


def whole(event: Event, name: str) -> int:
    """Return a field's whole number from 0 on; -1 where it is none."""
    value = event.get(name)
    if type(value) is int:
        return value if 0 <= value < 2**63 else -1
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return -1


class Seen:
    """An event, and of it what most detectors read; what is no text or no number there is "" or -1 here.

    `time` is its place in time (microseconds since 1970), `kind` what it tells of: `flow`, `dns`, `http`, `tls`, `ssh`,
    `smb`, `dce_rpc`, `kerberos`, `dhcp`, `arp`, `icmp`, `login`. Of a `flow`, `start` is when it began, `ended` whether
    it is over, `refused` whether the destination did not let a TCP connection in; None where the source asked for none.
    """

    __slots__ = (
        "destination", "ended", "event", "id", "kind", "port", "protocol", "refused", "source", "source_port", "start",
        "time", "transport",
    )  # fmt: skip

    def __init__(self, event: Event, identifier: str, kind: str, time: int) -> None:
        self.event = event
        self.id = identifier
        self.kind = kind
        self.time = time
        self.source = text(event, "source.ip")
        self.destination = text(event, "destination.ip")
        self.source_port = whole(event, "source.port")
        self.port = whole(event, "destination.port")
        self.transport = text(event, "network.transport")
        self.protocol = text(event, "network.protocol")
        self.start, self.ended, self.refused = time, True, None
        if kind == "flow":
            self.start = min(_micros(text(event, "event.start")) or time, time)
            self.ended = "info" not in texts(event, "event.type")
            self.refused = _refused(self) if self.transport == "tcp" else None


def _micros(moment: str) -> int | None:
    try:
        return to_micros(moment) if moment else None
    except (ValueError, OverflowError):
        return None


def _refused(seen: Seen) -> bool | None:
    state = text(seen.event, "flow.state")
    if state in _ACCEPTED:
        return False
    outcome = text(seen.event, "event.outcome")
    if state in _REFUSED or (not state and outcome == "failure"):
        is_answer = 0 <= seen.source_port < SERVICES <= seen.port
        return None if is_answer else True
    return False if not state and outcome == "success" else None


class Recent:
    """Distinct values of a sliding window, the one seen longest ago first, each with time and id of its last event."""

    __slots__ = ("values",)

    def __init__(self, plain: Sequence[Any] = ()) -> None:
        self.values: dict[Any, tuple[int, str]] = {}
        for value, time, name in plain:
            self.values[_hashable(value)] = time, name

    def add(self, value: Any, time: int, identifier: str, span: int, most: int) -> int:
        """Put a value in; forget what is older than `span`, and the oldest above `most`; return how many are left."""
        values = self.values
        values.pop(value, None)
        values[value] = (time, identifier)
        start = time - span
        if next(iter(values.values()))[0] < start:
            for item in [item for item, (when, _) in values.items() if when < start]:
                del values[item]
        if len(values) > most:
            del values[next(iter(values))]
        return len(values)

    def count(self, since: int) -> int:
        """How many values were seen from a time on."""
        return sum(1 for time, _ in self.values.values() if time >= since)

    @property
    def since(self) -> int:
        """The time of the first value."""
        return next(iter(self.values.values()))[0] if self.values else 0

    def plain(self) -> list[Any]:
        """Give the values as JSON can write them."""
        return [[value, time, identifier] for value, (time, identifier) in self.values.items()]


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _same(value: Any) -> Any:
    return value


class Keys(Generic[S]):
    """State by key: what was not touched for `age` goes, and above `most` the one that was not touched longest."""

    def __init__(self, most: int, age: int, make: Callable[..., S], plain: Callable[[S], Any] = _same) -> None:
        self.evicted = 0
        self.age = age
        self._most = most
        self._make = make
        self._plain = plain
        self._held: OrderedDict[Any, list[Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def touch(self, key: Any, time: int) -> S:
        """Return the state of a key, a new one where there is none."""
        held = self._held
        entry = held.get(key)
        if entry is None:
            entry = held[key] = [time, self._make()]
            self._make_room(time)
        else:
            if entry[0] < time - self.age:
                entry[1] = self._make()
            entry[0] = time
            held.move_to_end(key)
        state: S = entry[1]
        return state

    def look(self, key: Any, time: int) -> S | None:
        """Return the state of a key where there is one."""
        entry = self._held.get(key)
        return None if entry is None or entry[0] < time - self.age else entry[1]

    def set(self, key: Any, state: S, time: int) -> None:
        """Give a key this state."""
        entry = self._held.get(key)
        if entry is None:
            self._held[key] = [time, state]
            self._make_room(time)
        else:
            entry[:] = time, state
            self._held.move_to_end(key)

    def _make_room(self, time: int) -> None:
        """One key more is held: let go what is too old, or the one that was not touched longest."""
        held = self._held
        if next(iter(held.values()))[0] < time - self.age:
            self.expire(time)
        if len(held) > self._most:
            held.popitem(last=False)
            self.evicted += 1

    def drop(self, key: Any) -> None:
        """Forget a key."""
        self._held.pop(key, None)

    def drop_oldest(self) -> S | None:
        """Forget the key that was not touched longest, to make room; return its state."""
        if not self._held:
            return None
        self.evicted += 1
        state: S = self._held.popitem(last=False)[1][1]
        return state

    def items(self) -> Iterator[tuple[Any, S]]:
        """Give keys and states."""
        return ((key, entry[1]) for key, entry in self._held.items())

    def expire(self, time: int) -> None:
        """Forget what is too old."""
        held = self._held
        while held and next(iter(held.values()))[0] < time - self.age:
            held.popitem(last=False)

    def dump(self) -> Iterator[list[Any]]:
        """Give all as JSON can write it."""
        yield [self.evicted]
        for key, (time, state) in self._held.items():
            yield [key, time, self._plain(state)]

    def load(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take what `dump` gave."""
        for row in rows:
            if len(row) == 1:
                self.evicted = row[0]
            else:
                self._held[_hashable(row[0])] = [row[1], self._make(row[2])]
        while len(self._held) > self._most:  # fewer may be held than when this was written
            self.drop_oldest()


def recents(most: int, age: int) -> Keys[Recent]:
    """Windows by key."""
    return Keys(most, age, Recent, Recent.plain)


def numbers(most: int, age: int) -> Keys[int]:
    """Whole numbers by key."""
    return Keys(most, age, int)


def lists(most: int, age: int) -> Keys[list[Any]]:
    """Lists of plain values by key."""
    return Keys(most, age, list)


@dataclass(frozen=True, slots=True)
class About:
    """A rule of a behaviour: `behaviour.<name>`. Its words are in the catalogues as `behaviours.<name>`, `…_why` and
    `…_response`."""

    name: str
    level: str
    tags: tuple[str, ...]
    references: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The rule's identifier, the same in every version."""
        return f"behaviour.{self.name}"


class Behaviour(ABC):
    """One detector: pure, fed in the order of time, its state in `tables`, each bounded by count and by age."""

    #: What it is called in the settings.
    name: ClassVar[str]
    #: The kinds of events that it takes.
    kinds: ClassVar[frozenset[str]]
    #: How late an event that missed its place in time may be and still be of use, in microseconds: it counts as of now.
    latest: ClassVar[float] = 5 * MINUTE

    def __init__(self, settings: Behaviours, site: Site) -> None:
        self.site = site
        self.most = settings.keys
        self.told = numbers(settings.keys, int(settings.repeat_hours * HOUR) - 1)
        self.tables: dict[str, Keys[Any]] = {"told": self.told}

    @abstractmethod
    def take(self, seen: Seen) -> Iterable[Event]:
        """Take an event, the next in time; return the alerts that it leads to."""

    def end(self, time: int) -> Iterable[Event]:
        """Nothing more comes; return what is still to be said."""
        del time
        return ()

    def is_news(self, key: tuple[Any, ...], time: int) -> bool:
        """Say whether an alert on this key was not raised within the last `repeat_hours`, and note that it is now."""
        if self.told.look(key, time) is not None:
            return False
        self.told.set(key, 1, time)
        return True

    def dump(self) -> Iterator[list[Any]]:
        """Give the state as rows that JSON can write."""
        for name, table in self.tables.items():
            for row in table.dump():
                yield [name, *row]

    def load(self, rows: Iterable[list[Any]]) -> None:
        """Go on from what `dump` gave."""
        by_table: dict[str, list[list[Any]]] = {}
        for name, *row in rows:
            by_table.setdefault(name, []).append(row)
        for name, table in self.tables.items():
            table.load(by_table.get(name, ()))


#: What an alert repeats of the event that made it fire.
_REPEATED = ("organization.id", "labels.source", "log.file.path")


def alert(
    rule: About,
    seen: Seen,
    key: Sequence[str | int],
    entities: dict[str, Any],
    values: dict[str, Any],
    evidence: Recent | None = None,
    level: str = "",
    count: int = 0,
) -> Event:
    """Return the alert that `seen` made fire; the same events lead to the same id.

    `entities` are who and where, `values` what its words in the catalogues are filled with, in each language's way of
    writing numbers; what is "" is left out.
    """
    level = level or rule.level
    before = list(evidence.values.values()) if evidence is not None else []
    shown = [
        {"@timestamp": from_micros(time), "event.id": identifier}
        for time, identifier in before
        if identifier != seen.id
    ][: MAX_EVIDENCE - 1]
    document: Event = {
        "@timestamp": from_micros(seen.time),
        "event.id": event_id("alert", rule.id, *key, seen.time, seen.id),
        "event.kind": "alert",
        "event.dataset": DATASET,
        "event.created": format_time(datetime.now(UTC)),
        "event.severity": SEVERITY[level],
        "rule.id": rule.id,
        "rule.level": level,
        "rule.author": "Hải Đăng",
        "rule.reference": list(rule.references),
        "tags": list(rule.tags),
        "alert.status": "new",
        "alert.count": count or max(len(before), 1),
        "alert.matches": [
            {"selection": "behaviour", "field": name, "value": written(value, "en")} for name, value in values.items()
        ],
        "alert.evidence": [*shown, seen.event],
    }
    for language in LANGUAGES:
        ending = "" if language == "en" else f"_{language}"
        with speaking(language):
            filled = {name: written(value, language) for name, value in values.items()}
            document[f"rule.name{ending}"] = say(f"behaviours.{rule.name}")
            document[f"rule.description{ending}"] = say(f"behaviours.{rule.name}_why", **filled)
            document[f"rule.response{ending}"] = say(f"behaviours.{rule.name}_response")
    document.update({name: value for name, value in entities.items() if value not in ("", -1)})
    document.update({name: seen.event[name] for name in _REPEATED if isinstance(seen.event.get(name), str)})
    return document


def written(value: Any, language: str) -> str:
    """Write a value as a language does: 1,234.5 and 1.234,5."""
    if isinstance(value, float):
        number = f"{value:,.3f}".rstrip("0").rstrip(".")
    elif isinstance(value, int):
        number = f"{value:,}"
    else:
        return str(value)
    return number.translate(_EXCHANGED) if language == "vi" else number


_EXCHANGED = str.maketrans(",.", ".,")


def listed(values: Iterable[Any], most: int = 10) -> str:
    """Write the first of some values behind each other."""
    written = [str(value) for value in values]
    return ", ".join(written[:most]) + (" …" if len(written) > most else "")

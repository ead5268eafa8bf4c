"""Indicators in the state: lists with their versions, and what people add one by one; the same for every machine.

A list's new version is written in pieces beside the one in force, then put in force in one short transaction: whoever
reads sees the one or the other, and a kill in between leaves the old one.
"""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import count
from typing import Any

import zstandard
from sqlalchemy import Connection, Engine, delete, func, select, update

from detectors.indicators.indicator import Indicator, of_line
from pipeline.access import note
from pipeline.messages import HaidangError
from pipeline.settings.indicators import LIVE
from pipeline.state import insert_new, upsert
from pipeline.state.tables import indicator_feeds, indicator_pieces, indicator_searches, indicators_live

#: A list that somebody has brought in once; the settings do not name it.
IMPORTED = "import"
#: Indicators that are kept one by one: more of them are a list.
MOST_LIVE = 100_000
#: Bytes of lines in a piece, before it is packed.
_PIECE = 4_000_000
#: Counted up when what an index is made of, or how, changes.
_FORM = "1"
_DAY = 86_400.0


class ChangedMeanwhile(HaidangError):
    """A list got a new version while it was read: read anew."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A list as the state has it; times in seconds since 1970."""

    name: str
    kind: str
    place: str
    version: int
    count: int
    detail: dict[str, Any]
    marks: dict[str, Any]
    changed: float
    refreshed: float
    tried: float
    requested: float
    failures: int
    error: str

    @property
    def ends(self) -> float:
        """When its indicators end because nothing was heard of it, 0: never."""
        days = float(self.detail.get("expires_days", 0))
        return self.refreshed + days * _DAY if days else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as people and programs see it."""
        shown = {name: value for name, value in asdict(self).items() if name not in ("marks", "detail", "requested")}
        return {**shown, "ends": self.ends or None, **self.detail}


def feeds(engine: Engine) -> list[Feed]:
    """Return every list, those that failed before they ever came, too."""
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(indicator_feeds).where(indicator_feeds.c.name != LIVE)).mappings()
        return [Feed(**row) for row in sorted(rows, key=lambda row: str(row["name"]))]


def feed(engine: Engine, name: str) -> Feed | None:
    """Return one list, or None."""
    return next((each for each in feeds(engine) if each.name == name), None)


def versions(engine: Engine) -> dict[str, int]:
    """Return the version of each list, and of `live`; cheap enough to be asked all the time."""
    with engine.connect().execution_options(read_only=True) as connection:
        found = connection.execute(select(indicator_feeds.c.name, indicator_feeds.c.version))
        return {name: version for name, version in found if version}


def signature(found: dict[str, int], allowed: Sequence[str]) -> str:
    """Return the name of the index of these versions; "" where there is no list."""
    listed = sorted((name, version) for name, version in found.items() if name != LIVE)
    return blake2b(repr((_FORM, listed, tuple(allowed))).encode(), digest_size=12).hexdigest() if listed else ""


def lines_of(engine: Engine, name: str, version: int) -> Iterator[bytes]:
    """Yield the lines of a list.

    Raises:
        ChangedMeanwhile: another version is in force by now.
    """
    yield from _written(engine, name, version)
    if versions(engine).get(name) != version:
        raise ChangedMeanwhile("indicators.changed_meanwhile", name=name)


def _written(engine: Engine, name: str, version: int) -> Iterator[bytes]:
    table = indicator_pieces.c
    unpacker = zstandard.ZstdDecompressor()
    for piece in count():
        where = (table.feed == name) & (table.version == version) & (table.piece == piece)
        with engine.connect().execution_options(read_only=True) as connection:
            data = connection.scalar(select(table.data).where(where))
        if data is None:
            return
        yield from unpacker.decompress(data).split(b"\n")


class NewVersion:
    """A version of a list that is being written; nobody sees it until `put_in_force`."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name
        self._packer = zstandard.ZstdCompressor(level=3)
        self._digest = blake2b(digest_size=16)
        self._held: list[bytes] = []
        self._size = self._piece = 0
        known = feed(engine, name)
        self.before = known.version if known else 0
        self.version = self.before
        while self.version == self.before:  # two that write at once must not share a number
            self.version = secrets.randbelow(2**31 - 1) + 1

    @property
    def digest(self) -> str:
        """What is the same for the same lines."""
        return self._digest.hexdigest()

    def add(self, line: bytes) -> None:
        """Add a line."""
        self._digest.update(line + b"\n")
        self._held.append(line)
        self._size += len(line) + 1
        if self._size >= _PIECE:
            self._write()

    def finish(self) -> None:
        """Write what is left."""
        if self._held:
            self._write()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines again."""
        return _written(self._engine, self.name, self.version)

    def drop(self) -> None:
        """Leave nothing of it."""
        _forget_pieces(self._engine, self.name, self.version)

    def put_in_force(self, row: dict[str, Any], search: dict[str, Any] | None) -> None:
        """Let it be the list from now on, and let stored events be searched for what is new.

        Raises:
            HaidangError: somebody else has put another one in force meanwhile.
        """
        table = indicator_feeds
        with self._engine.begin() as connection:
            present = connection.scalar(select(table.c.version).where(table.c.name == self.name)) or 0
            if present != self.before:
                raise HaidangError("indicators.changed_meanwhile", name=self.name)
            upsert(connection, table, [{**row, "name": self.name, "version": self.version}], ["name"])
            if search is not None:
                connection.execute(indicator_searches.insert(), search)
        table = indicator_pieces
        with self._engine.begin() as connection:  # also what a kill has left
            connection.execute(delete(table).where((table.c.feed == self.name) & (table.c.version != self.version)))

    def _write(self) -> None:
        row = {
            "feed": self.name, "version": self.version, "piece": self._piece,
            "data": self._packer.compress(b"\n".join(self._held)),
        }  # fmt: skip
        with self._engine.begin() as connection:  # one short transaction each: others write, too
            connection.execute(indicator_pieces.insert(), row)
        self._piece += 1
        self._held, self._size = [], 0


def _forget_pieces(engine: Engine, name: str, version: int | None = None) -> None:
    table = indicator_pieces.c
    where = table.feed == name if version is None else (table.feed == name) & (table.version == version)
    with engine.begin() as connection:
        connection.execute(delete(indicator_pieces).where(where))


def note_attempt(engine: Engine, name: str, kind: str, place: str, **changes: Any) -> None:
    """Keep what became of a refresh that brought nothing new, or nothing at all."""
    row = {
        "name": name, "kind": kind, "place": place, "version": 0, "count": 0, "detail": {}, "marks": {},
        "changed": 0.0, "refreshed": 0.0, "tried": time.time(), "requested": 0.0, "failures": 0, "error": "",
    }  # fmt: skip
    with engine.begin() as connection:
        insert_new(connection, indicator_feeds, [row], ["name"])
        table = indicator_feeds
        connection.execute(
            update(table).where(table.c.name == name).values(tried=time.time(), requested=0.0, **changes)
        )


def request(connection: Connection, name: str, now: float) -> bool:
    """Ask for a list to be refreshed as soon as can be; False where there is none of this name."""
    table = indicator_feeds
    asked = update(table).where((table.c.name == name) & (table.c.name != LIVE)).values(requested=now)
    return bool(connection.execute(asked).rowcount)


def remove_feed(engine: Engine, name: str) -> bool:
    """Remove a list with all its indicators; False where there is none."""
    with engine.begin() as connection:
        table = indicator_feeds
        done = connection.execute(delete(table).where((table.c.name == name) & (table.c.name != LIVE))).rowcount
    _forget_pieces(engine, name)
    return bool(done)


def live(engine: Engine) -> list[Indicator]:
    """Return what was added one by one."""
    return [each.indicator for each in live_rows(engine)]


@dataclass(frozen=True, slots=True)
class Live:
    """An indicator that somebody has added, with who, from where, when and why."""

    indicator: Indicator
    reason: str
    who: str
    address: str
    added: float

    def as_json(self) -> dict[str, Any]:
        """Return it as people and programs see it."""
        return {
            **self.indicator._asdict(), "reason": self.reason, "who": self.who, "address": self.address,
            "added": self.added,
        }  # fmt: skip


def live_rows(engine: Engine) -> list[Live]:
    """Return what was added one by one, the newest first."""
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(indicators_live).order_by(indicators_live.c.added.desc())).mappings().all()
    return [
        Live(
            Indicator(
                row["kind"], row["value"], LIVE, row["threat"], row["confidence"], row["expires"], row["family"],
                row["reference"], row["tlp"],
            ),
            row["reason"], row["who"], row["address"], row["added"],
        )
        for row in rows
    ]  # fmt: skip


def add_live(
    engine: Engine, added: Sequence[Indicator], who: tuple[str, str], reason: str, retro_days: float
) -> int | None:
    """Add indicators, or change those that are there; return the number of the search of what is stored, if any.

    `who`: a name, and from where.

    Raises:
        HaidangError: there would be too many.
    """
    now = time.time()
    rows = {
        (each.kind, each.value): {
            "kind": each.kind, "value": each.value, "threat": each.threat, "confidence": each.confidence,
            "expires": each.expires, "family": each.family, "reference": each.reference, "tlp": each.tlp,
            "reason": reason, "who": who[0], "address": who[1], "added": now,
        }
        for each in added
    }  # fmt: skip
    with engine.begin() as connection:
        there = connection.scalar(select(func.count()).select_from(indicators_live)) or 0
        if there + len(rows) > MOST_LIVE:
            raise HaidangError("indicators.too_many", source=LIVE, limit=MOST_LIVE)
        upsert(connection, indicators_live, list(rows.values()), ["kind", "value"])
        _bump(connection, now)
        for kind, value in rows:
            note(connection, *who, "indicators_add", kind=kind, value=value, reason=reason)
        if not retro_days:
            return None
        return _add_search(connection, new_search(LIVE, [each.line() for each in added], retro_days))


def remove_live(engine: Engine, pairs: Iterable[tuple[str, str]], who: tuple[str, str], reason: str) -> int:
    """Remove indicators that somebody has added; return how many were there."""
    table = indicators_live
    removed = 0
    with engine.begin() as connection:
        for kind, value in pairs:
            where = (table.c.kind == kind) & (table.c.value == value)
            if connection.execute(delete(table).where(where)).rowcount:
                removed += 1
                note(connection, *who, "indicators_remove", kind=kind, value=value, reason=reason)
        if removed:
            _bump(connection, time.time())
    return removed


def _bump(connection: Connection, now: float) -> None:
    """Say that `live` has changed."""
    table = indicator_feeds
    row = {
        "name": LIVE, "kind": LIVE, "place": "", "version": 0, "count": 0, "detail": {}, "marks": {}, "changed": now,
        "refreshed": now, "tried": now, "requested": 0.0, "failures": 0, "error": "",
    }  # fmt: skip
    insert_new(connection, table, [row], ["name"])
    connection.execute(update(table).where(table.c.name == LIVE).values(version=table.c.version + 1, changed=now))


# What is to be searched in the stored events.

VALUES, READING = "values", "reading"
WAITING, DONE, BOUNDED, FAILED = "waiting", "done", "bounded", "failed"
#: Searches that are kept to look at.
_KEPT_SEARCHES = 200


@dataclass(frozen=True, slots=True)
class Search:
    """A search of stored events (docs/indicators.md); `since` and `until` in microseconds since 1970."""

    id: int
    created: float
    feed: str
    kind: str
    since: int
    until: int
    lines: bytes
    count: int
    state: str
    done: int
    examined: int
    found: int
    ended: float
    error: str

    @property
    def indicators(self) -> list[Indicator]:
        """The indicators that are searched for; none: all that are in force."""
        if not self.lines:
            return []
        return [of_line(line) for line in zstandard.ZstdDecompressor().decompress(self.lines).split(b"\n")]

    def as_json(self) -> dict[str, Any]:
        """Return it as people and programs see it."""
        return {name: value for name, value in asdict(self).items() if name != "lines"}


def new_search(name: str, lines: Sequence[bytes], days: float, count: int | None = None) -> dict[str, Any]:
    """Return the row of a new search, for these indicators, or without any for all that are in force."""
    now = time.time()
    return {
        "created": now, "feed": name, "kind": VALUES if lines else READING, "since": int((now - days * _DAY) * 1e6),
        "until": 0, "lines": zstandard.ZstdCompressor().compress(b"\n".join(lines)) if lines else b"",
        "count": len(lines) if count is None else count, "state": WAITING, "done": 0, "examined": 0, "found": 0,
        "ended": 0.0, "error": "",
    }  # fmt: skip


def add_search(engine: Engine, row: dict[str, Any]) -> int:
    """Ask for a search; return its number."""
    with engine.begin() as connection:
        return _add_search(connection, row)


def _add_search(connection: Connection, row: dict[str, Any]) -> int:
    made = connection.execute(indicator_searches.insert().returning(indicator_searches.c.id), row)
    return int(made.scalar_one())


def searches(engine: Engine, waiting: bool = False) -> list[Search]:
    """Return the searches, the newest first; or those that wait, the oldest first."""
    table = indicator_searches
    query = select(table).order_by(table.c.id.desc()).limit(_KEPT_SEARCHES)
    if waiting:
        query = select(table).where(table.c.state == WAITING).order_by(table.c.id)
    with engine.connect().execution_options(read_only=True) as connection:
        return [Search(**row) for row in connection.execute(query).mappings()]


def note_search(engine: Engine, identifier: int, **changes: Any) -> None:
    """Keep how far a search is."""
    table = indicator_searches
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == identifier).values(**changes))
        if changes.get("state"):
            connection.execute(
                delete(table).where((table.c.state != WAITING) & (table.c.id <= identifier - _KEPT_SEARCHES))
            )

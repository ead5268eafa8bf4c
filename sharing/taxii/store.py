"""Collections: objects enter, pages of them leave, in the order in which they were added.

Each collection gives every version of an object a moment of its own (`added`, in microseconds); that is what pages go
by, so that a page costs the same wherever it begins, and whoever asks for what came after a moment misses nothing.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice, product
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, bindparam, case, delete, func, select, update

from pipeline.event import from_micros, to_micros
from pipeline.messages import HaidangError
from pipeline.state import insert_new
from pipeline.state.tables import taxii_collections, taxii_objects
from sharing.stix.ids import canonical

INBOX = "inbox"
#: A collection for each level of TLP 2.0, and the one into which partners write.
ALIASES = {
    "tlp-clear": "clear", "tlp-green": "green", "tlp-amber": "amber", "tlp-amber-strict": "amber+strict",
    "tlp-red": "red", INBOX: "red",
}  # fmt: skip
#: Rows that are asked for, or written, in one statement.
_AT_ONCE = 500
#: Versions of an object that a collection holds, and bytes of a page: fewer objects than were asked for may be given.
MOST_OF_OBJECT, _MOST_BYTES = 200, 20_000_000
#: Versions that one request may name, and ids or types: each is a look of its own into an index.
MOST_VALUES, MOST_VERSIONS = 50, 20
FIRST, LAST, ALL = "first", "last", "all"
_OBJECTS = taxii_objects.c


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection; `tlp`: what is for fewer people than that is not in it."""

    number: int
    id: str
    alias: str
    tlp: str
    count: int


class Outcome(NamedTuple):
    """What became of an object: it is new, was there already, is another one under the same id and version, there was
    no room, or it has too many versions."""

    id: str
    version: str
    state: Literal["added", "known", "differs", "full", "crowded"]


class Row(NamedTuple):
    """A version of an object."""

    added: int
    id: str
    version: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which objects (TAXII 2.1, section 3.4): all conditions hold together, of several values one does.

    `after` in microseconds since 1970; `versions`: `first`, `last`, `all`, or times in microseconds.
    """

    after: int = -1
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    versions: tuple[str | int, ...] = (LAST,)
    limit: int = 1_000


class Page(NamedTuple):
    """Rows in order, and whether there are more."""

    rows: list[Row]
    more: bool


def ensure(engine: Engine) -> list[Collection]:
    """Return all collections, always in the same order; those that were never asked for are made."""
    with engine.connect().execution_options(read_only=True) as connection:
        found = _listed(connection)
    if len(found) < len(ALIASES):
        with engine.begin() as connection:
            found = collections(connection)
    return found


def collections(connection: Connection) -> list[Collection]:
    """Return the same, within a transaction that may write."""
    found = _listed(connection)
    if len(found) == len(ALIASES):
        return found
    made = [
        {"number": number, "id": str(uuid4()), "alias": alias, "last": 0, "held": 0}
        for number, alias in enumerate(ALIASES)
    ]
    insert_new(connection, taxii_collections, made, ["number"])
    return _listed(connection)


def _listed(connection: Connection) -> list[Collection]:
    rows = connection.execute(select(taxii_collections).order_by(taxii_collections.c.number)).all()
    return [Collection(row.number, row.id, row.alias, ALIASES[row.alias], row.held) for row in rows]


def named(found: Iterable[Collection], name: str) -> Collection:
    """Return the collection of this id or alias.

    Raises:
        HaidangError: there is none.
    """
    for each in found:
        if name in (each.id, each.alias):
            return each
    raise HaidangError("taxii.no_collection", name=name[:100], known=", ".join(ALIASES))


def put(
    connection: Connection, collection: Collection, objects: Sequence[Mapping[str, Any]], most: int | None = None
) -> list[Outcome]:
    """Add objects that are STIX (`sharing.stix.checking`), all in the caller's transaction; what is there stays.

    `most`: how many versions of objects the collection may hold. An object without `modified` and `created` has as its
    version the moment at which it was added.
    """
    there_are = _lock(connection, collection)  # before anybody looks at what is there
    dated = [(each, *_version_of(each)) for each in objects]
    known = _known(connection, collection, dated)
    numbers = _numbers(connection, collection, known)
    again: set[str] = set()
    outcomes: list[Outcome | None] = []
    fresh: list[tuple[int, Mapping[str, Any], str, int | None, bytes, str]] = []
    for item, version, moment in dated:
        identifier, body = str(item["id"]), canonical(item)
        digest = blake2b(body, digest_size=16).hexdigest()
        versions = known.setdefault(identifier, {})
        there = versions.get(moment) if moment is not None else _newest(versions)
        state: Literal["known", "differs", "full", "crowded"] | None = None
        if there is not None and there[1] == digest:
            state = "known"
        elif there is not None and moment is not None:
            state = "differs"
        elif most is not None and there_are + len(fresh) >= most:
            state = "full"
        elif numbers.get(identifier, 0) >= MOST_OF_OBJECT:
            state = "crowded"
        if state is not None:
            outcomes.append(Outcome(identifier, there[0] if there else version, state))
            continue
        if versions:
            again.add(identifier)
        # without a version of its own it counts as newer than all before it until it gets its moment
        versions[moment if moment is not None else 2**62 + len(fresh)] = (version, digest)
        numbers[identifier] = numbers.get(identifier, 0) + 1
        fresh.append((len(outcomes), item, version, moment, body, digest))
        outcomes.append(None)
    if fresh:
        stamps = _stamps(connection, collection, len(fresh))
        rows = [
            {
                "collection": collection.number, "added": added, "object": str(item["id"]), "type": str(item["type"]),
                "version": version or from_added(added), "moment": added if moment is None else moment, "first": True,
                "last": True, "digest": digest, "body": body,
            }
            for (_, item, version, moment, body, digest), added in zip(fresh, stamps, strict=True)
        ]  # fmt: skip
        for part in _parts(rows, _AT_ONCE * 10):
            connection.execute(taxii_objects.insert(), part)
        for (place, *_), row in zip(fresh, rows, strict=True):
            outcomes[place] = Outcome(str(row["object"]), str(row["version"]), "added")
        _mark_ends(connection, collection, again)
    return [each for each in outcomes if each is not None]


def page(connection: Connection, collection: Collection, wanted: Wanted, bodies: bool = True) -> Page:
    """Return the first objects that fit, the ones that were added first in front; without `bodies` only what they are.

    A page has as many as are asked for, or fewer where they are large; then there are more.
    """
    found: set[int] = set()
    for conditions in _streams(wanted):
        query = select(_OBJECTS.added).where(
            _OBJECTS.collection == collection.number, _OBJECTS.added > wanted.after, *conditions
        )
        found.update(connection.scalars(query.order_by(_OBJECTS.added).limit(wanted.limit + 1)))
    stamps = sorted(found)
    fitting = stamps[: wanted.limit]
    if bodies:
        fitting = _within(connection, collection, fitting)
    columns = (_OBJECTS.added, _OBJECTS.object, _OBJECTS.version, *([_OBJECTS.body] if bodies else []))
    rows = [
        Row(row.added, row.object, row.version, bytes(row.body) if bodies else b"")
        for part in _parts(fitting, _AT_ONCE)
        for row in connection.execute(
            select(*columns)
            .where(_OBJECTS.collection == collection.number, _OBJECTS.added.in_(part))
            .order_by(_OBJECTS.added)
        )
    ]
    return Page(rows, len(stamps) > len(fitting))


def _within(connection: Connection, collection: Collection, stamps: list[int]) -> list[int]:
    """Return as many of the first as fit into a page, at least one."""
    size, fitting = 0, list[int]()
    for part in _parts(stamps, _AT_ONCE):
        query = select(_OBJECTS.added, func.length(_OBJECTS.body)).where(
            _OBJECTS.collection == collection.number, _OBJECTS.added.in_(part)
        )
        for added, length in connection.execute(query.order_by(_OBJECTS.added)):
            size += length
            if fitting and size > _MOST_BYTES:
                return fitting
            fitting.append(added)
    return fitting


def has(connection: Connection, collection: Collection, identifier: str) -> bool:
    """Say whether any version of an object is in a collection."""
    query = select(_OBJECTS.added).where(_OBJECTS.collection == collection.number, _OBJECTS.object == identifier)
    return connection.scalar(query.limit(1)) is not None


def remove(connection: Connection, collection: Collection, identifier: str, versions: tuple[str | int, ...]) -> int:
    """Remove versions of an object (`all`: all of them); return how many were there."""
    _lock(connection, collection)
    removed = 0
    while True:
        wanted = Wanted(ids=(identifier,), versions=versions)
        rows = page(connection, collection, wanted, bodies=False).rows
        for part in _parts([row.added for row in rows], _AT_ONCE):
            _delete(connection, collection, _OBJECTS.added.in_(part))
        removed += len(rows)
        if versions != (ALL,) or not rows:
            break
    _mark_ends(connection, collection, {identifier})
    return removed


def forget(connection: Connection, collection: Collection, before: int, most: int = 20_000) -> int:
    """Remove what was added before a moment (microseconds since 1970), the oldest first, at most so many."""
    query = (
        select(_OBJECTS.added, _OBJECTS.object)
        .where(_OBJECTS.collection == collection.number, _OBJECTS.added < before)
        .order_by(_OBJECTS.added)
    )
    old = connection.execute(query.limit(most)).all()
    if not old:
        return 0
    _lock(connection, collection)
    for part in _parts([row.added for row in old], _AT_ONCE):
        _delete(connection, collection, _OBJECTS.added.in_(part))
    _mark_ends(connection, collection, {row.object for row in old})
    return len(old)


def from_added(added: int) -> str:
    """Write a moment as TAXII has it, in UTC with microseconds (section 2)."""
    text = from_micros(added)
    return text if len(text) == len("2026-11-30T00:00:00.000000Z") else f"{text[:-1]}000Z"


def _version_of(item: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the version of an object as it says it and in microseconds; "" and None where it has none."""
    said = item.get("modified") or item.get("created")
    return (str(said), to_micros(str(said))) if said else ("", None)


def _newest(versions: Mapping[int, tuple[str, str]]) -> tuple[str, str] | None:
    return versions[max(versions)] if versions else None


def _known(
    connection: Connection, collection: Collection, dated: Sequence[tuple[Mapping[str, Any], str, int | None]]
) -> dict[str, dict[int, tuple[str, str]]]:
    """Return of each object that is there the last version and those of the same moments, each with its digest."""
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for part in _parts(dated, _AT_ONCE):
        identifiers = {str(item["id"]) for item, _, _ in part}
        moments = {moment for _, _, moment in part if moment is not None}
        query = select(_OBJECTS.object, _OBJECTS.moment, _OBJECTS.version, _OBJECTS.digest).where(
            _OBJECTS.collection == collection.number, _OBJECTS.object.in_(identifiers),
            _OBJECTS.last.is_(True) | _OBJECTS.moment.in_(moments),
        )  # fmt: skip
        for row in connection.execute(query):
            found.setdefault(row.object, {})[row.moment] = (row.version, row.digest)
    return found


def _numbers(connection: Connection, collection: Collection, identifiers: Iterable[str]) -> dict[str, int]:
    """Return how many versions there are of each of these objects."""
    found: dict[str, int] = {}
    for part in _parts(sorted(identifiers), _AT_ONCE):
        query = select(_OBJECTS.object, func.count()).where(
            _OBJECTS.collection == collection.number, _OBJECTS.object.in_(part)
        )
        found.update({row[0]: row[1] for row in connection.execute(query.group_by(_OBJECTS.object))})
    return found


def _stamps(connection: Connection, collection: Collection, count: int) -> range:
    """Take moments for so many objects, later than all that were given before even where the clock went back.

    Whoever has taken some holds the collection's row until its transaction ends: nobody sees later ones before these.
    """
    table, now = taxii_collections, time.time_ns() // 1000
    first = case((table.c.last < now, now), else_=table.c.last + 1)
    query = (
        update(table)
        .where(table.c.number == collection.number)
        .values(last=first + count - 1, held=table.c.held + count)
        .returning(table.c.last)
    )
    last: int = connection.execute(query).scalar_one()
    return range(last - count + 1, last + 1)


def _lock(connection: Connection, collection: Collection) -> int:
    """Let nobody else write into a collection until the transaction ends; return how many rows it has."""
    table = taxii_collections
    query = update(table).where(table.c.number == collection.number).values(last=table.c.last)
    return int(connection.execute(query.returning(table.c.held)).scalar_one())


def _delete(connection: Connection, collection: Collection, fits: ColumnElement[bool]) -> None:
    table = taxii_collections
    gone = connection.execute(delete(taxii_objects).where(_OBJECTS.collection == collection.number, fits)).rowcount
    connection.execute(update(table).where(table.c.number == collection.number).values(held=table.c.held - gone))


def _mark_ends(connection: Connection, collection: Collection, identifiers: Iterable[str]) -> None:
    """Say anew of these objects which version is the first and which the last."""
    changes = []
    for part in _parts(sorted(identifiers), _AT_ONCE):
        query = (
            select(_OBJECTS.object, _OBJECTS.added, _OBJECTS.moment, _OBJECTS.first, _OBJECTS.last)
            .where(_OBJECTS.collection == collection.number, _OBJECTS.object.in_(part))
            .order_by(_OBJECTS.object, _OBJECTS.moment, _OBJECTS.added)
        )
        rows = connection.execute(query).all()
        for number, row in enumerate(rows):
            first = number == 0 or rows[number - 1].object != row.object
            last = number == len(rows) - 1 or rows[number + 1].object != row.object
            if (row.first, row.last) != (first, last):
                changes.append({"stamp": row.added, "is_first": first, "is_last": last})
    if changes:
        change = update(taxii_objects).where(
            _OBJECTS.collection == collection.number, _OBJECTS.added == bindparam("stamp")
        )
        connection.execute(change.values(first=bindparam("is_first"), last=bindparam("is_last")), changes)


def _streams(wanted: Wanted) -> Iterator[list[ColumnElement[bool]]]:
    """Yield conditions each of which is one range of an index; what fits any of them is wanted."""
    if wanted.ids:
        types = [_OBJECTS.type.in_(wanted.types)] if wanted.types else []
        named = [[_OBJECTS.object == each, *types] for each in wanted.ids]
    else:
        named = [[_OBJECTS.type == each] for each in wanted.types] or [[]]
    versions: list[list[ColumnElement[bool]]] = []
    for version in wanted.versions:
        if version == ALL:
            by_type = bool(wanted.types) and not wanted.ids  # its index has `last` before the moment
            versions += [[_OBJECTS.last.is_(True)], [_OBJECTS.last.is_(False)]] if by_type else [[]]
        elif version == LAST:
            versions.append([_OBJECTS.last.is_(True)])
        elif version == FIRST:
            versions += [[_OBJECTS.last.is_(each), _OBJECTS.first.is_(True)] for each in (True, False)]
        else:
            versions.append([_OBJECTS.moment == version])
    for one, other in product(named, versions):
        yield [*one, *other]


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while first := list(islice(rest, 1)):
        yield list(chain(first, islice(rest, size - 1)))

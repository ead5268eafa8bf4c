"""Collections of TAXII enter, those of partners and our own `inbox`, what was added to them leaves as warnings.

How far each was read is saved in the transaction that keeps what was read: nothing is left out, nothing taken twice.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, select, update

from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.state.tables import share_profiles
from sharing import book
from sharing.inbox import TAXII, NotTaken, note_refused, read, receive_in
from sharing.profile import Named
from sharing.stix.format import password_of
from sharing.taxii import client, store

#: What partners add to our own collection is kept under this name.
OWN = "taxii-inbox"
#: Objects of one warning: what is more becomes several.
_AT_ONCE = 5_000
#: How long after a failure a partner's collection is read again, in seconds.
_PAUSE_SECONDS = 300.0


def poll(engine: Engine, named: Named, now: float) -> int:
    """Read the collections that a profile names, as often as it gathers statistics; return how many objects were new.

    A server that cannot be read is told of as a fault of the profile, and asked again.
    """
    end = named.profile.endpoint
    if not end.poll or named.profile.format != "stix-taxii" or not end.url:
        return 0
    row = book.peek(engine, named.name)
    if row is None:
        return 0
    held, count = _positions(row), 0
    for collection in end.poll:
        place = held.get(collection, {})
        if now < float(place.get("due", 0)) and now >= float(place.get("polled", 0)):
            continue
        endpoint = client.Endpoint(
            end.url, collection, end.username, password_of(end), "", end.ca, end.certificate, end.key,
            end.timeout_seconds,
        )  # fmt: skip
        try:
            objects, position = client.poll(endpoint, str(place.get("position", "")))
        except HaidangError as error:
            log("sharing").warning("not_polled", profile=named.name, collection=collection, reason=str(error)[:300])
            _note(engine, named.name, collection, {**place, "polled": now, "due": now + _PAUSE_SECONDS})
            with engine.begin() as connection:
                book.note_fault(connection, named.name, str(error), now)
            continue
        due = now + named.profile.schedule.every_minutes * 60
        _keep(engine, named.name, collection, objects, {"position": position, "polled": now, "due": due})
        count += len(objects)
    return count


def read_own(engine: Engine, now: float) -> int:
    """Read what partners have added to our own collection `inbox`; return how many objects were new."""
    row = book.peek(engine, OWN)
    held = _positions(row).get("inbox", {}) if row is not None else {}
    collection = store.named(store.ensure(engine), "inbox")
    wanted = store.Wanted(int(held.get("position", -1)), versions=("all",), limit=_AT_ONCE)
    with engine.connect().execution_options(read_only=True) as connection:
        page = store.page(connection, collection, wanted)
    if not page.rows:
        return 0
    objects = [orjson.loads(row.body) for row in page.rows]
    with engine.begin() as connection:
        book.known(connection, OWN, now)
    _keep(engine, OWN, "inbox", objects, {"position": page.rows[-1].added, "polled": now})
    return len(objects)


def _positions(row: Any) -> dict[str, dict[str, Any]]:
    try:
        held = orjson.loads(row.position) if row.position else {}
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _keep(engine: Engine, profile: str, collection: str, objects: list[Any], place: dict[str, Any]) -> None:
    """Keep what was read, and how far, in one transaction."""
    now = time.time()
    with engine.begin() as connection:
        for some in _parts(objects):
            data = orjson.dumps({"type": "bundle", "id": "", "objects": some})
            try:
                receive_in(connection, profile, TAXII, data, read(data), "", profile, collection, now)
            except NotTaken as error:  # a partner's rubbish costs that much, and no more
                note_refused(connection, profile, TAXII, str(error), len(data), collection, now)
        _save(connection, profile, collection, place)


def _parts(objects: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield objects some at a time, as far as any is one that says more than who said it."""
    part: list[Any] = []
    for each in objects:
        if isinstance(each, dict):
            part.append(each)
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _note(engine: Engine, profile: str, collection: str, place: dict[str, Any]) -> None:
    with engine.begin() as connection:
        _save(connection, profile, collection, place)


def _save(connection: Connection, profile: str, collection: str, place: dict[str, Any]) -> None:
    fits = share_profiles.c.name == profile
    held = _positions(connection.execute(select(share_profiles).where(fits).with_for_update()).one())
    text = orjson.dumps({**held, collection: place}).decode()
    connection.execute(update(share_profiles).where(fits).values(position=text))

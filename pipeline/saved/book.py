"""The book of saved things: what people keep enters, what they may see leaves, with its last revisions.

Seen is what is one's own, shared with everyone, or with one's role. The owner changes it, and of what they see whoever
has `saved.manage`; sharing needs `saved.share`. What is private is its owner's alone.
"""

import time
from collections.abc import Sequence
from typing import Any

import orjson
import zstandard
from sqlalchemy import Connection, Engine, String, case, cast, delete, func, null, or_, select, update

from pipeline.access import note
from pipeline.event import event_id
from pipeline.identity import rights
from pipeline.identity.users import User
from pipeline.messages import HaidangError
from pipeline.saved import DASHBOARD, EVERYONE, MAP, PRIVATE, ROLE, Shared, Wanted, ready, shapes
from pipeline.state.tables import saved, saved_revisions

SHARE, MANAGE = "saved.share", "saved.manage"
#: So many revisions of a thing are kept.
REVISIONS = 20
#: So many things one may own, and so many bytes in all, as JSON.
MOST_THINGS = 500
MOST_BYTES = 30_000_000
#: With so many roles a thing may be shared.
_MOST_ROLES = 20
#: What is left out of lists, for it may be long.
_LONG = (DASHBOARD, MAP)


def listed(engine: Engine, user: User, kind: str = "") -> list[dict[str, Any]]:
    """Return what somebody sees, the ready ones last, else by name; dashboards and maps without their `body`."""
    body = case((saved.c.kind.in_(_LONG), null()), else_=saved.c.body).label("body")
    columns = [column for column in saved.c if column.name != "body"]
    others = cast(saved.c.shared, String) != orjson.dumps(PRIVATE).decode()
    query = select(*columns, body).where(or_(saved.c.owner == user.name, others))
    if kind:
        query = query.where(saved.c.kind == kind)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query.order_by(saved.c.name, saved.c.id)).all()
    shown = [_shown(row, row.kind not in _LONG) for row in rows if _sees(user, row)]
    ours = [each for each in ready.all_of_them() if kind in ("", each["kind"])]
    return [*shown, *({name: value for name, value in each.items() if name != "body"} for each in ours)]


def one(engine: Engine, user: User, identifier: str) -> dict[str, Any]:
    """Return one thing.

    Raises:
        HaidangError: there is none, or this user does not see it.
    """
    if found := ready.named(identifier):
        return found
    with engine.connect().execution_options(read_only=True) as connection:
        return _shown(_row(connection, user, identifier), whole=True)


def history(engine: Engine, user: User, identifier: str) -> list[dict[str, Any]]:
    """Return the revisions of a thing that are kept, the newest first, whole.

    Raises:
        HaidangError: as `one`.
    """
    if ready.named(identifier):
        return []
    query = select(saved_revisions).where(saved_revisions.c.saved == identifier)
    with engine.connect().execution_options(read_only=True) as connection:
        _row(connection, user, identifier)
        rows = connection.execute(query.order_by(saved_revisions.c.revision.desc())).all()
    return [
        {
            "revision": row.revision, "time": row.time, "who": row.who, "name": row.name,
            "description": row.description, "shared": row.shared, "body": _unpacked(row.body),
        }
        for row in rows
    ]  # fmt: skip


def make(engine: Engine, user: User, address: str, kind: str, wanted: Wanted) -> dict[str, Any]:
    """Keep a new thing.

    Raises:
        BadShape: its body is none of this kind.
        HaidangError: it may not be shared so, or its owner has too many.
    """
    body = shapes.checked(kind, wanted.body)
    now = time.time()
    identifier = event_id("saved", user.name, repr(now), wanted.name)
    row = {
        "id": identifier, "kind": kind, "owner": user.name, "revision": 1, "created": now,
        **_values(wanted, body, user.name, now),
    }  # fmt: skip
    with engine.begin() as connection:
        row["shared"] = _sharing(connection, user, PRIVATE, wanted.shared)
        _check_room(connection, user.name, "", len(body))
        connection.execute(saved.insert(), row)
        _remember(connection, row)
        note(connection, user.name, address, "saved_made", id=identifier, kind=kind, name=wanted.name,
             shared=row["shared"])  # fmt: skip
        return _shown(connection.execute(select(saved).where(saved.c.id == identifier)).one(), whole=True)


def change(engine: Engine, user: User, address: str, identifier: str, revision: int, wanted: Wanted) -> dict[str, Any]:
    """Put something else in a thing's place; `revision` is the one that whoever changes it has seen.

    Raises:
        BadShape: the body is none of its kind.
        HaidangError: there is none, it is not theirs to change or share, or somebody was quicker.
    """
    with engine.begin() as connection:
        before = _row(connection, user, identifier, to_change=True)
        if before.revision != revision:
            raise HaidangError("saved.changed_meanwhile", by=before.changed_by, revision=before.revision)
        body = shapes.checked(before.kind, wanted.body)
        values = _values(wanted, body, user.name, time.time())
        values["shared"] = _sharing(connection, user, before.shared, wanted.shared)
        values["revision"] = revision + 1
        _check_room(connection, before.owner, identifier, len(body))
        connection.execute(update(saved).where(saved.c.id == identifier).values(values))
        _remember(connection, {**values, "id": identifier})
        note(
            connection, user.name, address, "saved_changed", id=identifier, kind=before.kind, name=wanted.name,
            owner=before.owner, revision=revision + 1, shared=values["shared"], shared_before=before.shared,
        )  # fmt: skip
        return _shown(connection.execute(select(saved).where(saved.c.id == identifier)).one(), whole=True)


def remove(engine: Engine, user: User, address: str, identifier: str) -> None:
    """Take a thing away, with its revisions.

    Raises:
        HaidangError: there is none, or it is not theirs to change.
    """
    with engine.begin() as connection:
        row = _row(connection, user, identifier, to_change=True)
        connection.execute(delete(saved).where(saved.c.id == identifier))
        connection.execute(delete(saved_revisions).where(saved_revisions.c.saved == identifier))
        note(connection, user.name, address, "saved_removed", id=identifier, kind=row.kind, name=row.name,
             owner=row.owner)  # fmt: skip


def _row(connection: Connection, user: User, identifier: str, to_change: bool = False) -> Any:
    if to_change and ready.named(identifier):
        raise HaidangError("saved.is_ready")
    query = select(saved).where(saved.c.id == identifier.replace("\x00", ""))
    row = connection.execute(query.with_for_update() if to_change else query).first()
    if row is None or not _sees(user, row):
        raise HaidangError("saved.none", id=identifier[:100])
    if to_change and row.owner != user.name and MANAGE not in user.permissions:
        raise HaidangError("saved.not_yours", name=row.name, owner=row.owner)
    return row


def _sees(user: User, row: Any) -> bool:
    return row.owner == user.name or row.shared == EVERYONE or f"{ROLE}{user.role}" in _roles(row.shared)


def _roles(shared: Shared) -> Sequence[str]:
    return shared if isinstance(shared, list) else ()


def _sharing(connection: Connection, user: User, before: Shared, wanted: Shared) -> Shared:
    """Return with whom a thing is shared from now on."""
    made = sorted(set(wanted)) if isinstance(wanted, list) else wanted
    if made == before:
        return made
    if SHARE not in user.permissions:
        raise HaidangError("saved.may_not_share", role=user.role)
    if made in (PRIVATE, EVERYONE):
        return made
    if not isinstance(made, list) or not 0 < len(made) <= _MOST_ROLES:
        raise HaidangError("saved.shared_with", value=str(made)[:100])
    for each in made:
        if not each.startswith(ROLE):
            raise HaidangError("saved.shared_with", value=each[:100])
        rights.known_role(connection, each.removeprefix(ROLE))
    return made


def _check_room(connection: Connection, owner: str, without: str, size: int) -> None:
    own = select(func.count(), func.coalesce(func.sum(saved.c.size), 0)).where(
        saved.c.owner == owner, saved.c.id != without
    )
    things, used = connection.execute(own).one()
    if things >= MOST_THINGS or used + size > MOST_BYTES:
        raise HaidangError("saved.no_room", owner=owner, things=MOST_THINGS, size=MOST_BYTES // 1_000_000)


def _values(wanted: Wanted, body: bytes, who: str, now: float) -> dict[str, Any]:
    return {
        "name": wanted.name, "description": wanted.description, "body": zstandard.compress(body), "size": len(body),
        "changed": now, "changed_by": who,
    }  # fmt: skip


def _remember(connection: Connection, row: dict[str, Any]) -> None:
    """Write a revision down, and forget the oldest of more than are kept."""
    kept = ("revision", "name", "description", "shared", "body")
    of_row = {"saved": row["id"], "time": row["changed"], "who": row["changed_by"]}
    connection.execute(saved_revisions.insert(), {**of_row, **{name: row[name] for name in kept}})
    old = saved_revisions.c.revision <= row["revision"] - REVISIONS
    connection.execute(delete(saved_revisions).where(saved_revisions.c.saved == row["id"], old))


def _unpacked(body: bytes) -> Any:
    return orjson.loads(zstandard.decompress(body))


def _shown(row: Any, whole: bool) -> dict[str, Any]:
    names = ("id", "kind", "name", "description", "owner", "shared", "revision", "created", "changed", "changed_by")
    made = {name: getattr(row, name) for name in names}
    return {**made, "ready": False, **({"body": _unpacked(row.body)} if whole else {})}

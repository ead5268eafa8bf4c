"""Users: who there is, what they may do and see, their passwords, and what is changed of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from pipeline.identity import names, passwords, rights, second_factor
from pipeline.identity.oidc import Person
from pipeline.identity.views import EVERYTHING, Sight
from pipeline.messages import HaidangError
from pipeline.settings import Access
from pipeline.state.tables import group_members, sessions, users

#: The hash of no password.
_NO_HASH = "-"


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in, what they may do (`pipeline.permissions`) and see; `session` is the id of their session."""

    name: str
    role: str
    permissions: frozenset[str] = frozenset()
    sight: Sight = EVERYTHING
    session: str = ""


def without_second_factor(engine: Engine) -> list[str]:
    """Return who runs the site (may manage users) and logs in here by a password alone."""
    bare = select(users.c.name).where(users.c.totp.is_(None), users.c.issuer == "").order_by(users.c.name)
    with engine.connect().execution_options(read_only=True) as connection:
        managing = rights.managers(connection)
        return [name for name in connection.scalars(bare) if name in managing]


def any_user(engine: Engine) -> bool:
    """Say whether there is a user at all."""
    with engine.connect().execution_options(read_only=True) as connection:
        return bool(connection.scalar(select(func.count()).select_from(users)))


def create_user(
    connection: Connection,
    name: str,
    role: str,
    password: str | None = None,
    *,
    must_change: bool = False,
    policy: Access = Access(),  # noqa: B008 - frozen
) -> str:
    """Make a user; return the password (a random one where none is given, 20 characters).

    Raises:
        HaidangError: the name is taken or none, the role unknown, or the password may not be chosen.
    """
    role = rights.known_role(connection, role)
    if connection.execute(select(users.c.name).where(users.c.name == name.replace("\x00", ""))).first():
        raise HaidangError("user.exists", name=name)
    names.check_free(connection, name)
    chosen = passwords.checked(password, name, policy) if password is not None else passwords.random_password()
    now = time.time()
    row = {
        "name": name, "password": passwords.hashed(chosen), "role": role, "created": now, "failures": 0,
        "locked_until": 0.0, "disabled": False, "changed": now, "must_change": must_change, "seen": now,
        "totp_step": 0,
    }  # fmt: skip
    connection.execute(users.insert(), row)
    return chosen


def create_person(connection: Connection, person: Person) -> None:
    """Make a user whom an identity provider logs in, and who has no password here.

    Raises:
        HaidangError: the name is taken or none, or the role unknown.
    """
    create_user(connection, person.name, person.role)
    values = {"password": _NO_HASH, "issuer": person.issuer, "subject": person.subject}
    connection.execute(update(users).where(users.c.name == person.name).values(values))


def set_password(
    connection: Connection,
    name: str,
    password: str | None = None,
    *,
    must_change: bool = False,
    policy: Access = Access(),  # noqa: B008 - frozen
    keep: str = "",
) -> str:
    """Give a user a new password, end the sessions (but for the one to `keep`) and the lock; return the password.

    Raises:
        HaidangError: there is no such user, or the password may not be chosen, or was used before.
    """
    if known(connection, name).issuer:
        raise HaidangError("user.no_password", name=name)
    if password is not None:
        passwords.check_history(connection, name, passwords.checked(password, name, policy), policy)
    chosen = passwords.random_password() if password is None else password
    passwords.remember(connection, name, policy)
    values = {
        "password": passwords.hashed(chosen), "failures": 0, "locked_until": 0.0, "changed": time.time(),
        "must_change": must_change,
    }  # fmt: skip
    connection.execute(update(users).where(users.c.name == name).values(values))
    connection.execute(delete(sessions).where(sessions.c.user == name, sessions.c.id != keep))
    return chosen


def set_role(connection: Connection, name: str, role: str) -> str:
    """Give a user another role; return its name as it is now.

    Raises:
        HaidangError: there is no such user or role.
    """
    known(connection, name)
    found = rights.known_role(connection, role)
    connection.execute(update(users).where(users.c.name == name).values(role=found))
    return found


def set_disabled(connection: Connection, name: str, disabled: bool) -> None:
    """Shut a user out at once, or let them in again (and end a lock).

    Raises:
        HaidangError: there is no such user.
    """
    known(connection, name)
    values: dict[str, Any] = {"disabled": disabled}
    if disabled:
        end_sessions(connection, name)
    else:
        values |= {"failures": 0, "locked_until": 0.0, "seen": time.time()}
    connection.execute(update(users).where(users.c.name == name).values(values))


def reset_second_factor(connection: Connection, name: str) -> None:
    """Forget a user's second factor: they log in with the password, and set a new one up where their role needs it.

    Raises:
        HaidangError: there is no such user.
    """
    known(connection, name)
    second_factor.take_away(connection, name)
    end_sessions(connection, name)


def end_sessions(connection: Connection, name: str) -> int:
    """End all sessions of a user; return how many there were."""
    return connection.execute(delete(sessions).where(sessions.c.user == name)).rowcount


def known(connection: Connection, name: str) -> Any:
    """Return a user's row.

    Raises:
        HaidangError: there is no such user.
    """
    row = connection.execute(select(users).where(users.c.name == name.replace("\x00", ""))).first()
    if row is None:
        raise HaidangError("user.unknown", name=name[: names.MAX_NAME])
    return row


def listed(engine: Engine) -> Sequence[dict[str, Any]]:
    """Return all users without their secrets; times in seconds since 1970, None for who was never `seen`."""
    now = time.time()
    with engine.connect().execution_options(read_only=True) as connection:
        of_user: dict[str, list[str]] = {}
        for user, group in connection.execute(select(group_members.c.user, group_members.c.group)):
            of_user.setdefault(user, []).append(group)
        count = (
            select(sessions.c.user, func.count().label("open_now"))
            .where(sessions.c.expires > now)
            .group_by(sessions.c.user)
        )
        open_now: dict[str, int] = {row.user: row.open_now for row in connection.execute(count)}
        rows = connection.execute(select(users).order_by(users.c.name)).all()
    return [
        {
            "name": row.name, "role": row.role, "groups": sorted(of_user.get(row.name, [])), "view": row.view,
            "disabled": row.disabled, "locked": row.locked_until > now, "second_factor": row.totp is not None,
            "must_change": row.must_change, "issuer": row.issuer, "created": row.created,
            "password_changed": row.changed, "seen": row.seen if row.seen > row.created else None,
            "sessions": open_now.get(row.name, 0),
        }
        for row in rows
    ]  # fmt: skip

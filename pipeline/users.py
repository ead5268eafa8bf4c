"""Users: a name and a password enter, a session or a refusal leaves. Passwords are kept as Argon2id (RFC 9106)."""

import secrets
import time
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, delete, func, select, update

from pipeline import rights
from pipeline.access import digest, note
from pipeline.messages import HaidangError
from pipeline.settings import Api
from pipeline.state.tables import sessions, users
from pipeline.views import EVERYTHING, Sight

#: The shortest password a person may choose (NIST SP 800-63B section 3.1.1.2).
MIN_PASSWORD = 12
#: A longer password is refused by the routes and cut here: Argon2 reads all of it.
MAX_PASSWORD = 1000
_hasher = PasswordHasher()


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in, what they may do (`pipeline.permissions`) and see."""

    name: str
    role: str
    permissions: frozenset[str] = frozenset()
    sight: Sight = EVERYTHING


class LoginRefused(HaidangError):
    """A log-in that did not succeed; says the same whether name, password, a lock or a disabled account was the reason:
    else a guesser learns which names there are, and goes on guessing through the lock."""


def any_user(engine: Engine) -> bool:
    """Say whether there is a user at all."""
    with engine.connect().execution_options(read_only=True) as connection:
        return bool(connection.scalar(select(func.count()).select_from(users)))


def create_user(connection: Connection, name: str, role: str, password: str | None = None) -> str:
    """Make a user; return the password (a random one where none is given, 20 characters).

    Raises:
        HaidangError: the name is taken, the role unknown or the password too short.
    """
    role = rights.known_role(connection, role)
    if connection.execute(select(users.c.name).where(users.c.name == name)).first():
        raise HaidangError("user.exists", name=name)
    chosen = _checked(password) if password is not None else secrets.token_urlsafe(15)
    row = {
        "name": name, "password": _hasher.hash(chosen), "role": role, "created": time.time(),
        "failures": 0, "locked_until": 0.0, "disabled": False,
    }  # fmt: skip
    connection.execute(users.insert(), row)
    return chosen


def set_password(connection: Connection, name: str, password: str | None = None) -> str:
    """Give a user a new password, end the sessions and the lock; return the password.

    Raises:
        HaidangError: there is no such user, or the password is too short.
    """
    chosen = _checked(password) if password is not None else secrets.token_urlsafe(15)
    change = (
        update(users).where(users.c.name == name).values(password=_hasher.hash(chosen), failures=0, locked_until=0.0)
    )
    if not connection.execute(change).rowcount:
        raise HaidangError("user.unknown", name=name)
    connection.execute(delete(sessions).where(sessions.c.user == name))
    return chosen


def log_in(engine: Engine, name: str, password: str, address: str, settings: Api) -> tuple[str, User]:
    """Check a password; return a session's secret and its user. Takes some 50 ms and 64 MB (Argon2id).

    Raises:
        LoginRefused: wrong name or password, locked or disabled.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        hashed = connection.scalar(select(users.c.password).where(users.c.name == name))
    nobody = _nobody()
    fits = _fits(hashed or nobody, password) and hashed is not None
    with engine.begin() as connection:  # read again: other attempts may have locked the account meanwhile
        row = connection.execute(select(users).where(users.c.name == name)).mappings().first()
        now = time.time()
        locked = row is not None and row["locked_until"] > now
        if row is not None and fits and not locked and not row["disabled"]:
            secret = secrets.token_urlsafe(32)
            connection.execute(update(users).where(users.c.name == name).values(failures=0, locked_until=0.0))
            connection.execute(delete(sessions).where(sessions.c.expires < now))
            expires = now + settings.session_hours * 3600
            connection.execute(sessions.insert(), {"digest": digest(secret), "user": name, "expires": expires})
            note(connection, name, address, "login")
            return secret, User(name, row["role"], *rights.rights_of(connection, row["role"], name, [row["view"]]))
        if not fits and not locked:
            _count_failure(connection, name, address, now, settings)
        note(connection, name[:100], address, "login_failed", locked=locked)
    raise LoginRefused("user.refused", failures=settings.lockout_failures, minutes=settings.lockout_minutes)


def user_of(engine: Engine, secret: str) -> User | None:
    """Return whose session this is, or None."""
    query = (
        select(users.c.name, users.c.role, users.c.view)
        .join(sessions, sessions.c.user == users.c.name)
        .where(sessions.c.digest == digest(secret), sessions.c.expires > time.time(), users.c.disabled.is_(False))
    )
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
        if row is None:
            return None
        return User(row.name, row.role, *rights.rights_of(connection, row.role, row.name, [row.view]))


def log_out(engine: Engine, secret: str, user: User, address: str) -> None:
    """End a session."""
    with engine.begin() as connection:
        connection.execute(delete(sessions).where(sessions.c.digest == digest(secret)))
        note(connection, user.name, address, "logout")


@cache
def _nobody() -> str:
    """Return what is checked for an unknown name, so that its answer takes as long as a known one's."""
    return _hasher.hash(secrets.token_urlsafe(15))


def _count_failure(connection: Connection, name: str, address: str, now: float, settings: Api) -> None:
    failures = users.c.failures + 1
    connection.execute(update(users).where(users.c.name == name).values(failures=failures))
    count = connection.scalar(select(users.c.failures).where(users.c.name == name)) or 0
    if count >= settings.lockout_failures:
        until = now + settings.lockout_minutes * 60
        connection.execute(update(users).where(users.c.name == name).values(failures=0, locked_until=until))
        note(connection, name, address, "user_locked", until=until)


def _fits(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password[:MAX_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False


def _checked(password: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise HaidangError("user.short_password", least=MIN_PASSWORD)
    if len(password) > MAX_PASSWORD:
        raise HaidangError("user.long_password", most=MAX_PASSWORD)
    return password

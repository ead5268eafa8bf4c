"""Log-ins: a name and a password enter, a session, a session that must still show something, or a refusal leaves.

Where more than the password is asked for, the first session opens nothing but the next step: a code of the second
factor, setting one up, a new password. After each step the session has a new secret; the last opens the API.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from pipeline.access import digest, note
from pipeline.identity import passwords, rights, second_factor
from pipeline.identity.oidc import Person
from pipeline.identity.users import User, create_person, set_password, set_role
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.state.tables import sessions, users

#: The steps after the password.
CODE, ENROL, PASSWORD = "code", "enrol", "password"
#: How long somebody has for a step, in seconds.
_STEP_SECONDS = 600
#: A session's last use is written down at most so often, in seconds.
_TOUCH_SECONDS = 20
_DAY = 86_400
#: Whoever may do one of these is an administrator, whose sessions end sooner.
_ADMINISTERS = frozenset(("users.manage", "settings.change"))


@dataclass(frozen=True, slots=True)
class Entered:
    """A session's secret and its user; `steps` are what must still be shown, in this order."""

    secret: str
    user: User
    steps: tuple[str, ...] = ()


class LoginRefused(HaidangError):
    """A log-in that did not succeed; says the same whether name, password, a lock or a disabled account was the reason:
    else a guesser learns which names there are, and goes on guessing through the lock."""


def log_in(engine: Engine, name: str, password: str, address: str, settings: Settings, agent: str = "") -> Entered:
    """Check a password. Takes some 50 ms and 64 MB (Argon2id).

    Raises:
        LoginRefused: wrong name or password, locked or disabled.
    """
    name = name.replace("\x00", "\ufffd")
    with engine.connect().execution_options(read_only=True) as connection:
        hashed = connection.scalar(select(users.c.password).where(users.c.name == name))
    fits = passwords.fits(hashed or passwords.nobody(), password) and hashed is not None
    with engine.begin() as connection:  # read again: other attempts may have locked the account meanwhile
        row = connection.execute(select(users).where(users.c.name == name).with_for_update()).first()
        now = time.time()
        locked = row is not None and row.locked_until > now
        if (
            row is not None
            and fits
            and row.password == hashed
            and not locked
            and _is_in_use(connection, row, address, settings)
        ):
            steps = _steps(row, settings)
            if not steps:
                _entered(connection, name, address)
            return _open(connection, row, steps, address, agent, settings)
        if not fits and not locked:
            _count_failure(connection, name, address, settings)
        note(connection, name, address, "login_failed", locked=locked)
    raise _refused(settings)


def log_in_person(engine: Engine, person: Person, address: str, settings: Settings, agent: str = "") -> Entered:
    """Open a session for whom the identity provider has named; their role is what their groups give there.

    Raises:
        LoginRefused: the account is disabled.
        HaidangError: somebody else has this name, or the role is none.
    """
    with engine.begin() as connection:
        theirs = (users.c.issuer == person.issuer) & (users.c.subject == person.subject)
        row = connection.execute(select(users).where(theirs).with_for_update()).first()
        if row is None:
            create_person(connection, person)
            note(connection, person.name, address, "user_add", role=person.role, issuer=person.issuer)
        elif row.role != person.role:
            set_role(connection, row.name, person.role)
            note(connection, row.name, address, "user_role", role=person.role, before=row.role, issuer=person.issuer)
        row = connection.execute(select(users).where(theirs)).one()
        if _is_in_use(connection, row, address, settings):
            _entered(connection, row.name, address)
            return _open(connection, row, (), address, agent, settings)
        note(connection, row.name, address, "login_failed", issuer=person.issuer)
    raise _refused(settings)


def show_code(engine: Engine, secret: str, code: str, address: str, settings: Settings) -> Entered:
    """Go on with a code of the second factor.

    Raises:
        LoginRefused: it is wrong or was used, the account is locked, or this session waits for none.
    """
    with engine.begin() as connection:
        session, row = _waiting(connection, secret, CODE, settings)
        if row.locked_until <= time.time():
            if second_factor.is_right(connection, settings, row.name, code):
                return _go_on(connection, session, row, address, settings)
            _count_failure(connection, row.name, address, settings)
        note(connection, row.name, address, "login_failed", step=CODE)
    raise _refused(settings, "user.code_refused")


def begin_enrolment(engine: Engine, secret: str, settings: Settings) -> dict[str, str]:
    """Return a new second factor for somebody whose role needs one.

    Raises:
        LoginRefused: this session does not wait for that.
    """
    with engine.begin() as connection:
        _, row = _waiting(connection, secret, ENROL, settings)
        return second_factor.begin(connection, settings, row.name)


def enrol(engine: Engine, secret: str, code: str, address: str, settings: Settings) -> tuple[Entered, list[str]]:
    """Go on with the first code of a new second factor; return the recovery codes, too.

    Raises:
        LoginRefused: this session does not wait for that.
        HaidangError: the code is wrong.
    """
    with engine.begin() as connection:
        session, row = _waiting(connection, secret, ENROL, settings)
        codes = second_factor.confirm(connection, settings, row.name, code)
        note(connection, row.name, address, "second_factor_set")
        return _go_on(connection, session, row, address, settings), codes


def choose_password(engine: Engine, secret: str, password: str, address: str, settings: Settings) -> Entered:
    """Go on with a new password.

    Raises:
        LoginRefused: this session does not wait for that.
        HaidangError: it may not be chosen.
    """
    with engine.begin() as connection:
        session, row = _waiting(connection, secret, PASSWORD, settings)
        set_password(connection, row.name, password, policy=settings.access, keep=session.id)
        note(connection, row.name, address, "password_changed")
        return _go_on(connection, session, row, address, settings)


def user_of(engine: Engine, secret: str, settings: Settings, used: bool = True) -> User | None:
    """Return whose session this is, or None; `used`: a person did something, which keeps it open."""
    now = time.time()
    query = (
        select(users.c.name, users.c.role, users.c.view, sessions.c.id, sessions.c.seen)
        .join(sessions, sessions.c.user == users.c.name)
        .where(
            sessions.c.digest == digest(secret), sessions.c.expires > now, sessions.c.waits == "",
            users.c.disabled.is_(False),
        )
    )  # fmt: skip
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
        if row is None:
            return None
        given, sight = rights.rights_of(connection, row.role, row.name, [row.view])
    policy = settings.access
    if now - row.seen > 60 * (policy.admin_idle_minutes if given & _ADMINISTERS else policy.idle_minutes):
        with engine.begin() as connection:
            if connection.execute(delete(sessions).where(sessions.c.id == row.id)).rowcount:
                note(connection, row.name, "", "session_idle", session=row.id)
        return None
    if used and now - row.seen > _TOUCH_SECONDS:
        with engine.begin() as connection:
            connection.execute(update(sessions).where(sessions.c.id == row.id).values(seen=now))
            connection.execute(update(users).where(users.c.name == row.name).values(seen=now))
    return User(row.name, row.role, given, sight, row.id)


def prove(engine: Engine, name: str, password: str, address: str, settings: Settings) -> None:
    """Check the password of somebody who is logged in; failures count as those of a log-in.

    Raises:
        LoginRefused: it is wrong, or the account is locked.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(select(users.c.password, users.c.locked_until).where(users.c.name == name)).first()
    locked = row is None or row.locked_until > time.time()
    if row is not None and passwords.fits(row.password, password) and not locked:
        return
    with engine.begin() as connection:
        if not locked:
            _count_failure(connection, name, address, settings)
        note(connection, name, address, "proof_failed", locked=locked)
    raise _refused(settings)


def log_out(engine: Engine, secret: str, user: User, address: str) -> None:
    """End a session."""
    with engine.begin() as connection:
        connection.execute(delete(sessions).where(sessions.c.digest == digest(secret)))
        note(connection, user.name, address, "logout")


def sessions_of(engine: Engine, name: str) -> list[dict[str, Any]]:
    """Return the open sessions of a user, the newest first."""
    columns = sessions.c
    query = (
        select(columns.id, columns.created, columns.seen, columns.expires, columns.address, columns.agent)
        .where(columns.user == name, columns.expires > time.time(), columns.waits == "")
        .order_by(columns.created.desc())
    )
    with engine.connect().execution_options(read_only=True) as connection:
        return [row._asdict() for row in connection.execute(query)]


def end_session(connection: Connection, name: str, identifier: str) -> None:
    """End one session of a user.

    Raises:
        HaidangError: there is none of this id.
    """
    which = (sessions.c.user == name) & (sessions.c.id == identifier)
    if not connection.execute(delete(sessions).where(which)).rowcount:
        raise HaidangError("user.no_session", id=identifier[:100])


def _steps(row: Any, settings: Settings) -> tuple[str, ...]:
    """Return what somebody whose password was right must still show."""
    policy = settings.access
    old = policy.password_days and time.time() - row.changed > policy.password_days * _DAY
    second = CODE if row.totp else ENROL if row.role in policy.second_factor_roles else ""
    return tuple(step for step in (second, PASSWORD if row.must_change or old else "") if step)


def _is_in_use(connection: Connection, row: Any, address: str, settings: Settings) -> bool:
    """Say whether an account is open; one that nobody used for too long is shut now."""
    if row.disabled:
        return False
    days = settings.access.unused_days
    if days and time.time() - row.seen > days * _DAY:
        connection.execute(update(users).where(users.c.name == row.name).values(disabled=True))
        note(connection, row.name, address, "user_disabled", unused_days=days)
        return False
    return True


def _entered(connection: Connection, name: str, address: str) -> None:
    values = {"failures": 0, "locked_until": 0.0, "seen": time.time()}
    connection.execute(update(users).where(users.c.name == name).values(values))
    note(connection, name, address, "login")


def _open(
    connection: Connection, row: Any, steps: tuple[str, ...], address: str, agent: str, settings: Settings
) -> Entered:
    """Make a session."""
    now = time.time()
    connection.execute(delete(sessions).where(sessions.c.expires < now))
    secret, identifier = secrets.token_urlsafe(32), secrets.token_hex(12)
    lasts = _STEP_SECONDS if steps else settings.api.session_hours * 3600
    made = {
        "digest": digest(secret), "user": row.name, "expires": now + lasts, "id": identifier, "created": now,
        "seen": now, "address": address[:100], "agent": agent.replace("\x00", "")[:200], "waits": ",".join(steps),
    }  # fmt: skip
    connection.execute(sessions.insert(), made)
    given, sight = rights.rights_of(connection, row.role, row.name, [row.view])
    return Entered(secret, User(row.name, row.role, given, sight, identifier), steps)


def _waiting(connection: Connection, secret: str, step: str, settings: Settings) -> tuple[Any, Any]:
    """Return a session that waits for this step, and its user."""
    query = select(sessions).where(sessions.c.digest == digest(secret), sessions.c.expires > time.time())
    session = connection.execute(query).first()
    if session is None or session.waits.split(",")[0] != step:
        raise HaidangError("user.no_step")
    row = connection.execute(select(users).where(users.c.name == session.user).with_for_update()).first()
    if row is None or row.disabled:
        raise _refused(settings)
    return session, row


def _go_on(connection: Connection, session: Any, row: Any, address: str, settings: Settings) -> Entered:
    """Take a step off a session: it ends, and one with another secret begins."""
    steps = tuple(session.waits.split(",")[1:])
    connection.execute(delete(sessions).where(sessions.c.id == session.id))
    if not steps:
        _entered(connection, row.name, address)
    return _open(connection, row, steps, address, session.agent, settings)


def _refused(settings: Settings, key: str = "user.refused") -> LoginRefused:
    api = settings.api
    return LoginRefused(key, failures=api.lockout_failures, minutes=api.lockout_minutes)


def _count_failure(connection: Connection, name: str, address: str, settings: Settings) -> None:
    """Count a failure; the last one that is allowed locks the account."""
    failures = users.c.failures + 1
    connection.execute(update(users).where(users.c.name == name).values(failures=failures))
    count = connection.scalar(select(users.c.failures).where(users.c.name == name)) or 0
    if count >= settings.api.lockout_failures:
        until = time.time() + settings.api.lockout_minutes * 60
        connection.execute(update(users).where(users.c.name == name).values(failures=0, locked_until=until))
        note(connection, name, address, "user_locked", until=until)

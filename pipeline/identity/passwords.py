"""Passwords: a text enters, its Argon2id hash (RFC 9106) leaves, or why it is none that may be chosen."""

import secrets
import time
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, select

from pipeline.messages import HaidangError
from pipeline.settings import Access
from pipeline.state.tables import password_history, users

#: A longer password is refused by the routes and cut here: Argon2 reads all of it.
MAX_PASSWORD = 1000
#: Fewer different characters make no password, however long it is.
_DIFFERENT = 5
#: A part of a name is looked for from this length on.
_NAME_PART = 4
#: What is often written for a letter.
_LETTERS = str.maketrans("013457@$!", "oieastasi")
_hasher = PasswordHasher()


def random_password() -> str:
    """Return a new password of 120 random bits, 20 characters."""
    return secrets.token_urlsafe(15)


def hashed(password: str) -> str:
    """Return what is kept of a password. Takes some 50 ms and 64 MB."""
    return _hasher.hash(password[:MAX_PASSWORD])


def fits(kept: str, password: str) -> bool:
    """Say whether a password is the one of this hash. Takes as long."""
    try:
        return _hasher.verify(kept, password[:MAX_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False


@cache
def nobody() -> str:
    """Return what is checked for an unknown name, so that its answer takes as long as a known one's."""
    return _hasher.hash(random_password())


def checked(password: str, name: str, policy: Access) -> str:
    """Return a password that somebody may choose.

    Raises:
        HaidangError: it is too short or long, has the user's name in it, or is one that everybody tries first.
    """
    if len(password) < policy.password_length:
        raise HaidangError("user.short_password", least=policy.password_length)
    if len(password) > MAX_PASSWORD:
        raise HaidangError("user.long_password", most=MAX_PASSWORD)
    plain = _plain(password)
    if any(len(part) >= _NAME_PART and part in plain for part in (_plain(name), *map(_plain, name.split()))):
        raise HaidangError("user.password_has_name")
    if len(set(password.casefold())) < _DIFFERENT or _bare(plain) in _common():
        raise HaidangError("user.common_password")
    return password


def check_history(connection: Connection, name: str, password: str, policy: Access) -> None:
    """Refuse a password that the user had among the last ones.

    Raises:
        HaidangError: it was.
    """
    if policy.password_history and any(fits(kept, password) for kept in _last(connection, name, policy)):
        raise HaidangError("user.used_password", count=policy.password_history)


def remember(connection: Connection, name: str, policy: Access) -> None:
    """Keep the password that is about to be replaced, as long as it may not be chosen again."""
    current = connection.scalar(select(users.c.password).where(users.c.name == name))
    if current:
        connection.execute(password_history.insert(), {"user": name, "time": time.time(), "password": current})
    columns = password_history.c
    times = connection.scalars(select(columns.time).where(columns.user == name).order_by(columns.time.desc())).all()
    if old := times[max(policy.password_history - 1, 0) :]:
        connection.execute(delete(password_history).where(columns.user == name, columns.time.in_(old)))


def _last(connection: Connection, name: str, policy: Access) -> Sequence[str]:
    columns = password_history.c
    query = select(columns.password).where(columns.user == name).order_by(columns.time.desc())
    current = connection.scalars(select(users.c.password).where(users.c.name == name)).all()
    return [*current, *connection.scalars(query.limit(policy.password_history - 1))]


def _plain(text: str) -> str:
    """Return a text without case, diacritics and signs; `đ` is a `d`."""
    split = unicodedata.normalize("NFKD", text.casefold().replace("đ", "d"))
    return "".join(char for char in split if char.isalnum())


def _bare(plain: str) -> str:
    """Return the word that is left when digits at both ends, and those written for letters, are taken away."""
    return plain.strip("0123456789").translate(_LETTERS)


@cache
def _common() -> frozenset[str]:
    """Return words that are no password with any digits before or behind them; "" is digits alone."""
    words = (Path(__file__).parent / "common_passwords.txt").read_text("utf-8").split()
    return frozenset(("", *words, *(word * 2 for word in words)))

"""Tokens: a name enters and a secret leaves once; later the secret enters, its holder leaves. Only digests are kept."""

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from pipeline.audit import note
from pipeline.identity import names, rights, views
from pipeline.identity.permissions import checked
from pipeline.identity.views import EVERYTHING, Sight
from pipeline.messages import HaidangError
from pipeline.settings import RESERVED_SOURCES, SOURCE_NAME
from pipeline.state.tables import tokens

__all__ = ["API", "SOURCE", "Holder", "create_token", "digest", "holder_of", "note", "revoke_token", "stale_holder_of"]

#: A token for a sender of events, or for a program that reads the API.
SOURCE, API = "source", "api"
_PREFIX = "hd_"
#: When a token was used last is written down at most so often, in seconds.
_USED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token belongs to."""

    name: str
    kind: str
    role: str
    permissions: frozenset[str] = frozenset()
    sight: Sight = EVERYTHING


def digest(secret: str) -> str:
    """Return what is kept of a secret of full randomness: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(
    connection: Connection,
    name: str,
    kind: str,
    role: str = "",
    view: Mapping[str, Any] | None = None,
    permissions: Iterable[str] | None = None,
    days: float | None = None,
    creator: str = "",
) -> str:
    """Return a new token; it cannot be shown again.

    `view` narrows what is seen with it, `permissions` what of the role's may be done; after `days` it is useless.

    Raises:
        HaidangError: there is a token of this name, the name cannot be a source's or passes for another's,
            the role or view is none, or a permission is not the role's.
    """
    role = rights.known_role(connection, role) if kind == API else role
    if kind == SOURCE and (not re.fullmatch(SOURCE_NAME, name) or name in RESERVED_SOURCES):
        raise HaidangError("token.bad_name", name=name, reserved=", ".join(sorted(RESERVED_SOURCES)))
    known = connection.execute(select(tokens.c.revoked).where(tokens.c.name == name)).first()
    if known is not None:
        raise HaidangError("token.exists", name=name)
    names.check_free(connection, name)
    given = None if permissions is None else checked(permissions)
    if given is not None and kind == API:
        _check_within_role(connection, role, given)
    secret = _PREFIX + secrets.token_urlsafe(32)
    row = {"name": name, "digest": digest(secret), "kind": kind, "role": role, "created": time.time(), "revoked": False}
    row |= {
        "view": views.checked(view or {}), "permissions": given,
        "expires": None if days is None else time.time() + days * 86_400, "creator": creator[:100],
    }  # fmt: skip
    connection.execute(tokens.insert(), row)
    return secret


def _check_within_role(connection: Connection, role: str, given: Iterable[str]) -> None:
    """Refuse permissions that a role does not have: the token would not have them either, whatever its row says."""
    of_role, _ = rights.rights_of(connection, role, None, [])
    if beyond := [name for name in given if name not in of_role]:
        raise HaidangError("token.beyond_role", permission=beyond[0], role=role)


def revoke_token(connection: Connection, name: str) -> None:
    """Make a token useless from now on.

    Raises:
        HaidangError: there is no such token.
    """
    if not connection.execute(update(tokens).where(tokens.c.name == name).values(revoked=True)).rowcount:
        raise HaidangError("token.unknown", name=name)


def listed(engine: Engine) -> list[dict[str, Any]]:
    """Return all tokens, without what they are made of; times in seconds since 1970."""
    names = ("name", "kind", "role", "permissions", "view", "created", "creator", "expires", "used", "revoked")
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(tokens).order_by(tokens.c.name)).all()
    return [{name: getattr(row, name) for name in names} for row in rows]


def holder_of(engine: Engine, secret: str) -> Holder | None:
    """Return whom a token belongs to, or None for one that is unknown or revoked."""
    query = select(tokens).where(tokens.c.digest == digest(secret), tokens.c.revoked.is_(False))
    now = time.time()
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
        if row is None or (row.expires is not None and row.expires <= now):
            return None
        if row.kind != API:
            return Holder(row.name, row.kind, row.role)
        given, sight = rights.rights_of(connection, row.role, None, [row.view])
    if now - (row.used or 0.0) > _USED_SECONDS:
        with engine.begin() as connection:
            connection.execute(update(tokens).where(tokens.c.name == row.name).values(used=now))
    if row.permissions is not None:
        given &= frozenset(row.permissions)
    return Holder(row.name, row.kind, row.role, given, sight)


def stale_holder_of(engine: Engine, secret: str) -> str:
    """Return whose token this is that does not work here: revoked, over, or a sender's; "" for nobody's."""
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(select(tokens.c.name).where(tokens.c.digest == digest(secret))) or ""

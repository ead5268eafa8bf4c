"""Tokens: a name enters and a secret leaves once; later the secret enters, its holder leaves. Only digests are kept."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select, update

from pipeline.messages import HaidangError
from pipeline.settings import RESERVED_SOURCES, SOURCE_NAME
from pipeline.state.tables import audit, tokens

#: A token for a sender of events, or for a program that reads the API.
SOURCE, API = "source", "api"
_PREFIX = "hd_"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token belongs to."""

    name: str
    kind: str
    role: str


def digest(secret: str) -> str:
    """Return what is kept of a secret of full randomness: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(connection: Connection, name: str, kind: str, role: str = "") -> str:
    """Return a new token; it cannot be shown again.

    Raises:
        HaidangError: there is a token of this name, or the name cannot be a source's.
    """
    if kind == SOURCE and (not re.fullmatch(SOURCE_NAME, name) or name in RESERVED_SOURCES):
        raise HaidangError("token.bad_name", name=name, reserved=", ".join(sorted(RESERVED_SOURCES)))
    known = connection.execute(select(tokens.c.revoked).where(tokens.c.name == name)).first()
    if known is not None:
        raise HaidangError("token.exists", name=name)
    secret = _PREFIX + secrets.token_urlsafe(32)
    row = {"name": name, "digest": digest(secret), "kind": kind, "role": role, "created": time.time(), "revoked": False}
    connection.execute(tokens.insert(), row)
    return secret


def revoke_token(connection: Connection, name: str) -> None:
    """Make a token useless from now on.

    Raises:
        HaidangError: there is no such token.
    """
    if not connection.execute(update(tokens).where(tokens.c.name == name).values(revoked=True)).rowcount:
        raise HaidangError("token.unknown", name=name)


def holder_of(engine: Engine, secret: str) -> Holder | None:
    """Return whom a token belongs to, or None for one that is unknown or revoked."""
    query = select(tokens.c.name, tokens.c.kind, tokens.c.role).where(
        tokens.c.digest == digest(secret), tokens.c.revoked.is_(False)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
    return Holder(*row) if row else None


def note(connection: Connection, who: str, address: str, action: str, **detail: object) -> None:
    """Write one line of the audit, in the caller's transaction."""
    connection.execute(
        audit.insert(), {"time": time.time(), "who": who, "address": address, "action": action, "detail": detail}
    )

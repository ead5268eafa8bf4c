"""Who may use our TAXII server: a name and rights enter and a password leaves once; later it enters, its owner leaves.

They are partners' programs, nobody of ours: a client's password opens nothing but these collections, and no session or
token of the API opens these.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, select, update

from pipeline.access import digest, note
from pipeline.identity import names
from pipeline.messages import HaidangError
from pipeline.state.tables import taxii_clients
from sharing.taxii.store import ALIASES

RIGHTS = ("r", "w", "rw")
_PREFIX = "hdt_"
#: When a password was used last is written down at most so often, in seconds.
_USED_SECONDS = 60.0
_DAY = 86_400.0


class Client(NamedTuple):
    """A partner's program: what it may do (`r`, `w`, `rw`) in which collection, by its alias."""

    name: str
    rights: Mapping[str, str]

    def may(self, alias: str, right: str) -> bool:
        """Say whether it may read (`r`) or write (`w`) a collection."""
        return right in self.rights.get(alias, "")


def add(connection: Connection, name: str, rights: Mapping[str, str], days: float, who: tuple[str, str]) -> str:
    """Return the password of a new client; it cannot be shown again. Of a revoked one of this name nothing is left.

    `who` adds it: a name, and from where.

    Raises:
        HaidangError: there is one of this name, the name passes for another's, or a right is none.
    """
    for alias, right in rights.items():
        if alias not in ALIASES:
            raise HaidangError("taxii.no_collection", name=alias[:100], known=", ".join(ALIASES))
        if right not in RIGHTS:
            raise HaidangError("taxii.no_right", value=right[:20], expected=", ".join(RIGHTS))
    if not rights:
        raise HaidangError("taxii.no_rights")
    table = taxii_clients
    known = connection.execute(select(table.c.revoked).where(table.c.name == name)).first()
    if known is not None and not known.revoked:
        raise HaidangError("taxii.client_exists", name=name)
    connection.execute(table.delete().where(table.c.name == name))
    names.check_free(connection, name)
    secret = _PREFIX + secrets.token_urlsafe(32)
    now = time.time()
    row = {
        "name": name, "digest": digest(secret), "rights": dict(rights), "created": now, "creator": who[0][:100],
        "expires": now + days * _DAY, "used": None, "revoked": False,
    }  # fmt: skip
    connection.execute(table.insert(), row)
    note(connection, *who, "taxii_client_added", client=name, rights=dict(rights), days=days)
    return secret


def revoke(connection: Connection, name: str, who: tuple[str, str]) -> None:
    """Make a client's password useless from now on.

    Raises:
        HaidangError: there is none of this name.
    """
    table = taxii_clients
    if not connection.execute(update(table).where(table.c.name == name).values(revoked=True)).rowcount:
        raise HaidangError("taxii.no_client", name=name[:100])
    note(connection, *who, "taxii_client_revoked", client=name)


def listed(engine: Engine) -> list[dict[str, Any]]:
    """Return all clients without what their passwords are made of; times in seconds since 1970."""
    shown = ("name", "rights", "created", "creator", "expires", "used", "revoked")
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(taxii_clients).order_by(taxii_clients.c.name)).all()
    return [{name: getattr(row, name) for name in shown} for row in rows]


def client_of(engine: Engine, secret: str, name: str | None = None) -> Client | None:
    """Return whose password this is (of the client `name`, where one is given); None for nobody's, or one that is
    over."""
    table, now = taxii_clients, time.time()
    query = select(table).where(table.c.digest == digest(secret), table.c.revoked.is_(False))
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
    if row is None or (row.expires is not None and row.expires <= now) or name not in (None, row.name):
        return None
    if now - (row.used or 0.0) > _USED_SECONDS:
        with engine.begin() as connection:
            connection.execute(update(table).where(table.c.name == row.name).values(used=now))
    return Client(row.name, row.rights)

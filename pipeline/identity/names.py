"""Names of accounts, tokens and partners' programs: what somebody wants to be called enters, or a refusal leaves.

The audit and the queue say no more of somebody than their name, so no two may pass for one another: not by letters of
another script that look the same, not by large and small ones, not a token for a person.
"""

import unicodedata

from sqlalchemy import Connection, func, select

from pipeline.messages import HaidangError
from pipeline.state.tables import taxii_clients, tokens, users

MAX_NAME = 100
#: What the program calls itself where it did something of its own accord.
_OURS = "haidang"
_SIGNS = frozenset("0123456789._-@")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZđĐ")


def lock(connection: Connection) -> None:
    """Let no other transaction decide on accounts until this one ends; SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("haidang accounts"))))


def check_free(connection: Connection, name: str) -> None:
    """Refuse a name that is none, or that passes for one that a user, a token or a partner has.

    Raises:
        HaidangError: it is so. Names that were given before there was this rule stay as they are.
    """
    if not 0 < len(name) <= MAX_NAME or not name[0].isalnum() or not all(map(_may_stand_in_one, name)):
        raise HaidangError("user.bad_name", name=name[:MAX_NAME], most=MAX_NAME)
    lock(connection)
    tables = (users, tokens, taxii_clients)
    taken = {each for table in tables for each in connection.scalars(select(table.c.name))} | {_OURS}
    if other := next((each for each in sorted(taken) if _folded(each) == _folded(name)), None):
        raise HaidangError("user.name_taken", name=name, other=other)


def _may_stand_in_one(character: str) -> bool:
    """Latin letters with or without accents (as one character each, NFC), digits, and few signs."""
    if character in _SIGNS:
        return True
    whole = unicodedata.is_normalized("NFC", character)
    return whole and unicodedata.normalize("NFD", character)[0] in _LETTERS


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

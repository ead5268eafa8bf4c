"""What the console remembers for a person: one JSON object enters and leaves as it is; it means nothing here."""

import time
from typing import Any

import orjson
from sqlalchemy import Engine, select

from pipeline.saved.shapes import encoded
from pipeline.state import upsert
from pipeline.state.tables import preferences

MOST_BYTES = 64_000


def of(engine: Engine, user: str) -> dict[str, Any]:
    """Return a user's preferences; empty where there are none."""
    with engine.connect().execution_options(read_only=True) as connection:
        text = connection.scalar(select(preferences.c.body).where(preferences.c.user == user))
    return dict(orjson.loads(text)) if text else {}


def keep(engine: Engine, user: str, body: dict[str, Any]) -> None:
    """Put an object in the place of a user's preferences.

    Raises:
        HaidangError: it is too long or too deep.
    """
    row = {"user": user, "body": encoded(body, MOST_BYTES).decode(), "changed": time.time()}
    with engine.begin() as connection:
        upsert(connection, preferences, [row], ["user"])

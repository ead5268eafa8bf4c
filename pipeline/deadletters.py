"""Dead letters: lines that a stage could do nothing with enter, each with its reason; a person lists, retries or drops.

They are saved in the transaction that counts them as dropped (`stage.Consumer.commit`), so none is lost or there twice.
What they take is limited (`[limits] dead_letter_mb`); what comes when that is full is counted all the same, and said.
"""

import base64
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select

from pipeline.event import event_id
from pipeline.ledger import DeadLetter
from pipeline.logs import log
from pipeline.state import insert_new
from pipeline.state.tables import dead_letters

_MOST_REASONS = 1000
#: Letters that are looked at together.
_BATCH = 500


def bury(connection: Connection, stage: str, letters: Sequence[DeadLetter], limit_bytes: int) -> int:
    """Save letters, in the caller's transaction; return how many there was no room for."""
    room = limit_bytes - int(connection.scalar(select(func.coalesce(func.sum(dead_letters.c.size), 0))) or 0)
    rows: dict[str, dict[str, Any]] = {}
    refused = 0
    for letter in letters:
        if len(letter.line) > room:
            refused += 1
            continue
        room -= len(letter.line)
        identifier = event_id("dead letter", stage, letter.topic, letter.source, letter.line)
        rows[identifier] = {
            "id": identifier, "time": time.time(), "stage": stage, "topic": letter.topic, "source": letter.source,
            "reason": letter.reason, "detail": letter.detail[:1000].replace("\0", "\\0"), "line": letter.line,
            "size": len(letter.line),
        }  # fmt: skip
    insert_new(connection, dead_letters, list(rows.values()), key=["id"])
    if refused:
        log("deadletters").error("full", stage=stage, lost=refused, limit_bytes=limit_bytes)
    return refused


def listed(
    engine: Engine, identifiers: Sequence[str] = (), source: str | None = None, reason: str | None = None,
    limit: int | None = None, stage: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return letters, the oldest first; those of `identifiers` where there are any."""
    query = select(dead_letters).where(*_chosen(identifiers, source, reason, stage)).order_by(dead_letters.c.time)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query.limit(limit)).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows]


def drop(engine: Engine, letters: Sequence[dict[str, Any]]) -> int:
    """Delete letters for good; return how many were still there."""
    with engine.begin() as connection:
        return _delete(connection, letters)


def drop_seen(
    engine: Engine, until: float, source: str | None = None, reason: str | None = None, stage: str | None = None
) -> int:
    """Delete letters for good that came up to a moment (seconds since 1970); return how many."""
    chosen = [dead_letters.c.time <= until, *_chosen((), source, reason, stage)]
    with engine.begin() as connection:
        return connection.execute(delete(dead_letters).where(*chosen)).rowcount


def summary(engine: Engine) -> dict[str, int]:
    """Return how many letters there are and how many bytes they take."""
    query = select(func.count(), func.coalesce(func.sum(dead_letters.c.size), 0))
    with engine.connect().execution_options(read_only=True) as connection:
        count, size = connection.execute(query).one()
    return {"count": int(count), "bytes": int(size)}


def reasons(engine: Engine) -> list[dict[str, Any]]:
    """Return how many letters there are of each source, stage and reason, the most first."""
    columns = dead_letters.c
    by = (columns.source, columns.stage, columns.reason)
    query = select(*by, func.count().label("count"), func.max(columns.time).label("last")).group_by(*by)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query.order_by(func.count().desc(), *by).limit(_MOST_REASONS)).mappings()
        return [dict(row) for row in rows]


def text_of(line: bytes) -> str:
    """Return a line as text; one that is none in base64, and says so."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(line).decode()


def _delete(connection: Connection, letters: Sequence[dict[str, Any]]) -> int:
    gone = 0
    for start in range(0, len(letters), _BATCH):
        identifiers = [letter["id"] for letter in letters[start : start + _BATCH]]
        gone += connection.execute(delete(dead_letters).where(dead_letters.c.id.in_(identifiers))).rowcount
    return gone


def _chosen(
    identifiers: Sequence[str], source: str | None, reason: str | None, stage: str | None
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if identifiers:
        found.append(dead_letters.c.id.in_(identifiers))
    if source is not None:
        found.append(dead_letters.c.source == source)
    if reason is not None:
        found.append(dead_letters.c.reason == reason)
    if stage is not None:
        found.append(dead_letters.c.stage == stage)
    return found

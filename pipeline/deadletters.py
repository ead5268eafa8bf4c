"""Dead letters: lines that a stage could do nothing with enter, each with its reason; a person lists, retries or drops.

They are saved in the transaction that counts them as dropped (`stage.Consumer.commit`), so none is lost or there twice.
What they take is limited (`[limits] dead_letter_mb`); what comes when that is full is counted all the same, and said.
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select

from pipeline import audit
from pipeline.event import event_id
from pipeline.ledger import DeadLetter
from pipeline.logs import log
from pipeline.state import insert_new, tables
from pipeline.state.tables import dead_letters

_MOST_REASONS = 1000
#: Actions of the audit; the third: somebody wants letters to be deleted.
READ, RETRIED, DROP_ASKED = "dead_letters_read", "dead_letters_retried", "dead_letters_drop_asked"
DROPPED = "dead_letters_dropped"
#: How long a wish to delete waits for somebody who agrees, in seconds.
_WISH_SECONDS = 7 * 86_400.0
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


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody wants the letters of a source, stage and reason that came up to `until` to be deleted."""

    who: str
    time: float
    until: float


def drop_by_two(
    connection: Connection, who: str, address: str, source: str, stage: str, reason: str, until: float
) -> int | None:
    """Delete letters that came up to `until` if somebody else wants that too; else keep the wish, and return None.

    Only what both have seen goes. The wish is a row of the audit, and so is what was done.
    """
    row = {"source": source, "stage": stage, "reason": reason}
    wish = _wishes(connection).get((source, stage, reason))
    if wish is None or wish.who == who:
        audit.note(connection, who, address, DROP_ASKED, **row, until=until)
        return None
    seen = min(until, wish.until)
    chosen = [dead_letters.c.time <= seen, *_chosen((), source, reason, stage)]
    count = connection.execute(delete(dead_letters).where(*chosen)).rowcount
    audit.note(connection, who, address, DROPPED, **row, until=seen, letters=count, asked_by=wish.who)
    return count


def _wishes(connection: Connection) -> dict[tuple[str, str, str], Wish]:
    """Return what somebody wants to be deleted, and nobody has since, by source, stage and reason; the last of each."""
    log_of = tables.audit.c
    query = (
        select(log_of.who, log_of.time, log_of.action, log_of.detail)
        .where(log_of.action.in_((DROP_ASKED, DROPPED)), log_of.time >= time.time() - _WISH_SECONDS)
        .order_by(log_of.id)
    )
    found: dict[tuple[str, str, str], Wish] = {}
    for who, at, action, detail in connection.execute(query):
        row = (detail.get("source", ""), detail.get("stage", ""), detail.get("reason", ""))
        if action == DROPPED:
            found.pop(row, None)
        else:
            found[row] = Wish(who, at, detail["until"])
    return found


def summary(engine: Engine) -> dict[str, int]:
    """Return how many letters there are and how many bytes they take."""
    query = select(func.count(), func.coalesce(func.sum(dead_letters.c.size), 0))
    with engine.connect().execution_options(read_only=True) as connection:
        count, size = connection.execute(query).one()
    return {"count": int(count), "bytes": int(size)}


def reasons(engine: Engine) -> list[dict[str, Any]]:
    """Return how many letters there are of each source, stage and reason, the most first; `wish`: who wants them to be
    deleted (`who`, `time`, `until`), if somebody does."""
    columns = dead_letters.c
    by = (columns.source, columns.stage, columns.reason)
    query = select(*by, func.count().label("count"), func.max(columns.time).label("last")).group_by(*by)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query.order_by(func.count().desc(), *by).limit(_MOST_REASONS)).mappings().all()
        wishes = _wishes(connection)
    found = [(dict(row), wishes.get((row["source"], row["stage"], row["reason"]))) for row in rows]
    return [{**row, "wish": None if wish is None else asdict(wish)} for row, wish in found]


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

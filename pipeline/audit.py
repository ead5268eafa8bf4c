"""The audit: who did what, when, from where enters, rows leave of which each holds the hash of all before it.

A row's hash is SHA-256 over the hash before it and its own content, so that a row that is changed, taken out or put in
breaks the chain from there on. Rows that are cut off its end break nothing: that shows where a later hash is remembered
elsewhere (`audit verify --head`), as in the program's own log, where it is written every hour.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Text,
    cast,
    event,
    func,
    inspect,
    or_,
    select,
    text,
    update,
)

from pipeline.state import insert_new
from pipeline.state.tables import audit, audit_head

#: The hash before the first row.
START = "0" * 64
SETTINGS_CHANGED = "settings_changed"
_HEAD = 1
_CONTENT = ("id", "time", "who", "address", "action", "detail")
_ROWS_AT_ONCE = 1000
#: What refuses changes and deletions in the database itself (migration 0015).
_TRIGGERS = {"sqlite": ("audit_no_update", "audit_no_delete"), "postgresql": ("audit_no_change", "audit_no_truncate")}
#: Those that are there and work: on PostgreSQL they can be switched off (`D`), too.
_THERE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit'::regclass AND tgenabled <> 'D'",
}
_waiting: WeakKeyDictionary[Connection, list[dict[str, Any]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain has found; `broken` is the first row that does not follow from the one before,
    `lost` the remembered hashes that no row has, `cut` says that rows are missing at the end, `unguarded`
    names the triggers that are gone with which the database refuses to change rows,
    `gone` tables that are not there at all."""

    rows: int
    head: str
    broken: int | None = None
    cut: bool = False
    lost: tuple[str, ...] = ()
    unguarded: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.broken is None and not (self.cut or self.lost or self.unguarded or self.gone)


def note(connection: Connection, who: str, address: str, action: str, **detail: object) -> None:
    """Write one row of the audit, in the caller's transaction.

    It is sealed when the transaction ends, as the last thing it does: whoever writes waits for the chain's head only
    then, and holds nothing back from others meanwhile, so that no two can wait for each other.
    """
    if not connection.in_transaction():
        connection.begin()  # else nothing would be there to be ended
    waiting = _waiting.get(connection)
    if waiting is None:
        waiting = _waiting[connection] = []
        event.listen(connection, "commit", _seal_all)
        event.listen(connection, "rollback", _forget)
    waiting.append({
        "time": time.time(), "who": _plain(who), "address": _plain(address), "action": action[:50],
        "detail": orjson.loads(orjson.dumps(detail)),
    })  # fmt: skip


def note_settings(engine: Engine, file: Path) -> None:
    """Note the hash of a settings file where it is not the one that was noted last; what is in it is kept nowhere."""
    try:
        content = file.read_bytes()
    except OSError:
        content = b""
    digest = hashlib.sha256(content).hexdigest()
    last = select(audit.c.detail).where(audit.c.action == SETTINGS_CHANGED).order_by(audit.c.id.desc()).limit(1)
    with engine.begin() as connection:
        before = (connection.scalar(last) or {}).get("digest")
        if before != digest:
            note(connection, "haidang", "start", SETTINGS_CHANGED, file=str(file), digest=digest, before=before)


def digest_of(previous: str, row: dict[str, Any]) -> str:
    """Return the hash of a row that follows another."""
    content = [row[name] for name in _CONTENT]
    return hashlib.sha256(f"{previous}\n".encode() + orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def head_of(engine: Engine) -> tuple[int, str]:
    """Return the last row's number and its hash."""
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(select(audit_head)).first()
    return (row.row, row.digest) if row else (0, START)


def verify(engine: Engine, heads: Iterable[str] = ()) -> Verdict:
    """Look at every row, and whether the database still guards them; `heads` are hashes that were the last one's at
    some time."""
    left = set(heads) - {START}
    count, number, digest = 0, 0, START
    with engine.connect().execution_options(read_only=True) as connection:
        if gone := [table.name for table in (audit, audit_head) if not inspect(connection).has_table(table.name)]:
            return Verdict(0, START, gone=tuple(gone))
        unguarded = _unguarded(connection)
        head = connection.execute(select(audit_head)).first()
        query = select(audit).order_by(audit.c.id)
        with connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}) as rows:
            for row in map(_row_of, rows):
                number = row["id"]
                expected = digest_of(digest, row)
                if row["digest"] != expected:
                    return Verdict(count, digest, broken=number, unguarded=unguarded)
                count, digest = count + 1, expected
                left.discard(digest)
    cut = (head.row, head.digest) != (number, digest) if head else count > 0
    return Verdict(count, digest, cut=cut, lost=tuple(sorted(left)), unguarded=unguarded)


def _unguarded(connection: Connection) -> tuple[str, ...]:
    there = set(connection.scalars(text(_THERE[connection.dialect.name])))
    return tuple(name for name in _TRIGGERS[connection.dialect.name] if name not in there)


def has_text(wanted: str) -> ColumnElement[bool]:
    """Return a condition: a text is anywhere in a row; large and small letters are one (on SQLite those of ASCII)."""
    columns = (audit.c.who, audit.c.address, audit.c.action, cast(audit.c.detail, Text))
    return or_(*(column.icontains(wanted, autoescape=True) for column in columns))


def counted(engine: Engine, fits: Sequence[ColumnElement[bool]]) -> int:
    """Return how many rows fit."""
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(select(func.count()).select_from(audit).where(*fits)) or 0


def listed(engine: Engine, fits: Sequence[ColumnElement[bool]], limit: int, offset: int = 0) -> list[dict[str, Any]]:
    """Return rows that fit, the newest first."""
    query = select(audit).where(*fits).order_by(audit.c.id.desc()).limit(limit).offset(offset)
    with engine.connect().execution_options(read_only=True) as connection:
        return [_row_of(row) for row in connection.execute(query)]


def all_rows(engine: Engine, fits: Sequence[ColumnElement[bool]], limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield all rows that fit, or the first of them, the oldest first."""
    query = select(audit).where(*fits).order_by(audit.c.id).limit(limit)
    with engine.connect().execution_options(read_only=True) as connection:
        for row in connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
            yield _row_of(row)


def _row_of(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*_CONTENT, "digest")}


def _seal_all(connection: Connection) -> None:
    rows = _waiting.get(connection)
    if not rows:
        return
    start = {"id": _HEAD, "row": 0, "digest": START}
    insert_new(connection, audit_head, [start], ["id"])
    last = connection.execute(select(audit_head).where(audit_head.c.id == _HEAD).with_for_update()).one()
    number, digest = last.row, last.digest
    for row in rows:
        number += 1
        row["id"] = number
        row["digest"] = digest = digest_of(digest, row)
    connection.execute(audit.insert(), rows)
    connection.execute(update(audit_head).where(audit_head.c.id == _HEAD).values(row=number, digest=digest))
    rows.clear()


def _forget(connection: Connection) -> None:
    _waiting.get(connection, []).clear()


def _plain(name: str) -> str:
    """Return a name as every database can keep it."""
    return name.replace("\x00", "\ufffd")[:100]

"""State: what changes and must not be lost. Rows enter and leave one SQL database.

SQLAlchemy Core on SQLite (embedded) or PostgreSQL; the tables are in `tables.py`, their history in `migrations/`.
"""

from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError

from pipeline.messages import HaidangError

__all__ = ["insert_new", "open_state", "state_file", "upsert"]

_BUSY_MS = 20_000


def open_state(data_dir: Path) -> Engine:
    """Open the state of a data directory, made or brought up to date when needed.

    Raises:
        HaidangError: the file cannot be read or written, is no database, or is of a newer version.
    """
    file = state_file(data_dir)
    engine = create_engine(
        f"sqlite:///{file}",
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    from pipeline.state.upgrade import upgrade

    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        upgrade(engine)
    except (DatabaseError, OSError) as error:
        raise HaidangError("state.cannot_open", file=file, fault=getattr(error, "orig", error)) from error
    return engine


def state_file(data_dir: Path) -> Path:
    """Return where the state of a data directory lies, whether or not it is there."""
    return data_dir / "state.db"


def insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]], key: list[str]) -> None:
    """Insert the rows whose key is not there yet; leave the others as they are."""
    if rows:
        connection.execute(_dialect(connection).insert(table).on_conflict_do_nothing(index_elements=key), rows)


def upsert(
    connection: Connection, table: Table, rows: list[dict[str, Any]], key: list[str], add: tuple[str, ...] = ()
) -> None:
    """Insert the rows; where the key is there, replace its other columns, or add to them where named in `add`."""
    if not rows:
        return
    statement = _dialect(connection).insert(table)
    changes = {
        name: table.c[name] + statement.excluded[name] if name in add else statement.excluded[name]
        for name in rows[0]
        if name not in key
    }
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes), rows)


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own opens transactions too late
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer that waits for the lock from its first statement never meets "database is locked" half way through.
    mode = "DEFERRED" if connection.get_execution_options().get("read_only") else "IMMEDIATE"
    connection.exec_driver_sql(f"BEGIN {mode}")

"""State: what changes and must not be lost. Rows enter and leave one SQL database.

SQLAlchemy Core on SQLite (embedded) or PostgreSQL; the tables are in `tables.py`, their history in `migrations/`.
"""

from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import State as StateSettings

__all__ = ["RESTORING", "database_time", "insert_new", "is_there", "open_engine", "open_state", "state_file", "upsert"]

#: The folder in a data directory in which a restore puts it together; while it is there, there is no whole site.
RESTORING = ".restore"
_BUSY_MS = 20_000
#: How long a PostgreSQL that does not answer is waited for, in seconds.
_CONNECT_SECONDS = 5
#: A connection whose other end is gone without a word is given up after about half a minute (libpq's names).
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}


def open_state(data_dir: Path, settings: StateSettings = StateSettings()) -> Engine:  # noqa: B008 - frozen
    """Open the state that the settings name (a file of `data_dir` without any), made or brought up to date when needed.

    Raises:
        HaidangError: it cannot be read or written, is no database, is of a newer version, or is being restored.
        Unavailable: PostgreSQL does not answer.
    """
    engine = open_engine(data_dir, settings)
    try:
        if (data_dir / RESTORING).exists():
            raise HaidangError("restore.half", data_dir=data_dir)
        data_dir.mkdir(parents=True, exist_ok=True)
        _upgrade(engine, data_dir)
    except OperationalError as error:
        shown = engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
        if engine.dialect.name == "postgresql":
            raise Unavailable("state.no_answer", url=shown, fault=str(error.orig).strip()) from error
        raise _cannot_open(engine, error.orig) from error
    except (DatabaseError, OSError) as error:
        raise _cannot_open(engine, getattr(error, "orig", error)) from error
    return engine


def open_engine(data_dir: Path, settings: StateSettings) -> Engine:
    """Return the database that the settings name as it is, or where it will be: it may be empty, or of any version."""
    url = settings.url.get_secret_value()
    return _postgresql(make_url(url)) if url else _sqlite(state_file(data_dir))


def is_there(data_dir: Path, settings: StateSettings) -> bool:
    """Say whether there is a state to open; opening one that is not there makes it."""
    return bool(settings.url.get_secret_value()) or state_file(data_dir).exists()


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        json_serializer=_to_json,
        json_deserializer=orjson.loads,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "haidang", **_KEEPALIVE},
    )


def _sqlite(file: Path) -> Engine:
    engine = create_engine(f"sqlite:///{file}", json_serializer=_to_json, json_deserializer=orjson.loads)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _upgrade(engine: Engine, data_dir: Path) -> None:
    from pipeline.state.upgrade import upgrade

    try:
        upgrade(engine, data_dir)
    except BaseException:
        engine.dispose()
        raise


def _cannot_open(engine: Engine, fault: object) -> HaidangError:
    shown = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string()
    return HaidangError("state.cannot_open", file=shown, fault=fault)


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


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


def database_time(connection: Connection) -> float:
    """Return the database's time, in seconds since 1970: the same for all machines."""
    if connection.dialect.name == "postgresql":
        return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)
    return float(connection.scalar(text("SELECT (julianday('now') - 2440587.5) * 86400.0")))


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

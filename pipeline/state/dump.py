"""The state as text: a database of any version enters, its rows as JSON lines leave; and back into an empty one.

The same lines for SQLite and PostgreSQL, so what was written from the one can be read into the other. The tables are
those that are there (reflected), not those of the code: a state of an earlier version is written and read as it is.
"""

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, LargeBinary, MetaData, Table, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.state.revisions import revision_of

#: What is true only while a site runs, and log-ins: whoever restores a site logs in anew.
LEFT_OUT = frozenset(("alembic_version", "stages", "members", "leases", "sessions", "canaries"))
#: Bytes of lines that are handed over together.
_CHUNK = 4_000_000
_ROWS_AT_ONCE = 500


@contextmanager
def frozen(engine: Engine) -> Iterator[Connection]:
    """Give the state as it is now, whatever others write meanwhile."""
    options: dict[str, Any] = {"read_only": True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        revision_of(connection)  # what is seen is fixed by the first look
        yield connection


def rows(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Yield each table's name with its rows as JSON lines, some megabytes at a time."""
    metadata = _reflected(connection)
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        query = select(table).order_by(*table.primary_key.columns)
        found = connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
        names = [str(column.name) for column in table.columns]
        lines = (orjson.dumps(dict(zip(names, row, strict=True)), default=_as_text) for row in found)
        for chunk in chunks(lines):
            yield table.name, chunk


def chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines, about four megabytes at a time."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line) + 1
        if size >= _CHUNK:
            yield b"\n".join(held) + b"\n"
            held, size = [], 0
    if held:
        yield b"\n".join(held) + b"\n"


class Loader:
    """Puts rows into the empty tables of the version that they were written from."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = _reflected(connection).tables

    def add(self, name: str, data: bytes) -> None:
        """Insert the rows of one part.

        Raises:
            ValueError: there is no such table, or no such column, or a value that it cannot hold.
        """
        table = self._tables.get(name)
        if table is None:
            raise ValueError(f"no table {name!r}")
        found = [_as_row(table, orjson.loads(line)) for line in data.splitlines()]
        try:
            if found:
                self._connection.execute(table.insert(), found)
        except SQLAlchemyError as error:
            raise ValueError(f"{name}: {getattr(error, 'orig', error)}") from error

    def finish(self) -> None:
        """Let new rows be numbered behind those that were put in."""
        if self._connection.dialect.name != "postgresql":
            return  # SQLite looks at the rows themselves
        for table in self._tables.values():
            for column in table.primary_key.columns:
                named = {"table": table.name, "column": column.name}
                query = text("SELECT pg_get_serial_sequence(:table, :column)")
                sequence = self._connection.scalar(query, named)
                last = self._connection.scalar(select(func.max(column))) if sequence else None
                if last is not None:
                    self._connection.execute(select(func.setval(sequence, last)))


def _reflected(connection: Connection) -> MetaData:
    metadata = MetaData()
    there = [name for name in inspect(connection).get_table_names() if name not in LEFT_OUT]
    metadata.reflect(connection, only=there)
    return metadata


def _as_text(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    raise TypeError(f"a {type(value).__name__} in the state")


def _as_row(table: Table, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not row.keys() <= set(table.columns.keys()):
        raise ValueError(f"{table.name}: no row of its columns")
    return {
        name: base64.b64decode(value) if isinstance(table.c[name].type, LargeBinary) and value is not None else value
        for name, value in row.items()
    }

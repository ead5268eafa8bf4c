"""The embedded bus: one SQLite database a topic, a row a frame.

Write-ahead logging with `synchronous=FULL`: a frame is on the disk when `publish` returns. Any number of processes may
write and read; readers never wait for a writer (https://www.sqlite.org/wal.html).
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.bus import Positions, Record, SlowDown
from pipeline.frame import Frame

#: How long a writer waits for another one, in milliseconds; a group of frames takes 5–50 ms.
_BUSY_MS = 20_000
#: The one partition that an embedded topic has.
PARTITION = 0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS frames (
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    source TEXT NOT NULL,
    events INTEGER NOT NULL,
    size INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS size (
    id INTEGER PRIMARY KEY CHECK (id = 0), bytes INTEGER NOT NULL, events INTEGER NOT NULL
);
INSERT OR IGNORE INTO size VALUES (0, 0, 0);
CREATE TRIGGER IF NOT EXISTS grow AFTER INSERT ON frames BEGIN
    UPDATE size SET bytes = bytes + NEW.size, events = events + NEW.events;
END;
CREATE TRIGGER IF NOT EXISTS shrink AFTER DELETE ON frames BEGIN
    UPDATE size SET bytes = bytes - OLD.size, events = events - OLD.events;
END;
"""


class Frozen:
    """A topic as it was at one moment: its first and its next offset, and what lies between them."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        first, end = database.execute(
            "SELECT (SELECT min(offset) FROM frames), (SELECT seq FROM sqlite_sequence WHERE name = 'frames')"
        ).fetchone()
        self.end: int = (end or 0) + 1
        self.first: int = first or self.end

    def held(self, start: int) -> dict[str, int]:
        """Return how many events of each source lie from `start` on."""
        query = "SELECT source, sum(events) FROM frames WHERE offset >= ? GROUP BY source"
        return dict(self._database.execute(query, (start,)))

    def frames(self, start: int) -> Iterator[tuple[int, Frame]]:
        """Yield the frames from `start` on with their offsets."""
        query = "SELECT offset, source, events, payload, key FROM frames WHERE offset >= ? ORDER BY offset"
        for offset, source, events, payload, key in self._database.execute(query, (start,)):
            yield offset, Frame(source, events, payload, key)


@contextmanager
def frozen(folder: Path, topic: str) -> Iterator[Frozen]:
    """Give a topic as it is now, whatever is published and deleted until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_opened(folder, topic)) as database:
        database.execute("BEGIN")
        yield Frozen(database)


def fill(folder: Path, topic: str, end: int, frames: Iterable[tuple[int, Frame]]) -> None:
    """Put frames into a topic at the offsets that they had; the next one is published at `end`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = (
        (offset, frame.key, frame.source, frame.events, len(frame.payload), frame.payload) for offset, frame in frames
    )
    with closing(_opened(folder, topic)) as database, database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO frames (offset, key, source, events, size, payload) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
        database.execute("DELETE FROM sqlite_sequence WHERE name = 'frames'")
        database.execute("INSERT INTO sqlite_sequence VALUES ('frames', ?)", (end - 1,))


def _opened(folder: Path, topic: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        folder / f"{topic}.db", timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(_SCHEMA)
    return database


class SqliteBus:
    """`Bus` on SQLite files in `folder`; see the module's text. Safe to share between threads."""

    fault = ""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit_bytes
        self._connections: dict[str, sqlite3.Connection] = {}
        self._lock = threading.RLock()

    def publish(self, topic: str, frames: Sequence[Frame]) -> None:
        rows = [(frame.key, frame.source, frame.events, len(frame.payload), frame.payload) for frame in frames]
        with self._lock:
            database = self._open(topic)
            held = database.execute("SELECT bytes FROM size").fetchone()[0]
            if held > self._limit:
                raise SlowDown(f"topic {topic} holds {held} bytes, its limit is {self._limit}")
            with database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "INSERT INTO frames (key, source, events, size, payload) VALUES (?, ?, ?, ?, ?)", rows
                )

    def partitions(self, topic: str) -> tuple[int, ...]:
        del topic
        return (PARTITION,)

    def read(
        self,
        topic: str,
        positions: Positions,
        limit_bytes: int = 4_000_000,
        partitions: Collection[int] | None = None,
    ) -> list[Record]:
        records: list[Record] = []
        if partitions is not None and PARTITION not in partitions:
            return records
        with self._lock:
            rows = self._open(topic).execute(
                "SELECT offset, source, events, payload, key FROM frames WHERE offset >= ? ORDER BY offset",
                (positions.get(PARTITION, 0),),
            )
            for offset, source, events, payload, key in rows:
                records.append(Record(topic, PARTITION, offset, source, events, payload, key=key))
                limit_bytes -= len(payload)
                if limit_bytes <= 0:
                    break
            rows.close()
        return records

    def ends(self, topic: str) -> dict[int, int]:
        with self._lock:
            row = self._open(topic).execute("SELECT seq FROM sqlite_sequence WHERE name = 'frames'").fetchone()
        return {PARTITION: row[0] + 1 if row else 1}

    def backlog(self, topic: str, positions: Positions, partitions: Collection[int] | None = None) -> tuple[int, int]:
        if partitions is not None and PARTITION not in partitions:
            return 0, 0
        with self._lock:
            row = (
                self._open(topic)
                .execute(
                    "SELECT coalesce(sum(events), 0), coalesce(sum(size), 0) FROM frames WHERE offset >= ?",
                    (positions.get(PARTITION, 0),),
                )
                .fetchone()
            )
        return row[0], row[1]

    def trim(self, topic: str, positions: Positions) -> int:
        with self._lock:
            database = self._open(topic)
            with database:
                return database.execute("DELETE FROM frames WHERE offset < ?", (positions.get(PARTITION, 0),)).rowcount

    def close(self) -> None:
        with self._lock:
            for database in self._connections.values():
                database.close()
            self._connections.clear()

    def _open(self, topic: str) -> sqlite3.Connection:
        database = self._connections.get(topic)
        if database is None:
            database = self._connections[topic] = _opened(self._folder, topic)
        return database

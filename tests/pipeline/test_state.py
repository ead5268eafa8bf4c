"""The state: migrations lead to the tables as the code has them, whoever runs them, however often, and after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select

from pipeline.messages import HaidangError
from pipeline.state import insert_new, open_state, positions, state_file, upsert
from pipeline.state.tables import metadata, tokens, users
from pipeline.state.tables import positions as position_rows

OPEN = "import sys; from pathlib import Path; from pipeline.state import open_state; open_state(Path(sys.argv[1])).dispose()"


def opening(data_dir: Path) -> "subprocess.Popen[bytes]":
    """A process that opens a state."""
    return subprocess.Popen([sys.executable, "-c", OPEN, str(data_dir)], stderr=subprocess.PIPE)


def test_migrations_on_an_empty_database_make_the_tables_of_the_code(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_an_up_to_date_state_is_opened_without_waiting_for_a_writer(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.begin():  # holds the one write lock
        started = time.monotonic()
        open_state(tmp_path).dispose()
        assert time.monotonic() - started < 5
    engine.dispose()


def test_many_processes_may_open_a_new_state_at_once(tmp_path: Path) -> None:
    running = [opening(tmp_path / "new") for _ in range(5)]
    said = [process.communicate(timeout=60)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * 5, said
    engine = open_state(tmp_path / "new")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_kill_during_a_migration_leaves_before_or_after(tmp_path: Path) -> None:
    seen = set()
    for number, delay in enumerate((0.0, 0.004, 0.012, 0.03)):
        folder = tmp_path / str(number)
        process = opening(folder)
        deadline = time.monotonic() + 30
        while not state_file(folder).exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        bare = create_engine(f"sqlite:///{state_file(folder)}")
        found = set(inspect(bare).get_table_names())
        bare.dispose()
        assert not found or found == {*metadata.tables, "alembic_version"}
        seen.add(bool(found))
        open_state(folder).dispose()
    assert False in seen


def test_a_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(HaidangError) as caught:
        open_state(tmp_path)
    assert "newer" in str(caught.value)
    assert "9999" in str(caught.value)


def test_a_file_that_is_no_database_is_told_with_its_place(tmp_path: Path) -> None:
    state_file(tmp_path).write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(HaidangError, match="cannot be used") as caught:
        open_state(tmp_path)
    assert str(state_file(tmp_path)) in str(caught.value)


def test_a_data_directory_in_a_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HaidangError, match="cannot be used"):
        open_state(tmp_path / "file" / "data")


def test_insert_new_keeps_what_is_there_and_upsert_replaces_or_adds(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    row = {"consumer": "a", "topic": "t", "partition": 0, "offset": 5}
    with engine.begin() as connection:
        insert_new(connection, position_rows, [row, {**row, "partition": 1}], ["consumer", "topic", "partition"])
        insert_new(connection, position_rows, [{**row, "offset": 9}], ["consumer", "topic", "partition"])
        insert_new(connection, position_rows, [], ["consumer"])
    assert positions.load(engine, "a", "t") == {0: 5, 1: 5}
    with engine.begin() as connection:
        upsert(connection, position_rows, [{**row, "offset": 7}], ["consumer", "topic", "partition"])
        upsert(
            connection, position_rows, [{**row, "partition": 1}], ["consumer", "topic", "partition"], add=("offset",)
        )
    assert positions.load(engine, "a", "t") == {0: 7, 1: 10}
    engine.dispose()


def test_the_slowest_position_counts_only_where_every_consumer_has_one(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.begin() as connection:
        positions.save(connection, "store", "events", {0: 5, 1: 3})
        positions.save(connection, "detectors", "events", {0: 9})
        positions.save(connection, "import-1", "events", {0: 1})
    assert positions.slowest(engine, "events", ["store", "detectors"]) == {0: 5}
    assert positions.slowest(engine, "events", ["store", "other"]) == {}
    engine.dispose()


def test_two_data_directories_never_meet(tmp_path: Path) -> None:
    one, other = open_state(tmp_path / "one"), open_state(tmp_path / "other")
    row = {"name": "a", "digest": "b", "kind": "source", "role": "", "created": 0.0, "revoked": False}
    with one.begin() as connection:
        connection.execute(tokens.insert(), row)
    with other.connect() as connection:
        assert connection.execute(select(tokens)).all() == []
        assert connection.execute(select(users)).all() == []
    one.dispose()
    other.dispose()

"""The state: migrations lead to the tables as the code has them, whoever runs them, however often, and after a kill."""

import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, select

from pipeline.messages import HaidangError
from pipeline.settings import State
from pipeline.state import open_state, revisions, state_file, upgrade
from pipeline.state.tables import metadata, tokens, users
from tests.conftest import statements
from tests.contract.state import Place, StateContract, opening


@pytest.fixture(autouse=True)
def _migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the migrations run; other tests take what they lead to (`tests/conftest.py`)."""
    monkeypatch.setattr(upgrade, "migrate", revisions.migrate)


class TestSqlite(StateContract):
    """The suite on a file of a data directory."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return tmp_path, State()


def test_what_other_tests_copy_is_what_the_migrations_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrated = open_state(tmp_path / "migrated")
    monkeypatch.undo()
    copied = open_state(tmp_path / "copied")
    whole = [statements(engine) for engine in (migrated, copied)]
    assert whole[0] == whole[1]
    assert len(whole[0]) > len(metadata.tables)
    for engine in (migrated, copied):
        engine.dispose()


def test_an_up_to_date_state_is_opened_without_waiting_for_a_writer(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.begin():  # holds the one write lock
        started = time.monotonic()
        open_state(tmp_path).dispose()
        assert time.monotonic() - started < 5
    engine.dispose()


def test_a_kill_during_a_migration_leaves_before_or_after(tmp_path: Path) -> None:
    seen = set()
    for number, delay in enumerate((0.0, 0.004, 0.012, 0.03)):
        folder = tmp_path / str(number)
        process = opening((folder, State()))
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


def test_a_file_that_is_no_database_is_told_with_its_place(tmp_path: Path) -> None:
    state_file(tmp_path).write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(HaidangError, match="cannot be used") as caught:
        open_state(tmp_path)
    assert str(state_file(tmp_path)) in str(caught.value)


def test_a_data_directory_in_a_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HaidangError, match="cannot be used"):
        open_state(tmp_path / "file" / "data")


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

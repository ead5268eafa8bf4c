"""What all tests share: data that nobody in this project wrote, one language, and waiting for a condition."""

import os
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection, Engine

from detectors.sigma import RuleSet
from pipeline.identity import passwords
from pipeline.state import open_state, revisions, upgrade

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
T = TypeVar("T")

#: How many times longer than asked something is waited for. A machine that others load is slow, not wrong.
PATIENCE = 4 if os.environ.get("CI") == "true" else 1

os.environ["HAIDANG_LANGUAGE"] = "en"


def need(there: bool, what: str) -> None:
    """Skip a test whose needs are not met here, and say which; where everything must run (CI=true), fail."""
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"not here: {what}")
    pytest.skip(f"not here: {what}")


def eventually(found: Callable[[], T], seconds: float = 15.0, pause: float = 0.1) -> T:
    """Ask until the answer is true, and return it; fail with the last answer after `seconds`, in CI later."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(pause)
    return answer


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> None:
    """In the tests' own process a password is hashed with little work: they make thousands; commands do all of it."""
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=256, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def _states_copied(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the tests' own process a new SQLite state is made by what the migrations of the first one led to.

    Tests make thousands, and the migrations take a fifth of a second each time; `tests/pipeline/test_state.py` runs
    them, and holds that they lead to the same.
    """
    engine = open_state(tmp_path_factory.mktemp("first-state"))
    made = statements(engine)
    engine.dispose()

    def copy(connection: Connection, revision: str = "head") -> None:
        if connection.dialect.name != "sqlite" or revision != "head" or revisions.revision_of(connection):
            revisions.migrate(connection, revision)
            return
        for statement in made:
            connection.exec_driver_sql(statement)

    upgrade.migrate = copy


def statements(engine: Engine) -> list[str]:
    """Return what makes an SQLite database as it is, table by table and row by row."""
    raw = engine.raw_connection()
    try:
        assert isinstance(raw.driver_connection, sqlite3.Connection)
        return [each for each in raw.driver_connection.iterdump() if each not in ("BEGIN TRANSACTION;", "COMMIT;")]
    finally:
        raw.close()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Kafka broker of this run (`tests/services/kafka.py`); each test takes its own topics (`settings`)."""
    from tests.services.kafka import running

    with running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared test data."""
    need(SHARED.is_dir(), f"the shared test data, {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def sigmahq(shared_data: Path) -> RuleSet:
    """SigmaHQ's rules, all that we have of them: loading them takes a while."""
    return RuleSet.load(*sorted((shared_data / "sigma").glob("rules*")))


@pytest.fixture(scope="session")
def services() -> Iterator[Path]:
    """A folder for the services of this run; pytest's own are closed to other users, and deleted by other runs."""
    with tempfile.TemporaryDirectory(prefix="haidang-services-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(services: Path) -> Iterator[Any]:
    """A PostgreSQL of this run (`tests/services/postgres.py`); each test makes its own database."""
    from tests.services.postgres import running

    with running(services / "postgres") as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch(services: Path) -> Iterator[Any]:
    """An Elasticsearch node of this run (`tests/services/elasticsearch.py`); each test takes its own index prefix."""
    from tests.services.elasticsearch import running

    with running(services / "elasticsearch") as node:
        yield node


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port

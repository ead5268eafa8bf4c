"""The state on a real PostgreSQL: the suite of every database, and what only a server can do to us."""

from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import State
from pipeline.state import open_state
from tests.contract.state import Place, StateContract
from tests.services.postgres import Postgres


class TestPostgresql(StateContract):
    """The suite on a database of its own."""

    @pytest.fixture
    def place(self, tmp_path: Path, postgres: Postgres) -> Place:
        return tmp_path, State(url=postgres.new_database())


def test_a_server_that_was_away_is_found_again(tmp_path: Path, postgres: Postgres) -> None:
    settings = State(url=postgres.new_database())
    engine = open_state(tmp_path, settings)
    postgres.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        open_state(tmp_path, settings)
    postgres.start()
    with engine.connect() as connection:  # the pool's connections are dead, and are replaced without a word
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_a_database_that_is_not_there_is_told_without_the_password(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url("nowhere").replace("haidang@", "haidang:geheim-123@")
    with pytest.raises(HaidangError) as caught:
        open_state(tmp_path, State(url=url))
    assert '"nowhere" does not exist' in str(caught.value)
    assert "geheim-123" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql://", "postgresql://host", "postgres", "/tmp/x.db"])
def test_another_kind_of_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="expected postgresql://"):
        State(url=url)

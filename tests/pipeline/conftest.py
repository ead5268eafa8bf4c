"""A state for tests that must hold on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.settings import State as StateSettings
from pipeline.state import open_state
from tests.services.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A state of its own, embedded and on PostgreSQL."""
    settings = StateSettings()
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        settings = StateSettings.model_validate({"url": postgres.new_database()})
    made = open_state(tmp_path, settings)
    yield made
    made.dispose()

"""A site with a state and no processes, and rules to change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import rule
from sqlalchemy import Engine

from detectors.rulebook.changes import Rulebook
from pipeline.settings import Detectors, Settings
from pipeline.state import open_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the site's rules, with one rule."""
    made = tmp_path / "site-rules"
    made.mkdir()
    (made / "opened.yml").write_text(rule(1, "Door opened", "opened"), "utf-8")
    return made


@pytest.fixture
def settings(tmp_path: Path, folder: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", detectors=Detectors(rules=[folder]), sources=[])


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = open_state(settings.data_dir)
    yield made
    made.dispose()


@pytest.fixture
def book(engine: Engine, settings: Settings) -> Rulebook:
    """The rulebook, as An changes it."""
    return Rulebook(engine, settings, "an", "192.0.2.1")

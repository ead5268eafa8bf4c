"""A site with a state and no processes, and rules to change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from detectors.rulebook.changes import Rulebook
from pipeline.settings import Detectors, Settings
from pipeline.state import open_state


def rule(number: int, title: str, value: str, extra: str = "") -> str:
    """A rule's text."""
    return (
        f"title: {title}\nid: 00000000-0000-4000-8000-{number:012d}\n{extra}"
        f"logsource: {{product: door}}\ndetection: {{selection: {{event.action: {value}}}, condition: selection}}\n"
    )


def vectors(hit: str, miss: str) -> str:
    """A rule's vectors."""
    event = "{{event.dataset: door, event.action: {}}}"
    return f"hits: [{event.format(hit)}]\nmisses: [{event.format(miss)}]\n"


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

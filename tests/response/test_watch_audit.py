"""The watch over the audit: a row that somebody changed in the database is an alert, once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from pipeline import audit
from pipeline.bus.sqlite import SqliteBus
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.state import open_state
from pipeline.state.tables import alerts
from response.watch import Watch


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The response stage on a data directory of its own, with three rows of audit."""
    topics = SqliteBus(tmp_path / "bus", 10**9)
    made = Stage("response", Settings(data_dir=tmp_path, sources=[]), open_state(tmp_path), topics)
    for number in range(3):
        with made.engine.begin() as connection:
            audit.note(connection, "an", "10.0.0.9", "search", number=number)
    yield made
    topics.close()
    made.engine.dispose()


def _told(stage: Stage) -> list[str]:
    with stage.engine.connect() as connection:
        return list(connection.scalars(select(alerts.c.rule_id).where(alerts.c.rule_id == "haidang.tampered")))


def test_a_whole_audit_is_no_alert(stage: Stage) -> None:
    Watch(stage).look(True)
    assert _told(stage) == []


def test_a_changed_row_is_one_alert_however_often_it_is_looked_at(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_no_update"))
        connection.execute(text("UPDATE audit SET who = 'nobody' WHERE id = 2"))
    for _ in range(2):
        Watch(stage).look(True)  # as after a restart
    assert _told(stage) == ["haidang.tampered"]

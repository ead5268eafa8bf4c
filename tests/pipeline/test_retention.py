"""Retention by days and by size on real indexes: never below what the level demands without saying so (row F5)."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.event import Event, encode, event_id, format_time
from pipeline.settings import Settings
from pipeline.store import EVENTS, Writer, open_writer
from pipeline.store.document import document
from pipeline.store.retention import Outcome, expire, retention_alerts

_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """Events of a day in each of the last 14 months, taken in on that day."""
    made = open_writer(tmp_path, _settings(tmp_path).store)
    for days in range(0, 420, 30):
        day = _NOW - timedelta(days=days)
        made.add(EVENTS, [document(event := _event(day, number), encode(event)) for number in range(50)])
    made.commit()
    for path in (tmp_path / "index" / EVENTS).glob("*/meta.json"):
        os.utime(path, (0, 0))
    yield made
    made.close()


def _event(day: datetime, number: int) -> Event:
    return {"@timestamp": format_time(day), "event.id": event_id("retention", str(day), number), "message": "x" * 1000}


def _settings(folder: Path, level: int | None = None, **store: Any) -> Settings:
    return Settings(data_dir=folder, observer="may", level=level, store=store)


def _ages(writer: Writer) -> list[int]:
    """How many days ago the events of each index ended."""
    return [round((_NOW.timestamp() - index.latest / 1e6) / 86_400) for index in writer.indexes()]


def test_what_is_older_than_the_days_goes(writer: Writer, tmp_path: Path) -> None:
    before = _ages(writer)
    assert max(before) > 360
    outcome = expire(writer, _settings(tmp_path, retention_days=100), _NOW)
    assert _ages(writer) == [age for age in before if age < 100]
    assert len(outcome.removed) == len(before) - len(_ages(writer))
    assert outcome.too_much == 0
    assert retention_alerts(_settings(tmp_path, retention_days=100), outcome, _NOW) == []


def test_to_make_room_the_oldest_go_first(writer: Writer, tmp_path: Path) -> None:
    sizes = [index.size for index in writer.indexes()]
    limit = sum(sizes[5:]) / 1e9
    outcome = expire(writer, _settings(tmp_path, max_gb=limit), _NOW)
    assert [index.size for index in outcome.removed] == sizes[:5]
    assert outcome.too_much == 0


def test_today_never_goes(writer: Writer, tmp_path: Path) -> None:
    outcome = expire(writer, _settings(tmp_path, max_gb=1e-9), _NOW)
    assert len(_ages(writer)) == 1
    assert outcome.too_much > 1000


@pytest.mark.parametrize(("level", "days"), [(1, 0), (2, 31), (3, 92), (4, 184), (5, 366)])
def test_to_make_room_nothing_goes_that_the_level_demands(
    writer: Writer, tmp_path: Path, level: int, days: int
) -> None:
    """Row F5: level 2 keeps one month, level 3 three, level 4 six, level 5 twelve."""
    before = _ages(writer)
    settings = _settings(tmp_path, level, max_gb=1e-9)
    outcome = expire(writer, settings, _NOW)
    assert _ages(writer) == [age for age in before if age < max(days, 1)]
    (alert,) = retention_alerts(settings, outcome, _NOW)
    assert (alert["rule.id"], alert["event.severity"]) == ("haidang.too_much", 75)
    assert f"level {level}" in alert["rule.description"]


def test_days_below_the_levels_are_obeyed_and_said(writer: Writer, tmp_path: Path) -> None:
    settings = _settings(tmp_path, 3, retention_days=50)
    outcome = expire(writer, settings, _NOW)
    assert max(_ages(writer)) < 50
    (alert,) = retention_alerts(settings, outcome, _NOW)
    assert alert["rule.description"] == "[store] retention_days = 50, level 3: 92"
    assert retention_alerts(settings, Outcome(), _NOW)[0]["event.id"] == alert["event.id"]

"""Behaviours through the real stage: alerts over restarts and kills, each once, and nothing that they need is deleted."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from detectors.behave import Behaving
from pipeline import bus, shares
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import Event, encode, format_time
from pipeline.frame import pack
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.state import open_state, positions
from pipeline.state.tables import behaviours, stages
from tests.conftest import eventually
from tests.detectors.test_detect import Running
from tests.detectors.traffic import flow

_NAME = "detectors:behaviours"
_LATENESS = 1


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A data directory for the process, with few rules and a short lateness."""
    empty = tmp_path / "rules"
    empty.mkdir()
    monkeypatch.setenv("HAIDANG_DETECTORS__RULES", f'["{empty}"]')
    monkeypatch.setenv("HAIDANG_DETECTORS__BEHAVIOURS__LATENESS_SECONDS", str(_LATENESS))
    made = Running(tmp_path / "data")
    yield made
    made.end()


def _scan(source: str, first: int, count: int) -> list[Event]:
    """Connections of now, one each millisecond, that are refused."""
    begin = datetime.now(UTC) - timedelta(seconds=20)
    made = []
    for n in range(first, first + count):
        at = format_time(begin + timedelta(milliseconds=n))
        made.append(
            {**flow(n, source, "203.0.113.4", n + 1, "REJ"), "@timestamp": at, "event.ingested": format_time(begin)}
        )
    return made


def _told(site: Running) -> list[Event]:
    return [alert for alert in site.alerts() if alert["rule.id"] == "behaviour.port_scan"]


def test_a_scan_becomes_an_alert_and_counts_are_told(site: Running) -> None:
    site.start()
    site.send("sensor", *_scan("10.1.2.3", 0, 20))
    (alert,) = eventually(lambda: _told(site), 60)
    assert alert["source.ip"] == "10.1.2.3"

    def held() -> object:
        with site.engine.connect() as connection:
            details = [row.detail for row in connection.execute(stages.select()) if row.stage == "detectors"]
        return details and details[0].get("behaviours", {}).get("alerts") and details[0]["behaviours"]

    counts = eventually(held, 20)
    assert isinstance(counts, dict)
    assert (counts["events"], counts["alerts"], counts["failed"]) == (20, 1, 0)
    assert site.stop() == 0
    assert site.read_all(_NAME)


def test_a_stop_in_the_middle_changes_nothing(site: Running) -> None:
    events = _scan("10.1.2.3", 0, 20)
    site.send("sensor", *events[:10])
    site.start()
    eventually(lambda: positions.load(site.engine, "detectors", bus.EVENTS).get(0), 60)
    time.sleep(1)
    assert site.stop() == 0
    with site.engine.connect() as connection:
        assert connection.execute(behaviours.select()).all()
    site.send("sensor", *events[10:])
    site.start()
    (alert,) = eventually(lambda: _told(site), 60)
    assert alert["alert.count"] == 15


def test_a_kill_repeats_alerts_by_their_ids(site: Running) -> None:
    site.start()
    site.send("sensor", *_scan("10.1.2.3", 0, 20))
    first = eventually(lambda: _told(site), 60)[0]
    site.kill()
    site.send("sensor", *_scan("10.1.2.4", 0, 20))
    site.start()
    eventually(lambda: {alert["source.ip"] for alert in _told(site)} == {"10.1.2.3", "10.1.2.4"}, 60)
    assert {alert["event.id"] for alert in _told(site) if alert["source.ip"] == "10.1.2.3"} == {first["event.id"]}


def test_an_import_is_looked_at_by_itself(site: Running) -> None:
    old = [{**flow(-9e6 + n, "10.1.2.3", "203.0.113.4", n + 1, "REJ")} for n in range(20)]
    site.start()
    site.send("sensor", *_scan("10.1.2.5", 0, 5))
    site.send(bus.IMPORT, *reversed(old))
    (alert,) = eventually(lambda: _told(site), 60)
    assert alert["source.ip"] == "10.1.2.3"


def test_frames_that_behaviours_have_not_read_are_kept(site: Running) -> None:
    with site.engine.begin() as connection:
        for name, offset in (("store", 9), ("detectors", 9), (_NAME, 4)):
            positions.save(connection, name, bus.EVENTS, {0: offset})
    assert positions.slowest(site.engine, bus.EVENTS, ["store", "detectors"], [_NAME]) == {0: 4}
    with site.engine.begin() as connection:
        positions.forget(connection, _NAME)
    assert positions.slowest(site.engine, bus.EVENTS, ["store", "detectors"], [_NAME]) == {0: 9}


def test_a_copy_that_lost_its_lease_saves_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    queue = SqliteBus(tmp_path / "bus", 10**9)
    stage = Stage("detectors", settings, open_state(tmp_path), queue)
    queue.publish(bus.EVENTS, list(pack("sensor", [encode(event) for event in _scan("10.1.2.3", 0, 3)])))

    def saved() -> tuple[int, int]:
        with stage.engine.connect() as connection:
            rows = connection.execute(behaviours.select()).all()
        return len(rows), positions.load(stage.engine, _NAME, bus.EVENTS).get(0, 0)

    with stage.engine.begin() as connection:
        shares.claim(connection, "detectors", bus.EVENTS, stage.instance, {0})
    ours = Behaving(stage, shared=True)
    ours.alerts(leads=True)
    with stage.engine.begin() as connection:
        shares.leave(connection, "detectors", bus.EVENTS, stage.instance)
        shares.claim(connection, "detectors", bus.EVENTS, "another", {0})
    ours.end()
    assert saved() == (0, 0)
    with stage.engine.begin() as connection:
        shares.leave(connection, "detectors", bus.EVENTS, "another")
        shares.claim(connection, "detectors", bus.EVENTS, stage.instance, {0})
    ours.alerts(leads=True)  # it leads again, and reads again
    ours.end()
    rows, position = saved()
    assert (rows > 0, position) == (True, queue.ends(bus.EVENTS)[0])
    queue.close()
    stage.engine.dispose()

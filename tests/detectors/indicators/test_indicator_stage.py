"""Indicators through the real stage: an index that is swapped without a stop, restarts and kills, a list gone stale."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from detectors.indicators import kept, ready
from detectors.indicators.following import Watching
from detectors.indicators.indicator import Indicator
from detectors.indicators.listed import Defaults
from detectors.indicators.refreshing import import_file, refresh
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import Event
from pipeline.settings import IndicatorFeed, Settings
from pipeline.stage import Stage
from pipeline.state import open_state
from pipeline.state.tables import indicator_feeds, stages
from tests.conftest import eventually
from tests.detectors.test_detect import Running
from tests.detectors.traffic import flow

OURS, THEIRS = "10.1.2.3", "45.9.148.3"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A data directory for the process, with no rules."""
    empty = tmp_path / "rules"
    empty.mkdir()
    monkeypatch.setenv("HAIDANG_DETECTORS__RULES", f'["{empty}"]')
    made = Running(tmp_path / "data")
    yield made
    made.end()


def _told(site: Running) -> list[Event]:
    return [alert for alert in site.alerts() if alert["rule.id"].startswith("indicator.")]


def _detail(site: Running) -> dict[str, Any]:
    with site.engine.connect() as connection:
        details = [row.detail for row in connection.execute(stages.select()) if row.stage == "detectors"]
    return dict(details[0].get("indicators", {})) if details else {}


@pytest.mark.slow
def test_events_that_come_while_the_first_index_is_made_are_looked_up(site: Running, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*(f"h{number}.evil.com" for number in range(100_000)), THEIRS]), "utf-8")
    settings = Settings(data_dir=site.data_dir)
    import_file(site.engine, settings, listed, "auto", Defaults("once", "c2", 90), 30)
    site.send("sensor", flow(1, OURS, THEIRS, 443), flow(2, OURS, "45.9.148.4", 443))
    site.start()
    (alert,) = eventually(lambda: _told(site), 60)
    assert (alert["source.ip"], alert["threat.indicator.provider"]) == (OURS, "once")
    assert len(list(ready.place_of(settings).iterdir())) == 2  # the index and the lock

    kept.add_live(site.engine, [Indicator("address", "45.9.148.4", "live", "c2", 90)], ("an", ""), "x", 0)
    eventually(lambda: _detail(site).get("count") == 100_002, 20)
    site.send("sensor", flow(3, OURS, "45.9.148.4", 443), flow(3.5, OURS, "45.9.148.4", 443))
    eventually(lambda: len(_told(site)) == 2, 20)
    listed.write_text("46.8.0.0/16\n", "utf-8")
    import_file(site.engine, settings, listed, "auto", Defaults("once", "c2", 90), 30)
    eventually(lambda: _detail(site).get("count") == 2, 30)
    site.send("sensor", flow(4, OURS, "46.8.1.1", 443), flow(5, OURS, THEIRS, 80))
    eventually(lambda: len(_told(site)) == 3, 20)
    detail = eventually(lambda: (said := _detail(site)).get("alerts") == 3 and said, 20)
    assert (detail["repeated"], detail["failed"], detail["fault"]) == (1, 0, "")

    site.kill()
    site.start()  # what was read since the last commit is read again, and gives the same alerts
    site.send("sensor", flow(6, "10.1.2.9", "46.8.1.2", 443))
    eventually(lambda: "10.1.2.9" in {each["source.ip"] for each in _told(site)}, 30)
    assert len({each["event.id"] for each in _told(site)}) == 4


def test_a_list_that_is_no_longer_refreshed_is_an_alert(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{THEIRS}\n", "utf-8")
    feed = IndicatorFeed(name="report", kind="file", path=listed, stale_hours=2)
    settings = Settings(data_dir=tmp_path / "data", indicators={"feeds": [feed]})  # type: ignore[arg-type]
    engine = open_state(settings.data_dir, settings.state)
    assert refresh(engine, settings, feed).count == 1
    listed.unlink()
    assert "cannot be read" in refresh(engine, settings, feed).error
    with engine.begin() as connection:
        old = {"refreshed": time.time() - 3 * 3600, "tried": time.time()}
        connection.execute(update(indicator_feeds).values(**old))
    queue = SqliteBus(settings.data_dir / "bus", 1_000_000)
    watching = Watching(Stage("detectors", settings, engine, queue))
    watching.look(leads=True)
    (alert,) = watching.alerts()
    assert (alert["rule.id"], watching.alerts()) == ("haidang.indicators_stale", [])
    assert "report" in alert["rule.description"] and "report" in alert["rule.description_vi"]
    assert "cannot be read" in alert["rule.description"]
    (said,) = watching.detail()["indicators"]["feeds"]
    assert (said["stale"], said["count"]) == (True, 1)
    assert watching.active  # what it has is still looked for
    assert kept.feed(engine, "report") is not None
    watching.close()
    queue.close()

"""Canaries as the state has them: what is late, lost or not sent is one alert, until one comes through in time again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, update

from pipeline import canaries
from pipeline.event import Event
from pipeline.health import health
from pipeline.metrics import metrics_text
from pipeline.settings import Canary, Settings
from pipeline.state import database_time, open_state, tables

SETTINGS = Canary(minutes=5, late_seconds=60)


class Corridor:
    """One input of one machine; time goes by as the test says, by making what is noted older."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._number = 0
        self.since = 0.0

    def send(self) -> str:
        self._number += 1
        with self.engine.begin() as connection:
            row = {"source": "syslog", "kind": "udp", "id": f"{self._number:032x}", "text": "x"}
            canaries.expect(connection, "may-1", [row])
        return row["id"]

    def reach(self, identifier: str, *steps: str) -> None:
        with self.engine.begin() as connection:
            for step in steps:
                canaries.note(connection, step, {identifier})

    def wait(self, seconds: float) -> None:
        table = tables.canaries
        with self.engine.begin() as connection:
            older = {name: table.c[name] - seconds for name in ("sent", *canaries.STEPS)}
            connection.execute(update(table).values(older))

    def alerts(self) -> list[Event]:
        with self.engine.begin() as connection:
            return canaries.judge(connection, SETTINGS, self.since, "may-thu")

    def rules(self) -> list[str]:
        return [alert["rule.id"].removeprefix("haidang.") for alert in self.alerts()]

    def standing(self) -> dict[str, Any]:
        return canaries.standing(self.engine)[0]


@pytest.fixture
def corridor(tmp_path: Path) -> Iterator[Corridor]:
    engine = open_state(tmp_path)
    yield Corridor(engine)
    engine.dispose()


def test_one_that_is_through_in_time_raises_nothing(corridor: Corridor) -> None:
    first = corridor.send()
    assert corridor.rules() == []
    assert corridor.standing()["state"] == "waiting"
    corridor.reach(first, *canaries.STEPS)
    assert corridor.rules() == []
    told = corridor.standing()
    assert (told["state"], told["failures"], told["reached"]) == ("good", 0, list(canaries.STEPS))
    assert 0 <= told["seconds"] < 5


def test_a_late_one_is_an_alert_once_and_the_next_good_one_ends_it(corridor: Corridor, tmp_path: Path) -> None:
    stuck = corridor.send()
    corridor.reach(stuck, "received", "stored")
    corridor.wait(59)
    assert corridor.rules() == []
    corridor.wait(2)
    (alert,) = corridor.alerts()
    assert alert["rule.id"] == "haidang.canary_late"
    assert "Reached: sent, received, stored. Missing: examined, alerted." in alert["rule.description"]
    assert "Chưa qua: examined, alerted" in alert["rule.description_vi"]
    assert corridor.rules() == []
    (problem,) = [
        each
        for each in health(corridor.engine, Settings(data_dir=tmp_path))["problems"]
        if each["what"] == "canary_late"
    ]
    assert (problem["machine"], problem["reached"]) == ("may-1", "sent, received, stored")
    corridor.reach(stuck, "examined", "alerted")  # too late to be good
    assert corridor.rules() == []
    corridor.wait(240)
    corridor.send()
    corridor.wait(61)
    assert corridor.rules() == []  # still the same failure
    assert corridor.standing()["failures"] == 2
    corridor.reach(corridor.send(), *canaries.STEPS)
    assert corridor.rules() == ["canary_back"]
    assert corridor.rules() == []
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(
            metrics_text(corridor.engine, Settings(data_dir=tmp_path)).decode()
        )
        for sample in family.samples
    }
    assert samples["haidang_canary_failures_total"] == 2
    assert samples["haidang_canary_last_good_timestamp_seconds"] > 1_700_000_000


def test_none_sent_is_an_alert_and_every_failure_has_its_own(corridor: Corridor) -> None:
    corridor.reach(corridor.send(), *canaries.STEPS)
    assert corridor.rules() == []
    corridor.wait(11 * 60 + 1)
    first = corridor.alerts()
    assert [alert["rule.id"] for alert in first] == ["haidang.canary_not_sent"]
    corridor.reach(corridor.send(), *canaries.STEPS)
    assert corridor.rules() == ["canary_back"]
    corridor.wait(11 * 60 + 1)
    assert corridor.alerts()[0]["event.id"] != first[0]["event.id"]


def test_what_was_late_while_the_pipeline_was_down_is_nobodys_fault(corridor: Corridor) -> None:
    stuck = corridor.send()
    corridor.reach(stuck, "received")
    corridor.wait(3600)
    with corridor.engine.begin() as connection:
        corridor.since = database_time(connection) - 10
    assert corridor.rules() == []
    corridor.reach(stuck, "examined", "alerted", "stored")
    assert corridor.rules() == []
    assert corridor.standing()["state"] == "good"


def test_a_machine_that_was_taken_away_is_forgotten_and_inputs_that_are_no_more(corridor: Corridor) -> None:
    corridor.send()
    corridor.wait(86_401 + 660)
    assert corridor.rules() == []
    assert canaries.standing(corridor.engine) == []
    corridor.send()
    with corridor.engine.begin() as connection:
        canaries.keep_only(connection, "may-2", set())
        assert len(canaries.rows(connection)) == 1
        canaries.keep_only(connection, "may-1", set())
        assert canaries.rows(connection) == []

"""Clocks of sending hosts: what is off is an alert once until it is mended; delays, replays and zones are told apart."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline import clocks
from pipeline.clocks import MOST_HOSTS, OTHERS, Clocks
from pipeline.event import encode, format_time
from pipeline.state import open_state

Delay = Callable[[int, int], float]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_state(tmp_path)
    yield made
    made.dispose()


def line(received: datetime, behind: float, host: str = "may", **more: Any) -> bytes:
    said = format_time(received - timedelta(seconds=behind))
    return encode({"@timestamp": said, "event.ingested": format_time(received), "host.name": host, **more})


class Minutes:
    """A machine's collectors and the state, as time goes by."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.seen, self.now = engine, Clocks(), time.time()

    def pass_by(self, minutes: int, delay: Delay, host: str = "may") -> list[str]:
        """Let minutes pass with 20 events each, `delay(minute, number)` seconds old; return the rules of the alerts."""
        raised = []
        for minute in range(minutes):
            for number in range(20):
                received = datetime.fromtimestamp(self.now + 3 * number, UTC)
                self.seen.look_at("syslog", line(received, delay(minute, number), host))
            self.now += 60
            with self.engine.begin() as connection:
                clocks.save(connection, self.seen.rows(self.now))
                raised += clocks.judge(connection, 60, "may-thu")
        return [alert["rule.id"].removeprefix("haidang.") for alert in raised]

    def host(self) -> dict[str, Any]:
        (row,) = clocks.listed(self.engine)
        return row


@pytest.mark.parametrize(
    ("delay", "behind", "rule"),
    [
        (lambda _, number: number % 3, 0, None),
        (lambda _, number: 59 + number % 3, 59, None),
        (lambda _, number: 95 + number, 95, "clock_off"),
        (lambda _, number: number - 3630, -3630, "clock_zone"),
        (lambda _, number: 7 * 3600 + number, 25_200, "clock_zone"),
        (lambda _, number: -130 + number * 40, -130, "clock_off"),  # many are late, yet those that are early say it
    ],
)
def test_a_clock_is_measured_and_told_when_it_is_off(
    engine: Engine, delay: Delay, behind: float, rule: str | None
) -> None:
    minutes = Minutes(engine)
    assert minutes.pass_by(4, delay) == []
    assert minutes.pass_by(5, delay) == ([rule] if rule else [])
    told = minutes.host()
    assert told["behind"] == pytest.approx(behind, abs=2)
    assert (told["steady"], told["off"], told["zone"]) == (True, rule is not None, rule == "clock_zone")
    assert minutes.pass_by(8, lambda *_: 1.0) == (["clock_mended"] if rule else [])
    assert clocks.worst(engine)["syslog"] == (pytest.approx(1), 0)


@pytest.mark.parametrize(
    "delay",
    [
        lambda minute, number: 86_400 * 30 - (minute * 20 + number) * 600,  # a month is replayed
        lambda minute, number: 900 - minute * 90 - number,  # a queue empties
        lambda minute, number: 5 + minute * 40,  # a network gets slower and slower
        lambda minute, number: (
            290 - number * 15 if minute % 5 == 0 else random.Random(minute).uniform(20, 280)
        ),  # batches
    ],
)
def test_late_events_are_no_clock(engine: Engine, delay: Delay) -> None:
    minutes = Minutes(engine)
    assert minutes.pass_by(9, delay) == []
    assert not minutes.host()["off"]


def test_a_month_old_upload_once_a_day_is_no_clock(engine: Engine) -> None:
    minutes = Minutes(engine)
    for _ in range(7):
        assert minutes.pass_by(1, lambda *_: 86_400.0) == []
        minutes.now += 86_400 - 60
        minutes.seen.rows(minutes.now)


def test_what_has_no_time_of_its_own_says_nothing_and_a_time_that_was_replaced_does(engine: Engine) -> None:
    seen, now = Clocks(), datetime.now(UTC)
    seen.look_at("syslog", line(now, 0))
    seen.look_at("syslog", line(now, 0, "dead-battery", **{"labels.claimed_time": "1970-01-01T00:00:10.000Z"}))
    seen.look_at("syslog", line(now, 0, "nonsense", **{"labels.claimed_time": "yesterday"}))
    (row,) = seen.rows(time.time() + 60)
    assert row["host"] == "dead-battery"
    assert row["behind"] > 1e9


def test_hosts_beyond_the_limit_count_together(engine: Engine) -> None:
    seen, now = Clocks(), datetime.now(UTC)
    for number in range(MOST_HOSTS + 50):
        seen.look_at("syslog", line(now, 5, f"host-{number}"))
    rows = seen.rows(time.time() + 60)
    assert len(rows) == MOST_HOSTS + 1
    assert rows[-1]["host"] == OTHERS


def test_a_host_of_long_ago_is_forgotten(engine: Engine) -> None:
    minutes = Minutes(engine)
    minutes.pass_by(1, lambda *_: 1.0)
    with engine.begin() as connection:
        clocks.forget_old(connection, time.time() + 31 * 86_400)
    assert clocks.listed(engine) == []


def test_connections_that_are_told_a_fixed_time_after_their_end_are_no_clock(engine: Engine) -> None:
    seen, now = Clocks(), datetime.now(UTC)
    said = format_time(now)
    seen.look_at("zeek", line(now, 65, **{"event.end": said}))
    seen.look_at("zeek", line(now, -65, host="early", **{"event.end": said}))
    assert [row["host"] for row in seen.rows(time.time() + 60)] == ["early"]

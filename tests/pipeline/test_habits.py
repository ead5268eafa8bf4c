"""Sources that go quiet: weeks of several habits raise nothing, a stop is an alert in time, our own pauses are none."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from pipeline import habits
from pipeline.habits import Habit, Silence, Watcher, habit
from pipeline.state import open_state, upsert
from pipeline.state.tables import ledger, silences, stages

WEEK, DAY = 7 * 1440, 1440
#: A Monday, midnight in UTC; the tests' zone does not matter to a habit.
START = 2_950_000 * 10 // WEEK * WEEK + 4 * DAY
WEEKS = 5


def _office(chance: random.Random) -> Iterator[int]:
    for minute in range(START, START + WEEKS * WEEK):
        day, time = divmod((minute - START) % WEEK, DAY)
        if day < 5 and 460 < time < 1050 and not 720 < time < 780 and chance.random() < 0.5:
            yield minute


def _nightly(chance: random.Random) -> Iterator[int]:
    for day in range(WEEKS * 7):
        start = START + day * DAY + 120 + chance.randint(-20, 40)
        yield from range(start, start + chance.randint(3, 40))


def _bursts(chance: random.Random) -> Iterator[int]:
    minute = START
    while minute < START + WEEKS * WEEK:
        minute += int(chance.expovariate(1 / 180)) + 1
        yield from range(minute, minute + chance.randint(1, 20))


#: Each habit: minutes with events of five weeks, and how many minutes after a stop the alert may come.
HABITS = {
    "steady": (lambda _: range(START, START + WEEKS * WEEK), 10),
    "steady with holes": (lambda chance: (m for m in range(START, START + WEEKS * WEEK) if chance.random() < 0.7), 30),
    "office hours": (_office, 120),
    "weekdays": (lambda _: (m for m in range(START, START + WEEKS * WEEK) if (m - START) % WEEK < 5 * DAY), 10),
    "weekends": (lambda _: (m for m in range(START, START + WEEKS * WEEK) if (m - START) % WEEK >= 5 * DAY), 10),
    "nightly batch": (_nightly, 28 * 60),
    "once a day": (
        lambda chance: (START + day * DAY + 600 + chance.randint(-30, 30) for day in range(WEEKS * 7)),
        28 * 60,
    ),
    "bursts at random": (_bursts, 48 * 60),
}


class Life:
    """One source, minute by minute."""

    def __init__(self, active: Iterable[int]) -> None:
        self.active = set(active)
        first = min(self.active)
        self.silence = Silence("x", first, first, first)
        self.history: dict[int, int] = {}
        self.alerts: list[tuple[int, Habit]] = []
        self._known: tuple[int, Habit] = (0, Habit(None))

    def live(self, until: int) -> None:
        while self.silence.minute < until:
            before, self.silence = self.silence, self.silence.next(self.silence.minute + 1 in self.active, True)
            hour = self.silence.minute // 60
            self.history[before.minute // 60] = before.longest
            if self.silence.silent > 5 and self._known[0] != hour:
                history = {at: longest for at, longest in self.history.items() if at < hour}
                self._known = (hour, habit(history, self.silence))
            limit = self._known[1].limit if self._known[0] == hour else None
            if not self.silence.silent:
                self.silence = replace(self.silence, raised=False)
            elif limit is not None and self.silence.silent > limit and not self.silence.raised:
                self.silence = replace(self.silence, raised=True)
                self.alerts.append((self.silence.minute, self._known[1]))


@pytest.mark.parametrize("name", HABITS)
def test_weeks_of_a_habit_raise_nothing_and_a_stop_does_in_time(name: str) -> None:
    minutes, allowed = HABITS[name]
    life = Life(minutes(random.Random(1)))
    middle = START + (WEEKS - 1) * WEEK + (5 * DAY if name == "weekends" else DAY) + 600
    stop = next(minute for minute in range(middle, middle - WEEK, -1) if minute in life.active)
    life.live(stop)
    print(f"{name}: {len(life.alerts)} false alarms in {(stop - START) / WEEK:.1f} weeks", end=", ")
    assert life.alerts == []
    life.active = set()
    life.live(stop + allowed + 1)
    assert len(life.alerts) == 1
    print(f"alert {life.alerts[0][0] - stop} minutes after the last event")


def test_one_outage_is_no_habit_and_two_weeks_of_one_are() -> None:
    def without(weeks: set[int]) -> set[int]:
        gone = {m for week in weeks for m in range(START + week * WEEK + DAY, START + week * WEEK + DAY + 600)}
        return set(range(START, START + 6 * WEEK)) - gone

    for outages, alarms in (({3}, 1), ({3, 4}, 2), ({2, 3, 5}, 2)):
        life = Life(without(outages))
        life.live(START + 6 * WEEK - 1)
        assert len(life.alerts) == alarms, outages


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_state(tmp_path)
    yield made
    made.dispose()


def _hear(engine: Engine, now: float, minutes: Iterable[int], source: str = "fw", listening: bool = True) -> None:
    told = {
        "stage": "collectors",
        "instance": "a",
        "pid": 1,
        "started": 0.0,
        "seen": now if listening else now - 60,
        "detail": {"ready": True},
    }
    rows = [
        {"minute": m, "stage": "collectors", "source": source, "outcome": "in", "reason": "", "events": 3}
        for m in minutes
    ]
    with engine.begin() as connection:
        upsert(connection, stages, [told], key=["stage", "instance"])
        upsert(connection, ledger, rows, key=["minute", "stage", "source", "outcome", "reason"])


def _look(
    engine: Engine, watcher: Watcher, minute: int, active: bool = True, listening: bool = True, source: str = "fw"
) -> list[str]:
    """Let a minute pass, and look when it is over; return the rules of the alerts."""
    now = (minute + 1) * 60 + habits.COUNTED_SECONDS + 1.0
    _hear(engine, now, [minute] if active else [], source, listening)
    with engine.begin() as connection:
        return [alert["rule.id"].removeprefix("haidang.") for alert in watcher.look(connection, now, "may-thu")]


def _steady(engine: Engine) -> int:
    """Let a steady source of three weeks be known; return its last minute."""
    last = START + 3 * WEEK + DAY
    rows = [{"source": "fw", "hour": hour, "longest": 0} for hour in range(START // 60, last // 60)]
    with engine.begin() as connection:
        upsert(
            connection,
            silences,
            [
                {
                    "source": "fw",
                    "minute": last,
                    "first": START,
                    "last": last,
                    "silent": 0,
                    "longest": 0,
                    "raised": False,
                }
            ],
            key=["source"],
        )
        upsert(connection, habits.habits, rows, key=["source", "hour"])
    return last


def test_a_silence_is_raised_once_and_noted_when_it_ends(engine: Engine) -> None:
    last, watcher = _steady(engine), Watcher()
    assert [_look(engine, watcher, last + n) for n in range(1, 4)] == [[]] * 3
    told = [_look(engine, watcher, last + n, active=False) for n in range(4, 30)]
    assert [rules for rules in told if rules] == [["source_quiet"]]
    assert told.index(["source_quiet"]) == 5
    watcher = Watcher()  # another copy takes over
    assert _look(engine, watcher, last + 30, active=False) == []
    assert _look(engine, watcher, last + 31) == ["source_heard_again"]
    assert _look(engine, watcher, last + 32) == []


def test_a_pause_of_ours_is_no_silence_of_a_source(engine: Engine) -> None:
    last, watcher = _steady(engine), Watcher()
    told = [_look(engine, watcher, last + n, active=False, listening=False) for n in range(1, 30)]  # collectors hang
    told += [_look(engine, watcher, last + 30 + n, active=False) for n in range(habits.SETTLING)]  # senders come back
    told += [_look(engine, watcher, last + 40 + n) for n in range(3)]
    watcher = Watcher()  # all was down for three days
    later = last + 3 * DAY
    told += [_look(engine, watcher, later + n, active=False) for n in range(habits.SETTLING)]
    told += [_look(engine, watcher, later + habits.SETTLING + n) for n in range(3)]
    assert [rules for rules in told if rules] == []


def test_what_a_person_starts_and_what_is_ours_has_no_habit(engine: Engine) -> None:
    watcher = Watcher()
    for number, source in enumerate(("import", "import.rules", "haidang", "haidang.canary")):
        _look(engine, watcher, START + number, source=source)
    with engine.connect() as connection:
        assert connection.execute(select(silences)).all() == []


def test_what_is_old_is_forgotten(engine: Engine) -> None:
    last = _steady(engine)
    with engine.begin() as connection:
        habits.forget_old(connection, (last + 3 * WEEK) * 60)
        hours = set(connection.scalars(select(habits.habits.c.hour)))
        assert min(hours) == (last + 3 * WEEK) // 60 - 6 * 168
        habits.forget_old(connection, (last + 7 * WEEK) * 60)
        assert connection.execute(select(habits.habits)).all() == []
        assert connection.execute(select(silences)).all() == []

"""Groups of alerts and the risk of whom they are about, on both states: numbers, order, what comes back."""

import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from pipeline.cases import life as cases
from pipeline.cases.entries import By
from pipeline.event import Event, event_id, from_micros
from pipeline.queue import aging, counts, grouping, life, risk, suppressions
from pipeline.queue.entities import entities_of
from pipeline.settings import State
from pipeline.state import open_engine, open_state
from pipeline.state.tables import alert_groups, alerts, entity_risks, group_history
from response.queue import row, save

#: 2026-11-24T00:00:00Z
START = 1_795_478_400_000_000
MINUTE = 60_000_000
STATUSES = ("new", "acknowledged", "escalated", "true_positive", "false_positive")


def alert(number: int, minutes: float = 0, rule: str = "r1", level: str = "medium", **fields: Any) -> Event:
    named = {name.replace("_", "."): value for name, value in fields.items()}
    return {
        "@timestamp": from_micros(START + round(minutes * MINUTE)), "event.id": event_id("a", number), "rule.id": rule,
        "rule.name": rule, "rule.level": level, "host.name": "PC-1", **named,
    }  # fmt: skip


def raised(engine: Engine, *found: Event) -> list[dict[str, Any]]:
    rows = [row(each, "test") for each in found]
    with engine.begin() as connection:
        save(connection, rows)
    return rows


def groups(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(select(alert_groups).order_by(alert_groups.c.first, alert_groups.c.rule_id))
        return [dict(each) for each in found.mappings()]


def history(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(group_history.c.action, group_history.c.who).order_by(group_history.c.id))
        return [(each.action, each.who) for each in rows]


def adds_up(engine: Engine) -> None:
    """What groups say of themselves is what their alerts are."""
    with engine.connect() as connection:
        counted: dict[str, dict[str, int]] = {}
        query = select(alerts.c.group_id, alerts.c.status, func.count().label("n")).group_by(
            alerts.c.group_id, alerts.c.status
        )
        for each in connection.execute(query):
            counted.setdefault(each.group_id, {})[each.status] = each.n
        span = {
            each.group_id: (each.first, each.last)
            for each in connection.execute(
                select(
                    alerts.c.group_id, func.min(alerts.c.time).label("first"), func.max(alerts.c.time).label("last")
                ).group_by(alerts.c.group_id)
            )
        }
    with engine.begin() as connection:
        told = sorted(tuple(each) for each in counts.kept(connection))
        counts.recount(connection)
        assert told == sorted(tuple(each) for each in counts.kept(connection))
    for group in groups(engine):
        numbers = counted.pop(group["id"])
        assert {name: group[name] for name in STATUSES if group[name]} == numbers
        assert group["status"] == next(name for name in STATUSES if numbers.get(name))
        assert (group["first"], group["last"]) == span[group["id"]]
    assert set(counted) <= {"-"}


def test_alerts_of_a_rule_about_a_host_are_one_group(engine: Engine) -> None:
    first, second, other, third = raised(
        engine, alert(1), alert(2, 60, level="high"), alert(3, rule="r2"), alert(4, 30, host_name="pc-1")
    )
    one, two = groups(engine)
    assert (one["rule_id"], one["entity"], one["new"], one["level"]) == ("r1", "host:pc-1", 3, "high")
    assert (two["rule_id"], two["new"]) == ("r2", 1)
    assert [each["opens"] for each in (first, third, second, other)] == [True, False, True, True]
    assert one["latest"] == second["id"]
    adds_up(engine)


def test_what_is_a_day_later_is_another_group_and_what_comes_between_makes_them_one(engine: Engine) -> None:
    raised(engine, alert(1), alert(2, 36 * 60))
    assert len(groups(engine)) == 2
    life.change(engine, life.Fits([event_id("a", 2)]), "acknowledged", "", "an", "")
    raised(engine, alert(3, 18 * 60))
    (one,) = groups(engine)
    assert (one["new"], one["acknowledged"], one["status"]) == (2, 1, "new")
    assert one["latest"] == event_id("a", 2)
    adds_up(engine)


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Callable[[], Engine]:
    """Make an empty embedded state: a copy of one that is made here."""
    open_state(tmp_path / "empty").dispose()
    made: list[Path] = []

    def make() -> Engine:
        folder = tmp_path / str(len(made))
        shutil.copytree(tmp_path / "empty", folder)
        made.append(folder)
        return open_engine(folder, State())

    return make


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["r1", "r2"])), min_size=1, max_size=30), st.randoms())
def test_the_order_does_not_matter(
    sqlite_engine: Callable[[], Engine], found: list[tuple[int, str]], shuffled: random.Random
) -> None:
    def spans(order: list[Event]) -> list[tuple[Any, ...]]:
        engine = sqlite_engine()
        while order:
            size = shuffled.randint(1, 5)
            part, order = order[:size], order[size:]
            raised(engine, *part)
        adds_up(engine)
        told = [(each["rule_id"], each["first"], each["last"], each["new"]) for each in groups(engine)]
        engine.dispose()
        return told

    made = [alert(number, hours * 60.0, rule) for number, (hours, rule) in enumerate(found)]
    mixed = made.copy()
    shuffled.shuffle(mixed)
    assert spans(made) == spans(mixed)


def test_what_comes_into_a_group_that_somebody_has_is_his_unless_it_is_worse(engine: Engine) -> None:
    raised(engine, alert(1))
    (group,) = groups(engine)
    assert life.change(engine, life.Fits([group["id"]]), "acknowledged", "", "an", "10.0.0.9") == 1
    (joined,) = raised(engine, alert(2, 5))
    assert (joined["status"], joined["owner"], joined["opens"]) == ("acknowledged", "an", False)
    (worse,) = raised(engine, alert(3, 6, level="critical"))
    assert (worse["status"], worse["owner"], worse["opens"]) == ("new", "", True)
    (group,) = groups(engine)
    assert (group["status"], group["new"], group["acknowledged"], group["level"]) == ("new", 1, 2, "critical")
    assert history(engine) == [("opened", ""), ("acknowledged", "an"), ("raised", "")]
    adds_up(engine)


def test_what_recurs_opens_a_closed_group_again(engine: Engine) -> None:
    raised(engine, alert(1), alert(2, 1))
    (group,) = groups(engine)
    assert life.change(engine, life.Fits([group["id"]]), "false_positive", "the backup", "an", "") == 2
    (group,) = groups(engine)
    assert (group["status"], group["owner"], group["note"]) == ("false_positive", "an", "the backup")
    (again,) = raised(engine, alert(3, 2))
    (group,) = groups(engine)
    assert again["opens"]
    assert (group["status"], group["reopened"], group["owner"], group["note"]) == ("new", 1, "", "the backup")
    assert [action for action, _ in history(engine)] == ["opened", "false_positive", "reopened"]
    adds_up(engine)


def test_a_group_may_be_larger_than_one_change(engine: Engine) -> None:
    raised(engine, *(alert(number, number / 100) for number in range(4_500)))
    (group,) = groups(engine)
    assert life.change(engine, life.Fits([group["id"]]), "true_positive", "a drill", "an", "") == 4_500
    (group,) = groups(engine)
    assert (group["true_positive"], group["new"], group["status"]) == (4_500, 0, "true_positive")


def test_alerts_of_an_older_version_come_into_groups_as_what_they_are(engine: Engine) -> None:
    rows = [row(alert(number, number), "test") for number in range(3)]
    rows[0]["status"] = "false_positive"
    with engine.begin() as connection:
        connection.execute(alerts.insert(), rows)
    assert grouping.catch_up(engine, 24) == 3
    assert grouping.catch_up(engine, 24) == 0
    (group,) = groups(engine)
    assert (group["false_positive"], group["new"], group["status"]) == (1, 2, "new")
    adds_up(engine)


def test_what_is_closed_and_old_leaves_in_parts_and_nothing_else_does(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aging, "_MOST_ALERTS", 3)
    monkeypatch.setattr(aging, "_MOST_GROUPS", 2)
    raised(engine, *(alert(number, number, f"r{number % 5}", host_name="PC-9") for number in range(20)))
    raised(engine, alert(100, 60 * 24 * 365 * 50, "r0", host_name="PC-9"))
    (escalated,) = [group["id"] for group in groups(engine) if group["rule_id"] == "r4"]
    case = cases.open_case(engine, cases.Wanted(alerts=[escalated]), By("an", ""))
    life.change(engine, life.Fits(rule="r0"), "false_positive", "a drill", "an", "")
    for rule in ("r1", "r2"):
        life.change(engine, life.Fits(rule=rule), "true_positive", "a drill", "an", "")
    cases.close(engine, case, "true_positive", "a drill", By("an", ""))
    suppressions.add(engine, "r9", {}, "known", 1, "an", "")
    raised(engine, alert(101, 0, "r9"))
    with engine.begin() as connection:
        assert not aging.forget_old(connection, time.time() + 60, 0.01)  # all of it came just now
    rounds = 0
    more = True
    while more:
        with engine.begin() as connection:
            grouping.lock(connection)
            more = aging.forget_old(connection, time.time() + 60 * 86_400, 10)
        rounds += 1
    assert rounds > 3
    left = [(group["rule_id"], group["status"]) for group in groups(engine)]
    assert left == [("r3", "new"), ("r4", "true_positive"), ("r0", "false_positive")]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(alerts)) == 4 + 4 + 1
    adds_up(engine)


def test_risk_is_what_levels_numbers_and_tactics_make_of_it(engine: Engine) -> None:
    def score(minutes: float, entity: str = "host:pc-1") -> risk.Risk:
        with engine.connect() as connection:
            return risk.risks(connection, {entity: START + round(minutes * MINUTE)})[entity]

    raised(engine, alert(1, tags=["attack.execution", "attack.t1059"]))
    assert score(0).score == 20
    raised(engine, *(alert(10 + number, 1, tags=["attack.execution"]) for number in range(9)))
    assert score(1).score == 40  # ten of them: twice the points
    raised(engine, alert(2, 2, "r2", "high", tags=["attack.credential_access"], user_name="An", user_domain="XA"))
    assert score(2).score == round((40 + 50) * 1.25)
    assert score(2, "user:xa\\an").score == 50
    assert score(26 * 60).score == 0
    life.change(engine, life.Fits(rule="r1"), "false_positive", "a drill", "an", "")
    assert score(2).score == 50
    assert max(each["risk"] for each in groups(engine)) == 112
    with engine.begin() as connection:
        assert [name for name, _ in risk.highest(connection, START + 2 * MINUTE, 5)] == ["host:pc-1", "user:xa\\an"]
        risk.forget_old(connection, START / 1e6 + 90 * 86_400)
        assert connection.scalar(select(func.count()).select_from(entity_risks)) == 0


def test_much_risk_is_an_alert_of_its_own_once_a_day(engine: Engine) -> None:
    found = [
        {**alert(number, number, f"r{number}", "high", tags=[f"attack.{tactic}"]), "rule.name_vi": f"Luật {number}"}
        for number, tactic in enumerate(("execution", "persistence", "discovery", "collection"))
    ]
    raised(engine, *found[:2])
    assert "haidang.entity_risk" not in {each["rule_id"] for each in groups(engine)}
    raised(engine, *found[2:])
    raised(engine, alert(9, 9, "r9", "high"))
    (told,) = [each for each in groups(engine) if each["rule_id"] == "haidang.entity_risk"]
    assert (told["entity"], told["level"], told["new"]) == ("host:pc-1", "high", 1)
    with engine.connect() as connection:
        document = connection.scalar(select(alerts.c.document).where(alerts.c.rule_id == "haidang.entity_risk"))
    assert document["host.name"] == "pc-1"
    assert document["alert.risk"] == 350
    assert {each["rule"] for each in document["alert.matches"]} == {"r0", "r1", "r2", "r3"}
    assert {each["field_vi"] for each in document["alert.matches"]} == {f"Luật {number}" for number in range(4)}
    assert "Execution, Persistence" in document["rule.description"]
    assert "Thực thi, Duy trì hiện diện" in document["rule.description_vi"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host.name": "PC-1", "user.name": "An", "source.ip": "10.0.0.1"}, ["host:pc-1", "address:10.0.0.1", "user:an"]),
        ({"host.name": "fw", "source.ip": "10.0.0.1", "destination.ip": "1.2.3.4"}, ["address:10.0.0.1", "host:fw"]),
        ({"rule.id": "behaviour.x", "host.name": "s", "source.ip": "1.1.1.1", "destination.ip": "10.0.0.2"},
         ["address:1.1.1.1", "host:s", "address:10.0.0.2"]),
        ({"user.name": "SYSTEM", "destination.ip": "1.2.3.4"}, ["address:1.2.3.4"]),
        ({"user.name": "PC-1$", "user.domain": "XA"}, ["part:-"]),
        ({"user.name": "an", "user.domain": "XA"}, ["user:xa\\an"]),
        ({"host.name": ["a", "b"], "source.ip": 5}, ["host:a"]),
        ({"host.name": "x" * 9000}, ["host:" + "x" * 255]),
        ({"rule.id": "haidang.source_quiet", "alert.matches": [{"value": "syslog"}]}, ["part:syslog"]),
        ({"labels.source": "dns", "alert.matches": "?"}, ["part:dns"]),
    ],
)  # fmt: skip
def test_whom_an_alert_is_about(fields: dict[str, Any], expected: list[str]) -> None:
    assert entities_of({"rule.id": "r", **fields}) == expected


def test_alerts_come_while_people_work_and_every_number_stays_right(engine: Engine) -> None:
    """Two copies of the stage put alerts in, two people change and escalate them, all at once, on either database."""
    raised(engine, *(alert(number, number, f"r{number % 3}") for number in range(60)))

    def come(copy: int) -> None:
        for part in range(15):
            numbers = range(1000 * (copy + 1) + part * 20, 1000 * (copy + 1) + part * 20 + 20)
            raised(
                engine,
                *(alert(number, number % 700, f"r{number % 3}", host_name=f"pc-{number % 4}") for number in numbers),
            )

    def work(status: str, who: str) -> None:
        for _ in range(10):
            life.change(engine, life.Fits(statuses=()), status, "as asked", who, "")

    def gather() -> None:
        for each in groups(engine)[:3]:
            cases.open_case(engine, cases.Wanted(alerts=[each["id"]]), By("an", ""))

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(come, 0), pool.submit(come, 1), pool.submit(work, "acknowledged", "an"),
                   pool.submit(work, "true_positive", "bình"), pool.submit(gather)]  # fmt: skip
        for each in running:
            each.result(120)
    adds_up(engine)
    assert (
        sum(
            sum(group[name] for name in STATUSES)
            for group in groups(engine)
            if group["rule_id"] != "haidang.entity_risk"
        )
        == 660
    )

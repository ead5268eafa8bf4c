"""The book of messages, on both databases: what is due when, what clocks that jump do, dead letters, reports, alerts."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from pipeline.delivery import DEAD, HEARTBEAT, SENT, WAITING, book, watching
from pipeline.delivery.book import Gathering, Outcome
from pipeline.health import health
from pipeline.instance import instance_of
from pipeline.messages import HaidangError
from pipeline.own_alerts import told_alert
from pipeline.queue import budget
from pipeline.settings import State as StateSettings
from pipeline.state import open_state, upsert
from pipeline.state.tables import audit, deliveries, stages
from tests.response.delivery.conftest import Corridor, alert
from tests.services.postgres import Postgres

RETRY = 72 * 3600.0
MAIL = {"name": "mail", "kind": "email", "host": "127.0.0.1", "sender": "a@b.vn", "to": ["c@d.vn"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Corridor]]:
    """What makes a corridor with one channel, embedded and on PostgreSQL."""
    settings = StateSettings()
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        settings = StateSettings.model_validate({"url": postgres.new_database()})
    engine = open_state(tmp_path, settings)
    made: list[Corridor] = []

    def make(**channel: Any) -> Corridor:
        told = {"channels": [{**MAIL, **channel}], "routes": [{"channels": ["mail"]}]}
        made.append(Corridor(tmp_path, engine, **told))
        return made[-1]

    yield make
    for each in made:
        each.close()
    engine.dispose()


def due(engine: Engine, now: float, quiet: tuple[str, ...] = (), wanted: Gathering | None = None) -> list[Any]:
    """The messages that are due."""
    with engine.connect() as connection:
        return book.due(connection, "mail", now, quiet, wanted, 1000)


def gather(engine: Engine, now: float, quiet: tuple[str, ...], wanted: Gathering) -> bool:
    """Make a digest where it is time; say whether one was made."""
    with engine.begin() as connection:
        which = book.ripe(connection, "mail", now, quiet, wanted)
        return bool(which) and book.join(connection, "mail", now, which)


def note(engine: Engine, outcomes: list[tuple[Any, Outcome]], now: float) -> None:
    """Note outcomes."""
    with engine.begin() as connection:
        book.note(connection, outcomes, now, RETRY)


def test_a_message_waits_longer_after_each_failure_and_dies_when_it_is_old(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(alert(1))
    now = time.time()
    for attempt in range(1, 25):
        (row,) = due(made.engine, now)
        note(made.engine, [(row, Outcome("failed", "no"))], now)
        (row,) = made.receipts()
        assert row["status"] == WAITING
        assert 0 <= row["due"] - now <= min(3600, 2**attempt)
        assert due(made.engine, now) == [] or row["due"] <= now
        now = row["due"] + 0.001
    now += RETRY
    note(made.engine, [(due(made.engine, now)[0], Outcome("failed", "no"))], now)
    assert made.receipts()[0]["status"] == DEAD
    assert due(made.engine, now + 1e9) == []


def test_no_message_comes_before_its_receiver_asks_for_it(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(alert(1))
    now = time.time()
    note(made.engine, [(due(made.engine, now)[0], Outcome("failed", "429", again=1000))], now)
    assert due(made.engine, now + 999) == []
    assert len(due(made.engine, now + 3601)) == 1


def test_a_clock_that_jumps_ahead_kills_nothing_and_one_that_goes_back_holds_nothing(
    site: Callable[..., Corridor],
) -> None:
    made = site()
    made.raise_alerts(alert(1))
    year = time.time() + 366 * 86_400
    note(made.engine, [(due(made.engine, year)[0], Outcome("failed", "no", again=3600))], year)
    assert made.receipts()[0]["status"] == WAITING
    assert len(due(made.engine, time.time())) == 1  # due in a year, by a clock that was wrong


def test_quiet_hours_hold_what_is_not_urgent_and_a_digest_takes_what_it_may(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(alert(1, "low"), alert(2, "medium"), alert(3, "critical"), alert(4, "medium"))
    now = time.time() + 1
    assert {row.level for row in due(made.engine, now, ("low", "medium"))} == {"critical"}
    assert {row.level for row in due(made.engine, now, ("low",), Gathering(600, ("medium",), 0))} == {"critical"}
    wanted = Gathering(600, ("medium", "low"), 0)
    assert not gather(made.engine, now, ("low",), wanted)
    assert len(due(made.engine, now)) == 4
    assert gather(made.engine, now + 600, ("low",), wanted)
    rows = due(made.engine, now + 600)
    assert sorted((row.kind, row.level) for row in rows) == [
        ("alert", "critical"),
        ("alert", "low"),
        ("digest", "medium"),
    ]
    digest = next(row for row in rows if row.kind == "digest")
    note(made.engine, [(digest, Outcome("refused", "too large"))], now)
    assert sum(each["status"] == DEAD for each in made.receipts()) == 3
    part = next(each for each in made.receipts() if each["digest"])
    assert book.resend(made.engine, ["mail"], [part["id"]], False, "", "admin", "10.0.0.1") == 1
    assert digest.id in {row.id for row in due(made.engine, time.time() + 1)}
    assert {each["status"] for each in made.receipts() if each["digest"]} == {"joined"}


def test_dead_letters_are_sent_again_under_their_own_ids_and_that_is_audited(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(*(alert(number) for number in range(1200)))
    now = time.time()
    rows = due(made.engine, now)
    note(made.engine, [(row, Outcome("refused", "no\0pe")) for row in rows], now)
    assert len(rows) == 1000
    assert book.standing(made.engine, ["mail"])[0]["dead"] == 1000
    with pytest.raises(HaidangError, match="no message"):
        book.resend(made.engine, ["mail"], ["msg_x"], False, "", "admin", "command")
    with pytest.raises(HaidangError, match="waits already"):
        book.resend(made.engine, ["mail"], [made.receipts(status=WAITING)[0]["id"]], False, "", "admin", "command")
    assert book.resend(made.engine, ["mail"], [], True, "other", "admin", "command") == 0
    assert book.resend(made.engine, ["mail"], [], True, "", "admin", "command") == 1000
    assert {each["status"] for each in made.receipts()} == {WAITING}
    with made.engine.connect() as connection:
        written = connection.execute(select(audit.c.action, audit.c.detail)).all()
    assert [(action, detail["count"]) for action, detail in written] == [("messages_resent", 1000)]


def test_a_single_alert_that_was_gathered_for_goes_alone_when_its_time_has_come(
    site: Callable[..., Corridor],
) -> None:
    made, wanted = site(), Gathering(600, ("low",), 20)
    made.raise_alerts(alert(1, "low"))
    now = time.time() + 1
    assert due(made.engine, now, (), wanted) == []
    assert not gather(made.engine, now + 600, (), wanted)
    (row,) = due(made.engine, now + 600, (), wanted)
    assert row.kind == "alert"


def test_no_digest_is_larger_than_people_can_read_and_none_is_left_out(site: Callable[..., Corridor]) -> None:
    made, wanted = site(), Gathering(0, (), 20)
    made.raise_alerts(*(alert(number, "low") for number in range(1100)))
    now, made_ones = time.time() + 1, 0
    while gather(made.engine, now, (), wanted):
        made_ones += 1
    rows = due(made.engine, now, (), wanted)
    assert [row.kind for row in rows] == ["digest"] * 3
    with made.engine.connect() as connection:
        parts = book.parts_of(connection, [row.id for row in rows])
    assert sorted(map(len, parts.values())) == [100, 500, 500]
    assert made_ones == 3


def test_what_has_waited_for_days_for_a_channel_that_takes_nothing_is_dead(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(*(alert(number, "low") for number in range(30)))
    now = time.time() + 1
    assert gather(made.engine, now, (), Gathering(0, (), 20))
    made.raise_alerts(alert(99))
    for before, dead in ((now - 100, 0), (now + 100, 32)):
        with made.engine.begin() as connection:
            book.expire(connection, "mail", before, now, "away")
        assert len(made.receipts(status=DEAD)) == dead
    assert book.resend(made.engine, ["mail"], [], True, "mail", "admin", "command") == 2
    assert sorted(each["status"] for each in made.receipts()) == ["joined"] * 30 + [WAITING] * 2


def test_messages_of_a_channel_that_is_no_more_are_let_go_after_a_while(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(alert(1))
    now = time.time() + 1
    for names, before, status in (
        (["mail"], now, WAITING),
        (["other"], now - 100, WAITING),
        (["other"], now, "dropped"),
    ):
        with made.engine.begin() as connection:
            book.drop_of_others(connection, names, before, "gone")
        assert made.receipts()[0]["status"] == status


def test_a_channel_that_is_no_more_is_no_fault_and_its_messages_are_given_up_by_who_wants_it(
    site: Callable[..., Corridor],
) -> None:
    made = site()
    made.raise_alerts(*(alert(number) for number in range(3)))
    rows, now = due(made.engine, time.time()), time.time()
    note(made.engine, [(rows[0], Outcome("refused", "no")), (rows[1], Outcome("sent"))], now)
    with made.engine.begin() as connection:
        book.note_channel(connection, "mail", failures=5, error="away")
    assert {each["what"] for each in health(made.engine, made.settings)["problems"]} == {
        "channel_failing", "messages_dead",
    }  # fmt: skip
    bare = made.settings.model_copy(update={"channels": [], "routes": []})
    now_ = health(made.engine, bare)
    assert (now_["problems"], [each["set"] for each in now_["channels"]]) == ([], [False])

    assert book.resend(made.engine, [], [], True, "", "admin", "command") == 0
    with pytest.raises(HaidangError, match="not in the settings"):
        book.resend(made.engine, [], [rows[0].id], False, "", "admin", "command")
    with pytest.raises(HaidangError, match="is waiting"):
        book.drop(made.engine, ["mail"], [rows[2].id], False, "", "admin", "command")
    assert book.known_channels(made.engine, ["other"]) == ["other", "mail"]
    assert book.drop(made.engine, ["mail"], [], True, "other", "admin", "command") == 0
    assert book.drop(made.engine, ["mail"], [rows[0].id], False, "", "admin", "command") == 1
    assert book.drop(made.engine, ["other"], [], True, "", "admin", "command") == 1
    assert sorted(each["status"] for each in made.receipts()) == ["dropped", "dropped", SENT]
    with made.engine.connect() as connection:
        assert list(connection.scalars(select(audit.c.action))) == ["messages_dropped", "messages_dropped"]


def test_alerts_about_channels_take_nothing_of_the_budget(site: Callable[..., Corridor]) -> None:
    made = site()
    about = [told_alert(f"delivery.{key}", "mail", "1", "may-thu", channel="mail", count=1, minutes=1, reason="-")
             for key in ("notify_test", "channel_failing", "message_dead")]  # fmt: skip
    made.raise_alerts(alert(1), *about)
    with made.engine.connect() as connection:
        spent = budget.spent(connection, datetime.now().astimezone().date(), made.settings.queue)
    assert (spent["came"], [rule["rule.id"] for rule in spent["rules"]]) == (1, ["behaviour.port_scan"])


def test_old_receipts_go_and_what_was_never_sent_stays(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(alert(1), alert(2), alert(3))
    now = time.time()
    first, second, _ = due(made.engine, now)
    note(made.engine, [(first, Outcome("sent")), (second, Outcome("refused"))], now)
    with made.engine.begin() as connection:
        book.forget_old(connection, now + 100, 90.0)
    assert sorted(each["status"] for each in made.receipts()) == [DEAD, WAITING]


def test_a_channel_that_takes_nothing_becomes_an_alert_once(site: Callable[..., Corridor]) -> None:
    made = site(quiet_hours="00:00-00:00")
    made.raise_alerts(alert(1), alert(2, "low"))
    now = time.time()

    def judged(moment: float) -> list[tuple[str, str]]:
        with made.engine.begin() as connection:
            found = watching.judge(connection, made.settings, now, moment)
        return [(each["rule.id"], each["event.id"]) for each in found]

    assert judged(now + 14 * 60) == []
    rules = judged(now + 16 * 60)
    assert [rule for rule, _ in rules] == ["haidang.channel_failing"]
    assert judged(now + 200 * 60) == rules  # the same alert
    row = next(row for row in due(made.engine, now) if row.level == "high")
    note(made.engine, [(row, Outcome("refused", "550"))], now + 60)
    assert [rule for rule, _ in judged(now + 16 * 60)] == ["haidang.message_dead"]  # the other one waits for the day
    with made.engine.begin() as connection:
        book.note_channel(connection, "mail", succeeded=now + 15 * 60)
        connection.execute(update(deliveries).values(status=WAITING, attempts=1))
    assert judged(now + 16 * 60) == []


def test_a_stage_that_is_silent_becomes_an_alert_but_not_for_our_own_pause(site: Callable[..., Corridor]) -> None:
    made, now = site(), time.time()
    row = {
        "stage": "detectors", "instance": instance_of(made.settings.data_dir), "pid": 1, "started": now, "seen": now,
        "backlog_events": 0, "detail": {},
    }  # fmt: skip
    with made.engine.begin() as connection:
        upsert(connection, stages, [row], ["stage", "instance"])
        assert watching.judge(connection, made.settings, now, now + 200) == []
        (found,) = watching.judge(connection, made.settings, now, now + 400)
        assert watching.judge(connection, made.settings, now + 300, now + 400) == []
    assert (found["rule.id"], found["rule.level"]) == ("haidang.stage_silent", "high")
    assert "detectors" in found["rule.description"]


def test_each_day_has_one_report_that_counts_what_was(site: Callable[..., Corridor]) -> None:
    made = site(heartbeat="00:00")
    made.raise_alerts(alert(1), alert(2))
    now = time.time()
    note(made.engine, [(due(made.engine, now)[0], Outcome("sent"))], now)
    for _ in range(3):
        with made.engine.begin() as connection:
            watching.put_heartbeats(connection, made.settings, now)
    with made.engine.begin() as connection:
        watching.put_heartbeats(connection, made.settings, now + 86_400)
    reports = [each for each in made.receipts() if each["kind"] == HEARTBEAT]
    assert len(reports) == len({each["id"] for each in reports}) == 2
    body = reports[0]["body"]
    assert (body["alerts"], body["open"], body["sent"], body["waiting"]) == (2, 2, 1, 1)
    assert (body["failing"], body["observer"]) == ([], "may-thu")
    assert len(due(made.engine, now + 86_401, ("informational", "low", "medium", "high"))) == 2  # reports are not quiet


def test_alert_and_message_are_one_transaction(site: Callable[..., Corridor]) -> None:
    from pipeline.delivery.routing import Routing
    from response import queue

    made = site()
    with pytest.raises(ZeroDivisionError), made.engine.begin() as connection:
        queue.save(connection, [queue.row(alert(1), "syslog")], routing=Routing(made.settings))
        assert connection.scalar(select(func.count()).select_from(deliveries)) == 1
        raise ZeroDivisionError
    assert made.receipts() == []


def test_status_says_what_waits_and_since_when(site: Callable[..., Corridor]) -> None:
    made = site()
    made.raise_alerts(alert(1), alert(2))
    now = time.time()
    note(made.engine, [(due(made.engine, now)[0], Outcome("sent", "250"))], now)
    with made.engine.begin() as connection:
        book.note_channel(connection, "mail", failures=2, error="refused")
        book.note_channel(connection, "gone")
    (found,) = book.standing(made.engine, ["mail"])
    assert (found["waiting"], found["failures"], found["error"]) == (1, 2, "refused")
    assert found["oldest"] == pytest.approx(made.receipts()[0]["created"])
    assert made.receipts(status=SENT)[0]["answer"] == "250"

"""The life of alerts and what is kept out of the queue, on both states."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, update

from pipeline.event import Event, event_id, from_micros
from pipeline.messages import HaidangError
from pipeline.queue import life, suppressions
from pipeline.queue.showing import shown
from pipeline.state.tables import alerts, audit, outbox
from pipeline.state.tables import suppressions as table
from response.queue import row, save

#: 2026-11-24T00:00:00Z
START = 1_795_478_400_000_000


def alert(number: int, rule: str = "behaviour.port_scan", level: str = "medium", **fields: Any) -> Event:
    named = {name.replace("_", "."): value for name, value in fields.items()}
    return {
        "@timestamp": from_micros(START + number * 1_000_000), "event.id": event_id("a", number), "rule.id": rule,
        "rule.name": rule, "rule.level": level, **named,
    }  # fmt: skip


def raised(engine: Engine, *found: Event) -> list[str]:
    with engine.begin() as connection:
        save(connection, [row(each, "test") for each in found])
    return [each["event.id"] for each in found]


def seen(engine: Engine) -> dict[str, Event]:
    with engine.connect() as connection:
        return {each.id: shown(each) for each in connection.execute(select(alerts))}


def audited(engine: Engine) -> list[tuple[str, str, dict[str, Any]]]:
    with engine.connect() as connection:
        rows = connection.execute(select(audit.c.who, audit.c.action, audit.c.detail).order_by(audit.c.id)).all()
    return [(each.who, each.action, each.detail) for each in rows]


def test_an_alert_is_taken_judged_and_given_back(engine: Engine) -> None:
    one, two = raised(engine, alert(1), alert(2))
    assert life.change(engine, life.Fits([one]), "acknowledged", "", "an", "10.0.0.9") == 1
    assert (seen(engine)[one]["alert.status"], seen(engine)[one]["alert.owner"]) == ("acknowledged", "an")
    assert life.change(engine, life.Fits([one, two]), "false_positive", "máy quét của ta", "bình", "") == 2
    judged = seen(engine)[one]
    assert (judged["alert.owner"], judged["alert.note"]) == ("bình", "máy quét của ta")
    assert judged["alert.changed"].startswith("20")
    assert life.change(engine, life.Fits([one, two]), "false_positive", "máy quét của ta", "bình", "") == 0
    assert life.change(engine, life.Fits([two]), "new", "", "an", "") == 1
    assert "alert.owner" not in seen(engine)[two]
    assert [(who, detail["status"], detail["count"]) for who, _, detail in audited(engine)] == [
        ("an", "acknowledged", 1), ("bình", "false_positive", 2), ("an", "new", 1),
    ]  # fmt: skip
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(outbox)) == 2 + 1 + 2 + 1


@pytest.mark.parametrize(
    ("status", "note", "ids", "key"),
    [
        ("suppressed", "x", ["a"], "queue.no_status"), ("closed", "x", ["a"], "queue.no_status"),
        ("true_positive", "  ", ["a"], "queue.no_note"), ("new", "", ["nowhere"], "queue.no_alert"),
    ],
)  # fmt: skip
def test_what_cannot_be_changes_nothing(engine: Engine, status: str, note: str, ids: list[str], key: str) -> None:
    (there,) = raised(engine, alert(1))
    with pytest.raises(HaidangError) as told:
        life.change(engine, life.Fits([there, *ids]), status, note, "an", "")
    assert told.value.key == key
    assert seen(engine)[there]["alert.status"] == "new"
    assert audited(engine) == []


def test_all_that_fit_change_however_many(engine: Engine) -> None:
    raised(engine, *(alert(n, level="low" if n % 2 else "high") for n in range(9000)))
    since, until = START + 1000 * 1_000_000, START + 6999 * 1_000_000
    fits = life.Fits((), "low", "behaviour.port_scan", since=since, until=until)
    assert life.change(engine, fits, "acknowledged", "", "an", "") == 3000
    assert life.change(engine, fits, "true_positive", "thật", "an", "") == 3000
    found = [each["alert.status"] for each in seen(engine).values()]
    assert (found.count("true_positive"), found.count("new")) == (3000, 6000)
    assert sum(detail["count"] for _, _, detail in audited(engine)) == 6000


def test_what_is_known_is_kept_out_and_counted(engine: Engine) -> None:
    identifier = suppressions.add(
        engine, "behaviour.port_scan", {"source.ip": "10.0.5.0/24"}, "máy quét", 30, "an", "10.0.0.9"
    )
    ids = raised(
        engine, alert(1, source_ip="10.0.5.20"), alert(2, source_ip="10.0.6.20"), alert(3),
        alert(4, "behaviour.beacon", source_ip="10.0.5.20"), alert(5, source_ip=["10.9.9.9", "10.0.5.1"]),
    )  # fmt: skip
    raised(engine, alert(1, source_ip="10.0.5.20"))  # it comes again: counted once
    found = seen(engine)
    assert [found[each]["alert.status"] for each in ids] == ["suppressed", "new", "new", "new", "suppressed"]
    assert found[ids[0]]["alert.suppression"] == identifier
    (told,) = suppressions.listed(engine)
    assert (told["count"], told["holds"], told["who"]) == (2, True, "an")
    assert told["last"] > time.time() - 60
    with engine.begin() as connection:
        connection.execute(update(table).values(expires=time.time() - 1))
    (late,) = raised(engine, alert(6, source_ip="10.0.5.20"))
    assert seen(engine)[late]["alert.status"] == "new"
    assert suppressions.listed(engine)[0]["holds"] is False
    suppressions.remove(engine, identifier, "an", "")
    with pytest.raises(HaidangError):
        suppressions.remove(engine, identifier, "an", "")
    assert [action for _, action, _ in audited(engine)] == ["suppression_made", "suppression_removed"]


@pytest.mark.parametrize(
    ("rule", "where", "reason", "days"),
    [
        ("*", {}, "x", 1), ("behaviour.*", {}, "x", 1), ("", {"a": "b"}, "x", 1), ("r", {}, " ", 1), ("r", {}, "x", 0),
        ("r", {}, "x", 401), ("r", {}, "x", float("nan")), ("r", {"": "b"}, "x", 1), ("r", {"a": " "}, "x", 1),
    ],
)  # fmt: skip
def test_what_keeps_out_too_much_or_says_too_little_is_refused(
    engine: Engine, rule: str, where: dict[str, str], reason: str, days: float
) -> None:
    with pytest.raises(HaidangError):
        suppressions.add(engine, rule, where, reason, days, "an", "")
    assert suppressions.listed(engine) == []


@given(
    st.dictionaries(st.sampled_from(["source.ip", "user.name", "x"]), st.none() | st.integers() | st.text(max_size=8)
                    | st.lists(st.text(max_size=4)) | st.dictionaries(st.text(), st.text(), max_size=1)),
    st.dictionaries(st.sampled_from(["source.ip", "user.name", "x"]), st.text(min_size=1, max_size=9), min_size=1),
)  # fmt: skip
def test_no_alert_and_no_pattern_break_it(fields: dict[str, Any], where: dict[str, str]) -> None:
    class Held:
        id, rule = "s", "behaviour.*"

    Held.where = where  # type: ignore[attr-defined]
    assert suppressions.which([Held], {**alert(1), **fields}) in ("", "s")

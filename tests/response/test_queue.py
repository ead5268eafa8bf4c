"""The alert queue: a row, an outbox row and a copy for each alert, once, whatever comes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from pipeline import bus, ledger
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import Event, decode, encode, event_id
from pipeline.frame import Frame, pack, unpack
from pipeline.settings import Settings
from pipeline.stage import Consumer, Stage
from pipeline.state import open_state
from pipeline.state.tables import alerts, outbox
from response import queue


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The response stage on a data directory of its own."""
    topics = SqliteBus(tmp_path / "bus", 10**9)
    made = Stage("response", Settings(data_dir=tmp_path, sources=[]), open_state(tmp_path), topics)
    yield made
    topics.close()
    made.engine.dispose()


def alert(number: int, **fields: Any) -> Event:
    """An alert as the detectors raise it."""
    return {
        "@timestamp": "2026-11-24T05:17:44.000Z", "event.id": event_id("alert", number), "event.kind": "alert",
        "rule.id": "r1", "rule.name": "Rule", "rule.level": "high", "alert.evidence": [{"message": "Đăng nhập"}], **fields,
    }  # fmt: skip


def send(stage: Stage, *raised: Event) -> None:
    """Raise alerts."""
    stage.bus.publish(bus.ALERTS, list(pack("syslog", map(encode, raised))))


def work(stage: Stage) -> list[Event]:
    """Let the stage take everything in and carry out its outbox; return the copies on the bus."""
    consumer = Consumer(stage, bus.ALERTS)
    while consumer.backlog():
        queue._take(consumer)
    while queue._send_copies(stage):
        pass
    records = stage.bus.read(bus.ALERT_UPDATES, {}, 10**12)
    return [decode(line) for record in records for line in unpack(record.payload)]


def rows(stage: Stage) -> list[dict[str, Any]]:
    """The queue."""
    with stage.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(alerts).order_by(alerts.c.id)).mappings()]


def left_over(stage: Stage) -> int:
    """Outbox rows that nobody has carried out."""
    with stage.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(outbox)) or 0


def test_an_alert_becomes_a_row_and_a_copy(stage: Stage) -> None:
    send(stage, alert(1))
    (copy,) = work(stage)
    (row,) = rows(stage)
    assert row["document"] == alert(1)
    assert (row["rule_id"], row["level"], row["status"], row["source"]) == ("r1", "high", "new", "syslog")
    assert row["time"] == 1795497464_000_000
    assert copy == {**alert(1), "alert.status": "new", "alert.group": row["group_id"]}
    assert left_over(stage) == 0


def test_the_same_alert_again_changes_nothing(stage: Stage) -> None:
    send(stage, alert(1), alert(1, **{"rule.name": "later"}))
    send(stage, alert(1))
    assert len(work(stage)) == 1
    send(stage, alert(1), alert(2))
    assert len(work(stage)) == 2
    assert [row["rule_name"] for row in rows(stage)] == ["Rule", "Rule"]


def test_row_and_outbox_are_one_and_a_later_run_sends_what_an_earlier_one_owes(stage: Stage) -> None:
    send(stage, alert(1))
    queue._take(Consumer(stage, bus.ALERTS))
    assert (len(rows(stage)), left_over(stage)) == (1, 1)
    assert len(work(stage)) == 1
    assert left_over(stage) == 0


def test_what_is_no_alert_is_dropped_with_its_reason_and_costs_no_other(stage: Stage) -> None:
    no_rule = {"@timestamp": "2026-11-24T05:17:44.000Z", "event.id": "x"}
    send(stage, alert(1), no_rule, alert(2, **{"rule.level": 5}), alert(3, **{"event.id": "x" * 25}), alert(4))
    stage.bus.publish(
        bus.ALERTS, [Frame("foreign", 1, b"\x28\xb5\x2f\xfdbroken"), Frame("foreign", 2, b"[1]\nnot json")]
    )
    assert len(work(stage)) == len(rows(stage)) == 2
    counted = {(line.source, line.outcome, line.reason): line.events for line in ledger.sums(stage.engine)}
    assert counted == {
        ("syslog", "in", ""): 5, ("syslog", "out", ""): 2, ("syslog", "dropped", "not_an_alert"): 3,
        ("foreign", "in", ""): 3, ("foreign", "dropped", "poison_frame"): 1, ("foreign", "dropped", "not_an_event"): 2,
    }  # fmt: skip


def test_a_foreign_alert_without_id_and_time_gets_both(stage: Stage) -> None:
    foreign = {"rule.id": "r" * 500, "rule.name": "Rule", "rule.level": "high"}
    send(stage, foreign)
    (copy,) = work(stage)
    assert len(copy["event.id"]) == 24
    assert copy["rule.id"] == "r" * 500
    assert rows(stage)[0]["rule_id"] == "r" * 200


def test_a_burst_of_alerts_that_are_alike_is_taken_in_parts(stage: Stage) -> None:
    send(stage, *(alert(number) for number in range(40_000)))  # more than one statement may name, in some 600 kB
    copies = work(stage)
    assert len(copies) == len({copy["event.id"] for copy in copies}) == len(rows(stage)) == 40_000
    assert left_over(stage) == 0


def test_a_full_bus_keeps_the_outbox(stage: Stage, tmp_path: Path) -> None:
    send(stage, alert(1))
    queue._take(Consumer(stage, bus.ALERTS))
    small = SqliteBus(tmp_path / "bus", 0)
    small.publish(bus.ALERT_UPDATES, list(pack("alerts", [encode(alert(9))])))
    full = Stage("response", stage.settings, stage.engine, small)
    assert queue._send_copies(full) == 0
    assert left_over(stage) == 1
    small.close()
    assert len(work(stage)) == 2

"""The ledger: counts add up, also after old minutes were merged into days; balances and metrics show them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, func, select

from pipeline import ledger
from pipeline.balance import balances
from pipeline.health import health
from pipeline.ledger import DROPPED, IN, KEEP_MINUTES, OUT, Tally
from pipeline.metrics import metrics_text
from pipeline.settings import Settings
from pipeline.state import open_state, upsert
from pipeline.state.tables import ledger as rows
from pipeline.state.tables import stages

NOW = int(time.time() // 60)
KEYS = [
    ("collectors", IN, ""),
    ("collectors", OUT, ""),
    ("detectors", IN, ""),
    ("store", OUT, ""),
    ("store", DROPPED, "x"),
]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty state."""
    opened = open_state(tmp_path)
    yield opened
    opened.dispose()


def fill(engine: Engine, minutes: range, sources: int) -> None:
    """Count something in each of these minutes."""
    counted = [
        {"minute": minute, "stage": stage, "source": f"source{number}", "outcome": outcome, "reason": reason,
         "events": minute % 7 + number}
        for minute in minutes for number in range(sources) for stage, outcome, reason in KEYS
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(rows.insert(), counted)


def count(engine: Engine) -> int:
    """How many rows the ledger has."""
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(rows)) or 0


def test_a_tally_adds_to_what_is_there_and_is_saved_only_with_its_transaction(engine: Engine) -> None:
    tally = Tally()
    tally.add("syslog", IN, 3)
    tally.add("syslog", IN)
    tally.add("syslog", OUT, 0)
    for _ in range(2):
        with engine.begin() as connection:
            tally.save(connection, "collectors")
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        tally.save(connection, "collectors")
        raise ZeroDivisionError
    (line,) = ledger.sums(engine)
    assert (line.stage, line.source, line.outcome, line.events) == ("collectors", "syslog", IN, 8)


def test_a_drop_has_a_reason() -> None:
    with pytest.raises(ValueError, match="for a reason"):
        Tally().add("syslog", DROPPED)


def test_merging_changes_no_sum_and_no_last_minute(engine: Engine) -> None:
    fill(engine, range(NOW - KEEP_MINUTES - 5000, NOW, 11), sources=3)
    before, held = ledger.sums(engine), count(engine)
    gone = 0
    while went := ledger.roll_up(engine):
        gone += went
    assert gone > held / 3
    assert ledger.sums(engine) == before
    assert count(engine) == held - gone
    assert ledger.roll_up(engine) == 0


def test_the_last_two_days_keep_their_minutes(engine: Engine) -> None:
    fill(engine, range(NOW - KEEP_MINUTES, NOW, 60), sources=1)
    held = count(engine)
    assert ledger.roll_up(engine) == 0
    assert count(engine) == held


def test_a_merged_day_takes_late_counts_and_is_merged_again(engine: Engine) -> None:
    day = (NOW - KEEP_MINUTES) // 1440 - 3
    fill(engine, range(day * 1440, day * 1440 + 100), sources=1)
    assert ledger.roll_up(engine) == 99 * len(KEYS)
    fill(engine, range(day * 1440 + 200, day * 1440 + 201), sources=1)
    before = ledger.sums(engine)
    assert ledger.roll_up(engine) == len(KEYS)
    assert ledger.sums(engine) == before


def test_a_year_of_ten_sources_is_summed_at_once(engine: Engine) -> None:
    fill(engine, range(NOW - 365 * 1440, NOW - KEEP_MINUTES, 1440), sources=10)
    fill(engine, range(NOW - KEEP_MINUTES, NOW), sources=10)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        lines = ledger.sums(engine)
        took.append(time.perf_counter() - started)
    assert len(lines) == 50
    assert min(took) < 0.5
    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT source, stage, outcome, reason, sum(events), max(minute) FROM ledger "
            "GROUP BY source, stage, outcome, reason ORDER BY source, stage, outcome, reason"
        ).all()
    assert "COVERING INDEX ledger_sums" in str(plan)


def test_balances_leave_out_what_the_pipeline_counts_of_itself_and_metrics_do_not(
    engine: Engine, tmp_path: Path
) -> None:
    tally = Tally()
    for source in ("syslog", "alerts", "haidang"):
        tally.add(source, OUT, 5)
        tally.add(source, OUT, 2, "already_stored")
        tally.add(source, DROPPED, 1, "poison_frame")
    with engine.begin() as connection:
        tally.save(connection, "store")
    (row,) = balances(engine)
    assert (row["source"], row["stored"], row["already_stored"], row["dropped"]) == ("syslog", 5, 2, 1)
    assert row["reasons"] == {"poison_frame": 1}
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics_text(engine, Settings(data_dir=tmp_path)).decode())
    }
    assert {sample.labels["source"] for sample in families["haidang_events"].samples} == {"syslog", "alerts", "haidang"}


def test_health_names_what_is_wrong(engine: Engine, tmp_path: Path) -> None:
    heard = {"pid": 1, "started": 0.0, "backlog_events": 7}
    told = [
        {
            **heard,
            "stage": "collectors",
            "seen": time.time(),
            "detail": {
                "failures": {"tcp 1": "no"},
                "held": "full",
                "packet_rules": {
                    "mirror": {"loaded": 3, "refused": 2, "unread": ["a.rules: no such file"]},
                    "other": {},
                },
            },
        },
        {**heard, "stage": "detectors", "seen": time.time(), "detail": {"refused": [{"path": "x"}, {"path": "y"}]}},
        {**heard, "stage": "store", "seen": time.time() - 60, "detail": {"ready": True}},
        {**heard, "stage": "response", "seen": time.time(), "detail": {"waits": "no database"}},
        {**heard, "stage": "api", "seen": time.time(), "detail": {"held": "full", "held_by_disk": True}},
        {**heard, "stage": "detectors:1", "seen": 0.0, "detail": {}},
    ]
    with engine.begin() as connection:
        upsert(connection, stages, [{**row, "instance": "a"} for row in told], ["stage", "instance"])
    found = health(engine, Settings(data_dir=tmp_path))
    assert found["status"] == "degraded"
    assert set(found["stages"]) == {"collectors", "detectors", "store", "response", "api"}
    assert not found["stages"]["store"]["up"]
    assert found["stages"]["detectors"]["backlog_events"] == 7
    problems = {problem["what"]: problem for problem in found["problems"]}
    assert problems["cannot_listen"]["place"] == "tcp 1"
    assert (problems["intake_held"]["stage"], problems["intake_held"]["reason"]) == ("collectors", "full")
    assert (problems["stage_waits"]["stage"], problems["stage_waits"]["reason"]) == ("response", "no database")
    assert (problems["disk_full"]["stage"], problems["disk_full"]["reserve_mb"]) == ("api", 1000)
    assert problems["rules_refused"]["count"] == 2
    unread = {"what": "packet_rules_unread", "source": "mirror", "reason": "a.rules: no such file"}
    assert problems["packet_rules_unread"] == unread
    assert problems["stage_silent"]["stage"] == "store"
    samples = {
        (sample.name, sample.labels.get("stage")): sample.value
        for family in text_string_to_metric_families(metrics_text(engine, Settings(data_dir=tmp_path)).decode())
        for sample in family.samples
    }
    assert samples["haidang_stage_up", "store"] == 0
    assert samples["haidang_stage_up", "collectors"] == 1
    assert samples["haidang_problems", None] == len(found["problems"])

"""A stage's process: its lock, its life and its end, and counts that no kill makes wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline import ledger
from pipeline.bus import EVENTS
from pipeline.bus.sqlite import SqliteBus
from pipeline.frame import pack
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.stage import SUPERVISOR_VARIABLE, Consumer, Stage, is_running, only_one
from pipeline.state import open_state, positions
from pipeline.state.tables import stages
from tests.conftest import eventually


class Stages:
    """Starts stages of `tests/pipeline/stages.py` on one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.engine = open_state(data_dir)
        self.bus = SqliteBus(data_dir / "bus", 10**9)
        self._started: list[subprocess.Popen[str]] = []

    def start(self, kind: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a stage."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.stages", kind],
            env={**os.environ, "HAIDANG_DATA_DIR": str(self.data_dir), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def started(self, kind: str) -> bool:
        """Whether the stage has said that it is ready, and was not before."""
        with self.engine.connect() as connection:
            row = connection.execute(select(stages).where(stages.c.stage == kind)).mappings().first()
        return bool(row and row["detail"].get("ready") and row["pid"] == self._started[-1].pid)

    def counted(self) -> int:
        """What the ledger says."""
        return sum(line.events for line in ledger.sums(self.engine))

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
        self.bus.close()
        self.engine.dispose()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stages]:
    """A data directory; what was started on it ends with the test."""
    made = Stages(tmp_path / "data")
    yield made
    made.end()


def frames(count: int) -> list:
    """Frames of one event."""
    return [frame for number in range(count) for frame in pack("syslog", [b'{"n":%d}' % number])]


@pytest.mark.slow
def test_no_kill_makes_a_stage_count_twice_or_miss(site: Stages) -> None:
    site.bus.publish(EVENTS, frames(600))
    for _ in range(3):
        before = site.counted()
        process = site.start("count")
        eventually(lambda at=before: site.counted() > at, 30, 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (place,) = positions.load(site.engine, "count", EVENTS).values()
        assert place - 1 == site.counted()
    process = site.start("count")
    eventually(lambda: site.counted() == 600, 30, 0.05)
    process.terminate()
    assert process.wait(60) == 0
    assert site.counted() == 600


def test_one_part_of_a_data_directory_has_one_process(site: Stages) -> None:
    with only_one(site.data_dir, "count"):
        assert is_running(site.data_dir, "count")
        with pytest.raises(HaidangError) as caught, only_one(site.data_dir, "count", wait_seconds=0):
            pass
        assert f"process {os.getpid()}" in str(caught.value)
        with only_one(site.data_dir, "other", wait_seconds=0), only_one(site.data_dir / "x", "count", wait_seconds=0):
            pass
    assert not is_running(site.data_dir, "count")
    assert not is_running(site.data_dir, "never")


def test_a_new_stage_waits_for_the_old_one_to_let_go(site: Stages) -> None:
    with only_one(site.data_dir, "count"):
        process = site.start("count")
        time.sleep(1.5)
        assert process.poll() is None
        assert not site.started("count")
    eventually(lambda: site.started("count"), 20)


def test_a_stage_whose_supervisor_is_gone_stops_by_itself(site: Stages) -> None:
    process = site.start("count", **{SUPERVISOR_VARIABLE: "1"})
    assert process.wait(60) == 0
    assert "supervisor_gone" in (site.data_dir / "logs" / "count.log").read_text("utf-8")


def test_settings_to_be_mended_are_status_2_and_a_sentence(site: Stages) -> None:
    process = site.start("refuse")
    assert "Mars/refuse" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    (site.data_dir / "haidang.toml").write_text("port = 1\n")
    process = site.start("count")
    assert "port: there is no such setting" in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_a_fault_of_ours_is_status_1_with_its_place(site: Stages) -> None:
    process = site.start("crash")
    assert "stages.py" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_the_log_has_no_chatter_of_libraries_and_nobody_else_reads_it(site: Stages) -> None:
    fresh = Stages(site.data_dir.parent / "fresh")
    fresh.engine.dispose()
    for file in fresh.data_dir.glob("state.db*"):
        file.unlink()  # so that the stage migrates
    process = fresh.start("count")
    eventually((fresh.data_dir / "run" / "count.lock").exists, 20)
    eventually(lambda: "started" in (fresh.data_dir / "logs" / "count.log").read_text("utf-8"), 20)
    process.terminate()
    process.wait(60)
    assert "alembic" not in (fresh.data_dir / "logs" / "count.log").read_text("utf-8")
    for name in ("state.db", "logs/count.log", "run/count.lock"):
        assert (fresh.data_dir / name).stat().st_mode & 0o077 == 0
    fresh.end()


def test_a_topic_that_was_lost_is_read_from_its_new_start(site: Stages) -> None:
    settings = Settings(data_dir=site.data_dir, sources=[])
    with site.engine.begin() as connection:
        positions.save(connection, "count", EVENTS, {0: 500})
    site.bus.publish(EVENTS, frames(3))
    consumer = Consumer(Stage("count", settings, site.engine, site.bus), EVENTS)
    assert len(consumer.read()) == 3
    assert positions.slowest(site.engine, EVENTS, ["count"]) == {0: 0}


def test_position_counts_and_effects_are_saved_together_or_not_at_all(site: Stages) -> None:
    settings = Settings(data_dir=site.data_dir, sources=[])
    site.bus.publish(EVENTS, frames(3))
    consumer = Consumer(Stage("count", settings, site.engine, site.bus), EVENTS)
    consumer.tally.add("syslog", "in", len(consumer.read()))

    def fail(_connection: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consumer.commit(fail)
    assert (positions.load(site.engine, "count", EVENTS), site.counted()) == ({}, 0)
    consumer.commit()
    consumer.commit()
    assert (positions.load(site.engine, "count", EVENTS), site.counted()) == ({0: 4}, 3)

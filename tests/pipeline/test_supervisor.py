"""The supervisor: what ends is started again, what hangs is killed, and none touches another."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import supervisor as module
from pipeline.instance import instance_of
from pipeline.state import open_state
from pipeline.supervisor import Child, Supervisor, ready
from tests.conftest import eventually


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor with no stages yet; it stops with the test."""
    made = Supervisor(tmp_path, [])
    made.start()
    yield made
    made.stop()


def add(supervisor: Supervisor, kind: str) -> Child:
    """Start a stage of `tests/pipeline/stages.py`."""
    supervisor.add(kind, ["tests.pipeline.stages", kind])
    return supervisor.children[-1]


def ended(supervisor: Supervisor, child: Child, seconds: float = 20) -> None:
    """Wait until a stage has ended once more."""
    eventually(lambda: child in supervisor.check(), seconds, 0.05)


def test_a_stage_that_crashes_is_started_again_ever_later_and_touches_no_other(supervisor: Supervisor) -> None:
    good, bad = add(supervisor, "count"), add(supervisor, "crash")
    engine = open_state(supervisor.data_dir)
    eventually(lambda: ready(engine, instance_of(supervisor.data_dir), ["count"], 0) == {"count"}, 20)
    assert good.process is not None
    pid = good.process.pid
    for delay in (1.0, 2.0):
        ended(supervisor, bad)
        assert bad.last_words.endswith("ZeroDivisionError: the crash's last words")
        assert not bad.needs_a_person
        assert delay - 0.5 < bad.restart_at - time.monotonic() <= delay
    assert bad.restarts == 1
    assert good.process.pid == pid
    assert good.process.poll() is None
    engine.dispose()


def test_settings_to_be_mended_are_told_and_tried_after_a_few_seconds(supervisor: Supervisor) -> None:
    child = add(supervisor, "refuse")
    ended(supervisor, child)
    assert child.needs_a_person
    assert child.last_words.startswith("'Mars/refuse' is no time zone")
    assert 3 < child.restart_at - time.monotonic() <= 5
    delays = []
    for _ in range(5):
        supervisor._ended(child, 2, "")
        delays.append(round(child.restart_at - time.monotonic()))
    assert delays == [10, 20, 40, 60, 60]


def test_a_stage_that_was_killed_has_the_signal_for_its_last_words(supervisor: Supervisor) -> None:
    child = add(supervisor, "kill")
    ended(supervisor, child)
    assert child.last_words == "signal SIGKILL"


def test_a_stage_that_hangs_is_killed_after_the_limit(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 1.0)
    child, other = add(supervisor, "hang"), add(supervisor, "count")
    engine = open_state(supervisor.data_dir)
    eventually(lambda: ready(engine, instance_of(supervisor.data_dir), ["hang", "count"], 0) == {"hang", "count"}, 20)
    processes = [each.process for each in (child, other) if each.process is not None]
    started = time.monotonic()
    supervisor.stop()
    assert 1 <= time.monotonic() - started < 10
    assert [process.returncode for process in processes] == [-9, 0]
    engine.dispose()


@pytest.mark.slow
def test_a_stage_that_cannot_be_started_is_tried_again(supervisor: Supervisor) -> None:
    child = add(supervisor, "crash")
    ended(supervisor, child)
    errors = supervisor.data_dir / "logs" / "crash.stderr"
    errors.unlink()
    errors.mkdir()  # as a full disk, no file can be opened
    ended(supervisor, child)
    assert "Is a directory" in child.last_words
    errors.rmdir()
    ended(supervisor, child)
    assert "ZeroDivisionError" in child.last_words


def test_many_last_words_are_cut(supervisor: Supervisor) -> None:
    child = Child("talker", [])
    (supervisor.data_dir / "logs" / "talker.stderr").write_bytes("ạ".encode() * 10_000_000 + b" the end")
    words = supervisor._words(child)
    assert words.endswith(" the end")
    assert len(words) <= 2000


def test_what_lies_in_the_folder_of_the_start_is_never_run(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("tests", "pipeline", "sqlalchemy"):
        Path(f"{name}.py").write_text("open('ran', 'w').close()\n")
    add(supervisor, "count")
    engine = open_state(supervisor.data_dir)
    eventually(lambda: ready(engine, instance_of(supervisor.data_dir), ["count"], 0) == {"count"}, 20)
    assert not Path("ran").exists()
    engine.dispose()

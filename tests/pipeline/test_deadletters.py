"""Dead letters: what the store cannot take is kept once, with its reason; a person lists, retries and drops it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline import bus, deadletters, ledger, store
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import encode
from pipeline.frame import Frame, pack
from pipeline.health import health
from pipeline.retrying import bring_back
from pipeline.settings import Limits, Settings, Store
from pipeline.stage import Consumer, Stage
from pipeline.state import open_state
from pipeline.state.tables import audit
from pipeline.store.indexer import index_topics
from tests.conftest import eventually
from tests.contract.store import event

POISON = b"\x28\xb5\x2f\xfd no zstd"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The store's stage on a data directory of its own."""
    settings = Settings(data_dir=tmp_path, sources=[], store=Store(memory_mb=20, commit_seconds=0.1))
    made = Stage("store", settings, open_state(tmp_path), SqliteBus(tmp_path / "bus", 10**9))
    yield made
    made.bus.close()
    made.engine.dispose()


def work(stage: Stage, until_dropped: int) -> None:
    """Let the store's stage work until so many are counted as dropped, and everything is read."""
    stage.stopping.clear()
    running = threading.Thread(target=index_topics, args=(stage,), daemon=True)
    running.start()
    try:
        eventually(lambda: dropped(stage) == until_dropped and stage.bus.backlog(bus.EVENTS, places(stage))[0] == 0)
    finally:
        stage.stopping.set()
        running.join()


def places(stage: Stage) -> dict[int, int]:
    """Where the store goes on reading."""
    from pipeline.state import positions

    return positions.load(stage.engine, "store", bus.EVENTS)


def dropped(stage: Stage) -> int:
    """What the ledger says was dropped."""
    return sum(line.events for line in ledger.sums(stage.engine) if line.outcome == "dropped")


def test_what_is_no_event_is_kept_with_its_reason(stage: Stage) -> None:
    lines = [encode(event(1, n=1)), b"{not json", b'["no object"]', "đứt giữa".encode()[:-1], encode(event(2, n=2))]
    stage.bus.publish(bus.EVENTS, [*pack("web", lines), Frame("web", 7, POISON)])
    work(stage, 3 + 7)
    letters = deadletters.listed(stage.engine)
    assert {(letter["line"], letter["reason"]) for letter in letters} == {
        *((line, "not_an_event") for line in lines[1:4]),
        (POISON, "poison_frame"),
    }
    assert {(letter["source"], letter["topic"], letter["stage"]) for letter in letters} == {("web", "events", "store")}
    assert all(letter["detail"] for letter in letters)
    assert {"what": "dead_letters", "count": 4} in health(stage.engine, stage.settings)["problems"]


def test_a_frame_that_is_read_again_buries_nothing_twice(stage: Stage) -> None:
    stage.bus.publish(bus.EVENTS, list(pack("web", [b"{not json"])))
    for _ in range(2):
        consumer = Consumer(stage, bus.EVENTS, name="store", buries=True)
        consumer.tally.drop(ledger.DeadLetter("events", "web", "not_an_event", "no json", b"{not json"))
        consumer.commit(lambda _connection: None)
    assert deadletters.summary(stage.engine) == {"count": 1, "bytes": 9}


def test_what_is_retried_is_stored_or_comes_back(stage: Stage) -> None:
    good = encode(event(1, n=1))
    with stage.engine.begin() as connection:
        letters = [ledger.DeadLetter("events", "web", "not_an_event", "was mended", line) for line in (good, b"{bad")]
        assert deadletters.bury(connection, "store", letters, 10**6) == 0
    assert bring_back(stage.settings, stage.engine, deadletters.listed(stage.engine)) == 2
    assert deadletters.listed(stage.engine) == []
    work(stage, 1)
    assert [letter["line"] for letter in deadletters.listed(stage.engine)] == [b"{bad"]
    reader = store.open_reader(stage.settings.data_dir, stage.settings.store)
    assert reader.search(store.EVENTS, {})["hits"]["total"]["value"] == 1
    reader.close()
    counts = {(line.stage, line.outcome, line.reason): line.events for line in ledger.sums(stage.engine)}
    assert counts["deadletters", "out", "retried"] == 2
    assert counts["store", "in", ""] == 2


def test_beyond_the_limit_lines_are_counted_and_no_longer_kept(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"limits": Limits(dead_letter_mb=1)})
    stage.bus.publish(bus.EVENTS, list(pack("web", [b"{" + bytes([65 + n]) * 300_000 for n in range(5)])))
    work(stage, 5)
    assert deadletters.summary(stage.engine) == {"count": 3, "bytes": 900_003}


def test_two_people_drop_what_both_have_seen_and_nothing_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def bury(source: str, where: str, line: bytes) -> None:
        with stage.engine.begin() as connection:
            letter = ledger.DeadLetter("events", source, "not_an_event", "no JSON", line)
            deadletters.bury(connection, where, [letter], 10**6)

    for source, where, line in (("web", "store", b"{1"), ("web", "detectors", b"{2"), ("mail", "store", b"{3")):
        bury(source, where, line)
    seen = max(each["last"] for each in deadletters.reasons(stage.engine))
    bury("web", "store", b"{4")

    def drop(who: str, until: float, source: str = "web", where: str = "store") -> int | None:
        with stage.engine.begin() as connection:
            return deadletters.drop_by_two(connection, who, "here", source, where, "not_an_event", until)

    assert drop("an", seen) is None
    assert drop("an", seen) is None  # nobody agrees with themselves
    assert drop("binh", seen, "mail") is None  # nor with what others want of something else
    wishes = {(each["source"], each["stage"]): each["wish"] for each in deadletters.reasons(stage.engine)}
    assert [wishes["web", "store"]["who"], wishes["mail", "store"]["who"]] == ["an", "binh"]
    assert wishes["web", "detectors"] is None
    assert drop("binh", time.time()) == 1
    assert [letter["line"] for letter in deadletters.listed(stage.engine)] == [b"{2", b"{3", b"{4"]
    assert drop("chi", time.time()) is None  # the wish was fulfilled
    monkeypatch.setattr(deadletters, "_WISH_SECONDS", 0.0)
    assert drop("binh", time.time()) is None  # and this one is too old


def test_the_command_lists_retries_and_drops(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        for source, line in (("web", b"{bad"), ("mail", "thư hỏng".encode()), ("mail", b"\xff\xfe\x00")):
            letter = ledger.DeadLetter("events", source, "not_an_event", "no JSON\x1b[31m", line)
            deadletters.bury(connection, "store", [letter], 10**6)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "HAIDANG_DATA_DIR": str(stage.settings.data_dir)}
        command = [str(Path(sys.executable).parent / "haidang"), "deadletter", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    found = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [letter["line"] for letter in found] == ["{bad", "thư hỏng", "base64://4A"]
    shown = run("list", "--source", "mail").stdout
    assert "thư hỏng" in shown
    assert "\x1b" not in shown
    assert "3 dead letters" in shown
    assert run("drop").returncode == 2
    again = run("retry", found[0]["id"], "f" * 24)
    assert again.returncode == 1
    assert "f" * 24 in again.stdout
    assert stage.bus.backlog(bus.EVENTS, {})[0] == 1
    assert run("drop", "--all", "--source", "mail").returncode == 0
    assert run("list", "--json").stdout == ""
    with stage.engine.connect() as connection:
        rows = connection.execute(select(audit.c.action, audit.c.detail).order_by(audit.c.id)).all()
    noted = {row.action: row.detail for row in rows}
    assert noted[deadletters.DROPPED] == {"source": "mail", "letters": 2}
    assert noted[deadletters.RETRIED]["ids"] == [found[0]["id"], "f" * 24]

"""Copies of a stage on one Kafka topic and one PostgreSQL: every event is counted by one of them, whatever happens."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import ledger, shares
from pipeline.bus import EVENTS, open_bus
from pipeline.bus.kafka import KafkaBus
from pipeline.frame import Frame, pack
from pipeline.settings import Bus, Settings, State
from pipeline.shares import LeaseLost
from pipeline.stage import Consumer, Stage
from pipeline.state import open_state, positions
from tests.conftest import eventually
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Copies:
    """Copies of one stage, each with a data directory of its own."""

    def __init__(self, folder: Path, bus: Bus, state: State) -> None:
        self._folder, self._bus, self._state = folder, bus, state
        self._stages: list[Stage] = []
        self._running: list[threading.Thread] = []
        self.engine = open_state(folder, state)
        self.bus = KafkaBus(bus)

    def stage(self, name: str) -> Stage:
        """Make one more copy."""
        settings = Settings(data_dir=self._folder / name, sources=[], bus=self._bus, state=self._state)
        engine = open_state(settings.data_dir, settings.state)
        self._stages.append(Stage("count", settings, engine, open_bus(settings.data_dir, settings.bus)))
        return self._stages[-1]

    def start(self, stage: Stage) -> threading.Thread:
        """Let a copy count in a thread of its own."""
        thread = threading.Thread(target=count, args=(stage,), daemon=True)
        thread.start()
        self._running.append(thread)
        return thread

    def publish(self, start: int, count: int) -> None:
        """Publish events, a frame each, over all partitions."""
        frames: list[Frame] = []
        for number in range(start, start + count):
            frames += pack("web", [b'{"n":%d}' % number], key=str(number))
        self.bus.publish(EVENTS, frames)

    def counted(self) -> int:
        """What the copies have counted together."""
        return sum(line.events for line in ledger.sums(self.engine))

    def close(self) -> None:
        """Close everything."""
        for stage in self._stages:
            stage.stopping.set()
        for thread in self._running:
            thread.join(60)
        for stage in self._stages:
            stage.bus.close()
            stage.engine.dispose()
        self.bus.close()
        self.engine.dispose()


@pytest.fixture
def copies(tmp_path: Path, kafka: Kafka, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copies]:
    monkeypatch.setattr(shares, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr("pipeline.stage._SHARE_SECONDS", 0.3)
    made = Copies(tmp_path, kafka.settings(partitions=6), State(url=postgres.new_database()))
    yield made
    made.close()


def count(stage: Stage) -> None:
    """Count events until the stage is stopped; leave as a stage does."""
    consumer = Consumer(stage, EVENTS)
    while not stage.stopping.is_set():
        for record in consumer.read(1):
            consumer.tally.add(record.source, "in", record.events)
        consumer.commit()
        if not consumer.backlog():
            stage.stopping.wait(0.02)
    consumer.close()


def test_a_division_gives_every_partition_to_one() -> None:
    for instances in (["a"], ["a", "b"], ["c", "a", "b"], [str(n) for n in range(9)]):
        parts = [shares.divide(range(6), instances, instance) for instance in instances]
        assert sorted(partition for part in parts for partition in part) == list(range(6))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_copies_that_come_and_go_count_every_event_once(copies: Copies) -> None:
    copies.publish(0, 300)
    first = copies.stage("one")
    running = copies.start(first)
    eventually(lambda: copies.counted() > 50, 30, 0.02)
    second, third = copies.stage("two"), copies.stage("three")
    others = [copies.start(second), copies.start(third)]
    copies.publish(300, 900)
    eventually(lambda: copies.counted() > 500, 30, 0.02)
    first.stopping.set()  # leaves, and gives its partitions back
    running.join(60)
    copies.publish(1200, 300)
    eventually(lambda: copies.counted() == 1500, 30, 0.1)
    assert all(thread.is_alive() for thread in others)


def _read_all(slow: Consumer, events: int) -> None:
    """Read everything, and save nothing."""
    held = 0
    while held < events:
        for record in slow.read():
            slow.tally.add(record.source, "in", record.events)
            held += record.events


def test_a_copy_that_hangs_saves_nothing_that_another_did(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_LONGEST_WORK_SECONDS", 0.0)
    copies.publish(0, 60)
    slow = Consumer(copies.stage("slow"), EVENTS)
    _read_all(slow, 60)
    copies.start(copies.stage("quick"))
    eventually(lambda: copies.counted() == 60, 30, 0.1)
    with pytest.raises(LeaseLost):
        slow.commit()
    assert copies.counted() == 60


def test_a_copy_that_works_for_longer_than_a_lease_keeps_what_it_has_read(copies: Copies) -> None:
    copies.publish(0, 60)
    slow = Consumer(copies.stage("slow"), EVENTS)
    _read_all(slow, 60)
    copies.start(copies.stage("quick"))
    time.sleep(shares.LEASE_SECONDS * 2)
    assert copies.counted() == 0
    slow.commit()
    slow.close()
    copies.publish(60, 60)
    eventually(lambda: copies.counted() == 120, 30, 0.1)


def test_copies_without_a_partition_wait_for_one(copies: Copies) -> None:
    stages = [copies.stage(f"copy{number}") for number in range(8)]
    threads = [copies.start(stage) for stage in stages]
    copies.publish(0, 100)
    eventually(lambda: copies.counted() == 100, 30, 0.1)
    for stage in stages[:7]:
        stage.stopping.set()
    for thread in threads[:7]:
        thread.join(60)
    copies.publish(100, 100)
    eventually(lambda: copies.counted() == 200, 30, 0.1)


def test_what_was_read_is_not_saved_before_its_effects_are(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the shares must not save positions: what was read may not be stored yet, and a kill would lose it."""
    monkeypatch.setattr("pipeline.stage._SHARE_SECONDS", 0.0)
    copies.publish(0, 30)
    consumer = Consumer(copies.stage("one"), EVENTS)
    _read_all(consumer, 30)
    for _ in range(5):
        consumer.read()
    assert positions.load(copies.engine, "count", EVENTS) == {}
    consumer.commit()
    assert sum(positions.load(copies.engine, "count", EVENTS).values()) == 30
    consumer.close()

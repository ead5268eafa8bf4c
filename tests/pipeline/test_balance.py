"""The balance: what was received is stored, held or dropped; what is nowhere is told, and is an alert."""

import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from pipeline import bus
from pipeline.balance import Account, accounts
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import encode
from pipeline.frame import pack, unpack
from pipeline.ledger import DROPPED, IN, OUT, Tally
from pipeline.settings import Settings, Store
from pipeline.stage import Stage
from pipeline.state import open_state, positions
from pipeline.store import indexer
from tests.conftest import eventually
from tests.contract.store import event


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The store's stage on a data directory of its own; it looks at the balance all the time."""
    monkeypatch.setattr(indexer, "_HOUSEKEEPING_SECONDS", 0.2)
    settings = Settings(data_dir=tmp_path, sources=[], store=Store(memory_mb=20, commit_seconds=0.1))
    made = Stage("store", settings, open_state(tmp_path), SqliteBus(tmp_path / "bus", 10**9))
    yield made
    made.bus.close()
    made.engine.dispose()


def receive(stage: Stage, source: str, start: int, count: int, dropped: int = 0) -> None:
    """Do and count what the collectors do with so many events."""
    stage.bus.publish(bus.EVENTS, list(pack(source, [encode(event(start + n, n=n)) for n in range(count)])))
    tally = Tally()
    tally.add(source, IN, count + dropped)
    tally.add(source, OUT, count)
    if dropped:
        tally.add(source, DROPPED, dropped, "too_fast")
    with stage.engine.begin() as connection:
        tally.save(connection, "collectors")


def found(stage: Stage) -> dict[str, Account]:
    """The accounts, by source."""
    return {account.source: account for account in accounts(stage.engine, stage.bus)}


@pytest.fixture
def running(stage: Stage) -> Iterator[Stage]:
    """The stage at work."""
    thread = threading.Thread(target=indexer.index_topics, args=(stage,), daemon=True)
    thread.start()
    yield stage
    stage.stopping.set()
    thread.join(60)


def test_what_waits_on_the_bus_is_held(stage: Stage) -> None:
    receive(stage, "web", 0, 10, dropped=3)
    receive(stage, "mail", 100, 5)
    assert {name: (each.given, each.held, each.missing) for name, each in found(stage).items()} == {
        "web": (10, 10, 0),
        "mail": (5, 5, 0),
    }
    assert all(account.adds_up for account in found(stage).values())


def test_what_was_stored_adds_up_and_no_alert_is_raised(running: Stage) -> None:
    receive(running, "web", 0, 10)
    receive(running, "web", 5, 10)  # five of them are there already
    running.bus.publish(bus.EVENTS, list(pack("foreign", [b"{no json"])))
    eventually(lambda: found(running)["web"].taken == 20)
    account = found(running)["web"]
    assert (account.stored, account.already_stored, account.held, account.missing) == (15, 5, 0, 0)
    assert account.adds_up
    foreign = found(running)["foreign"]  # nobody knows how many it sent: what came is what is accounted for
    assert (foreign.received, foreign.dropped, foreign.adds_up) == (1, 1, True)
    assert running.bus.read(bus.ALERTS, {}) == []


def test_a_gap_is_an_alert(running: Stage) -> None:
    receive(running, "web", 0, 10)
    eventually(lambda: found(running)["web"].taken == 10)
    tally = Tally()
    tally.add("web", IN, 7)
    tally.add("web", OUT, 7)  # counted, and never brought to the bus
    with running.engine.begin() as connection:
        tally.save(connection, "collectors")
    assert found(running)["web"].missing == 7
    records = eventually(lambda: running.bus.read(bus.ALERTS, {}))
    raised = orjson.loads(unpack(records[0].payload)[0])
    assert raised["rule.id"] == "haidang.gap"
    assert raised["rule.level"] == "high"
    assert "web: 7 events" in raised["rule.description"]


def test_an_event_counted_twice_does_not_add_up(stage: Stage) -> None:
    receive(stage, "web", 0, 10)
    tally = Tally()
    tally.add("web", IN, 11)
    tally.add("web", OUT, 11)
    with stage.engine.begin() as connection:
        tally.save(connection, "store")
        positions.save(connection, "store", bus.EVENTS, stage.bus.ends(bus.EVENTS))
    assert found(stage)["web"].missing == -1
    assert not found(stage)["web"].adds_up

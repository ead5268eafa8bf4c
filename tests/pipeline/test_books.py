"""The books of what people bring: whenever it is killed, what came to the bus is counted, once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import bus, ledger
from pipeline.balance import Account, accounts
from pipeline.books import IMPORT, RETRY, Books, settle
from pipeline.bus.kafka import KafkaBus
from pipeline.bus.sqlite import SqliteBus
from pipeline.deadletters import bury, listed
from pipeline.event import encode
from pipeline.frame import pack
from pipeline.instance import instance_of
from pipeline.retrying import bring_back
from pipeline.settings import Settings
from pipeline.stage import Stage, only_one
from pipeline.state import open_state, positions
from tests.contract.store import event
from tests.services.kafka import Kafka

#: An import that never ends, of 7 events a frame.
_PROGRAM = """
import sys
from itertools import count
from pathlib import Path
from pipeline.bus.sqlite import SqliteBus
from pipeline.frame import pack
from pipeline import books, bus
from pipeline.settings import Settings
from pipeline.stage import only_one
from pipeline.state import open_state

folder = Path(sys.argv[1])
site = Settings(data_dir=folder), open_state(folder), SqliteBus(folder / "bus", 10**9)
with only_one(folder, "import"), books.Books(books.IMPORT, *site) as ours:
    for number in count():
        ours.publish(bus.EVENTS, list(pack(bus.IMPORT, [b'{"event.id":"%d %d"}' % (number, each) for each in range(7)])))
        print(number, flush=True)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stage]:
    """A site without processes."""
    settings = Settings(data_dir=tmp_path, sources=[])
    made = Stage("store", settings, open_state(tmp_path), SqliteBus(tmp_path / "bus", 10**9))
    yield made
    made.bus.close()
    made.engine.dispose()


def account(site: Stage, source: str = bus.IMPORT) -> Account:
    """The account of a source."""
    return next(each for each in accounts(site.engine, site.bus) if each.source == source)


def test_the_books_add_up_after_a_kill_at_any_moment(site: Stage) -> None:
    chance = random.Random(7)
    folder = site.settings.data_dir
    brought = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", _PROGRAM, str(folder)], stdout=subprocess.PIPE) as killed:
            assert killed.stdout is not None
            killed.stdout.readline()  # it is at work
            time.sleep(chance.uniform(0, 0.1) + chance.choice((0, 1)))  # before and after it has counted
            os.kill(killed.pid, signal.SIGKILL)
        on_bus = sum(record.events for record in site.bus.read(bus.EVENTS, {}, 10**12))
        assert on_bus > brought
        brought = on_bus
        settle(site.settings, site.engine, site.bus)
        settle(site.settings, site.engine, site.bus)  # the second time there is nothing to count
        assert (account(site).received, account(site).missing) == (brought, 0)
    assert positions.load(site.engine, IMPORT.name, bus.EVENTS) == {}


def test_nobody_counts_for_an_import_that_is_at_work(site: Stage) -> None:
    frames = list(pack(bus.IMPORT, [encode(event(number)) for number in range(5)]))
    with only_one(site.settings.data_dir, IMPORT.name):
        with Books(IMPORT, site.settings, site.engine, site.bus) as books:
            books.publish(bus.EVENTS, frames)
            settle(site.settings, site.engine, site.bus)
            assert positions.load(site.engine, IMPORT.name, bus.EVENTS) == {0: 1}
            assert ledger.sums(site.engine) == []
        assert (account(site).received, account(site).missing) == (5, 0)
    site.bus.publish(bus.EVENTS, list(pack("web", [encode(event(9))])))
    settle(site.settings, site.engine, site.bus)
    assert account(site).received == 5


def test_the_next_import_counts_what_is_its_own_kind_alone(site: Stage) -> None:
    lines = [encode(event(number)) for number in range(3)]
    with site.engine.begin() as connection:
        positions.save(connection, IMPORT.name, bus.EVENTS, site.bus.ends(bus.EVENTS))
    for frames in (pack(bus.IMPORT, lines), pack("web", lines), pack(bus.OWN_RULES, lines[:1])):
        site.bus.publish(bus.EVENTS, list(frames))
    site.bus.publish(bus.EVENTS, list(pack(bus.IMPORT, lines, bus.RETRIED)))  # counted by who brought it back
    with Books(IMPORT, site.settings, site.engine, site.bus):
        pass
    counted = {(line.source, line.outcome): line.events for line in ledger.sums(site.engine)}
    assert counted == {
        (bus.IMPORT, "in"): 3, (bus.IMPORT, "out"): 3, (bus.OWN_RULES, "in"): 1, (bus.OWN_RULES, "out"): 1,
    }  # fmt: skip


def test_dead_letters_that_were_just_brought_back_when_it_was_killed_are_counted(site: Stage) -> None:
    lines = [encode(event(number)) for number in range(4)]
    with site.engine.begin() as connection:
        for line in lines:
            bury(connection, "store", [ledger.DeadLetter(bus.EVENTS, "web", "not_an_event", "", line)], 10**6)
    half = listed(site.engine)[:2]
    assert bring_back(site.settings, site.engine, half) == 2
    with site.engine.begin() as connection:
        positions.save(connection, RETRY.name, bus.EVENTS, site.bus.ends(bus.EVENTS))
    for letter in listed(site.engine):  # and was killed before they were deleted
        site.bus.publish(bus.EVENTS, list(pack("web", [letter["line"]], bus.RETRIED)))
    site.bus.publish(bus.EVENTS, list(pack("web", lines)))  # of the collectors, who count by themselves
    assert settle(site.settings, site.engine, site.bus) == 2
    assert bring_back(site.settings, site.engine, listed(site.engine)) == 2
    assert listed(site.engine) == []
    counted = {(line.stage, line.outcome, line.reason): line.events for line in ledger.sums(site.engine)}
    assert counted == {("deadletters", "out", "retried"): 6}


def test_each_machine_counts_what_was_brought_from_there(site: Stage, tmp_path: Path, kafka: Kafka) -> None:
    settings = kafka.settings()
    machines = [Settings(data_dir=tmp_path / name, sources=[]) for name in ("one", "other")]
    for number, machine in enumerate(machines):
        shared = KafkaBus(settings, instance_of(machine.data_dir))
        place = IMPORT.place(machine, shared)
        with site.engine.begin() as connection:
            positions.save(connection, place, bus.EVENTS, shared.ends(bus.EVENTS))
        lines = [encode(event(10 * number + each)) for each in range(5 + number)]
        shared.publish(bus.EVENTS, list(pack(bus.IMPORT, lines)))  # and was killed
        shared.close()
    counts = []
    for machine in (*machines, *machines):
        shared = KafkaBus(settings, instance_of(machine.data_dir))
        counts.append(settle(machine, site.engine, shared))
        shared.close()
    assert counts == [5, 6, 0, 0]

"""The books of an import: whenever it is killed, what it brought to the bus is counted, once."""

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
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import encode
from pipeline.frame import pack
from pipeline.import_books import IMPORT, Books, settle
from pipeline.settings import Settings
from pipeline.stage import Stage, only_one
from pipeline.state import open_state, positions
from tests.contract.store import event

#: An import that never ends, of 7 events a frame.
_PROGRAM = """
import sys
from itertools import count
from pathlib import Path
from pipeline.bus import IMPORT
from pipeline.bus.sqlite import SqliteBus
from pipeline.frame import pack
from pipeline.import_books import Books
from pipeline.settings import Settings
from pipeline.stage import only_one
from pipeline.state import open_state

folder = Path(sys.argv[1])
with only_one(folder, "import"), Books(Settings(data_dir=folder), open_state(folder), SqliteBus(folder / "bus", 10**9)) as books:
    for number in count():
        books.publish(list(pack(IMPORT, [b'{"event.id":"%d %d"}' % (number, each) for each in range(7)])))
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
    assert positions.load(site.engine, IMPORT, bus.EVENTS) == {}


def test_nobody_counts_for_an_import_that_is_at_work(site: Stage) -> None:
    frames = list(pack(bus.IMPORT, [encode(event(number)) for number in range(5)]))
    with only_one(site.settings.data_dir, IMPORT):
        with Books(site.settings, site.engine, site.bus) as books:
            books.publish(frames)
            settle(site.settings, site.engine, site.bus)
            assert positions.load(site.engine, IMPORT, bus.EVENTS) == {0: 1}
            assert ledger.sums(site.engine) == []
        assert (account(site).received, account(site).missing) == (5, 0)
    site.bus.publish(bus.EVENTS, list(pack("web", [encode(event(9))])))
    settle(site.settings, site.engine, site.bus)
    assert account(site).received == 5


def test_the_next_import_counts_what_is_its_own_kind_alone(site: Stage) -> None:
    lines = [encode(event(number)) for number in range(3)]
    with site.engine.begin() as connection:
        positions.save(connection, IMPORT, bus.EVENTS, site.bus.ends(bus.EVENTS))
    for frames in (pack(bus.IMPORT, lines), pack("web", lines), pack(bus.OWN_RULES, lines[:1])):
        site.bus.publish(bus.EVENTS, list(frames))
    site.bus.publish(bus.EVENTS, list(pack(bus.IMPORT, lines, bus.RETRIED)))  # counted by who brought it back
    with Books(site.settings, site.engine, site.bus):
        pass
    counted = {(line.source, line.outcome): line.events for line in ledger.sums(site.engine)}
    assert counted == {
        (bus.IMPORT, "in"): 3, (bus.IMPORT, "out"): 3, (bus.OWN_RULES, "in"): 1, (bus.OWN_RULES, "out"): 1,
    }  # fmt: skip

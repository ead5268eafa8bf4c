"""The embedded bus: the contract, and what is its own."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bus import EVENTS
from pipeline.bus.sqlite import SqliteBus
from tests.contract.bus import LIMIT, BusContract, frames, read_all


class TestSqliteBus(BusContract):
    @pytest.fixture
    def bus(self, tmp_path: Path) -> Iterator[SqliteBus]:
        opened = SqliteBus(tmp_path, LIMIT)
        yield opened
        opened.close()


def _publish_for_ever(folder: Path, told: Path) -> None:
    bus = SqliteBus(folder, 10**12)
    number = 0
    while True:
        bus.publish(EVENTS, frames(f"{number}"))
        told.write_text(str(number))
        number += 1


def test_what_was_published_survives_a_kill_and_nothing_is_half(tmp_path: Path) -> None:
    told = tmp_path / "told"
    writer = multiprocessing.get_context("spawn").Process(target=_publish_for_ever, args=(tmp_path / "bus", told))
    writer.start()
    deadline = time.monotonic() + 30
    while (not told.exists() or int(told.read_text() or 0) < 50) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    bus = SqliteBus(tmp_path / "bus", 10**12)
    found = read_all(bus)
    bus.close()
    assert found[: int(told.read_text()) + 1] == [str(number) for number in range(int(told.read_text()) + 1)]
    assert found == [str(number) for number in range(len(found))]


def test_another_process_reads_what_this_one_publishes(tmp_path: Path) -> None:
    bus, other = SqliteBus(tmp_path, LIMIT), SqliteBus(tmp_path, LIMIT)
    bus.publish(EVENTS, frames("1"))
    assert read_all(other) == ["1"]
    bus.close()
    other.close()

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
    with told.open("a") as file:
        while True:
            bus.publish(EVENTS, frames(f"{number}"))
            file.write(f"{number}\n")
            file.flush()
            number += 1


def _last_told(told: Path) -> int:
    """The last number of which a whole line is there; the writer may be killed in the middle of one."""
    lines = told.read_text().split("\n")[:-1] if told.exists() else []
    return int(lines[-1]) if lines else -1


def test_what_was_published_survives_a_kill_and_nothing_is_half(tmp_path: Path) -> None:
    told = tmp_path / "told"
    writer = multiprocessing.get_context("spawn").Process(target=_publish_for_ever, args=(tmp_path / "bus", told))
    writer.start()
    deadline = time.monotonic() + 30
    while _last_told(told) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    bus = SqliteBus(tmp_path / "bus", 10**12)
    found = read_all(bus)
    bus.close()
    assert len(found) > _last_told(told) >= 50
    assert found == [str(number) for number in range(len(found))]


def test_another_process_reads_what_this_one_publishes(tmp_path: Path) -> None:
    bus, other = SqliteBus(tmp_path, LIMIT), SqliteBus(tmp_path, LIMIT)
    bus.publish(EVENTS, frames("1"))
    assert read_all(other) == ["1"]
    bus.close()
    other.close()

"""The intake on a real bus: held by a full bus and a full disk, goes on by itself, and its ledger adds up."""

import asyncio
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from collectors import intake as intake_module
from collectors.intake import HIGH_WATER
from pipeline.bus import EVENTS
from pipeline.bus.kafka import KafkaBus
from pipeline.frame import pack
from tests.collectors.conftest import Bench, until
from tests.services.kafka import Kafka

pytestmark = pytest.mark.anyio


def _lines(count: int, size: int = 100, start: int = 0) -> list[bytes]:
    """Event lines that hardly compress."""
    return [
        b'{"event.id":"%024x","x":"%s"}' % (number, random.Random(number).randbytes(size // 2).hex().encode())
        for number in range(start + 1, start + count + 1)
    ]


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """The system refuses to write a file beyond this size: to a program that is a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_what_is_durable_is_on_the_bus(bench: Bench) -> None:
    async with bench.intake() as intake:
        intake.take("one", _lines(3))
        intake.take("two", _lines(2, start=3), key="host")
        await intake.durable()
        assert len(bench.events()) == 5
        assert {record.source for record in bench.stage.bus.read(EVENTS, {})} == {"one", "two"}
        intake.drop("one", "intake_held", 4)
    assert bench.ledger("one") == {"in": 7, "out": 3, "intake_held": 4}
    assert bench.ledger("two") == {"in": 2, "out": 2}


async def test_what_a_killed_process_could_not_count_is_counted_by_the_next(bench: Bench) -> None:
    async with bench.intake() as intake:
        intake.take("one", _lines(3))
    bench.stage.bus.publish(EVENTS, list(pack("one", _lines(5, start=3))))  # and then it was killed
    bench.stage.bus.publish(EVENTS, list(pack("import", _lines(2, start=8))))
    assert bench.ledger("one") == {"in": 3, "out": 3}
    for _ in range(2):
        async with bench.intake() as intake:
            intake.count_what_was_not()
        assert bench.ledger("one") == {"in": 8, "out": 8}
    assert bench.ledger("import") == {}


async def test_a_full_bus_holds_senders_and_opens_again_when_it_is_read(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limit_bytes=100_000)
    async with bench.intake() as intake:
        intake.take("one", _lines(4000))
        await intake.durable()
        assert intake.room
        intake.take("one", _lines(10, start=4000))
        await until(lambda: not intake.room)
        assert "its limit is 100000" in intake.held_because
        opened: list[bool] = []
        intake.when_open(lambda: opened.append(True))
        waiting = asyncio.create_task(intake.has_room())
        await asyncio.sleep(0.1)
        assert not opened
        assert not waiting.done()
        bench.stage.bus.trim(EVENTS, bench.stage.bus.ends(EVENTS))
        await until(lambda: opened)
        await waiting
        await intake.durable()
        assert intake.room
    assert len(bench.events()) == 10
    assert bench.ledger("one") == {"in": 4010, "out": 4010}


async def test_a_full_disk_loses_nothing_that_was_taken_in(bench: Bench) -> None:
    async with bench.intake() as intake:
        intake.take("one", _lines(10))
        await intake.durable()
        with _largest_file(200_000):
            intake.take("one", _lines(20_000, start=10))
            await until(lambda: not intake.room)
            await asyncio.sleep(1.5)  # also the ledger has nowhere to go now
        await intake.durable()
        assert intake.room
    assert len({event["event.id"] for event in bench.events()}) == 20_010
    assert bench.ledger("one") == {"in": 20_010, "out": 20_010}


async def test_memory_is_bounded_by_saying_that_there_is_no_room(bench: Bench) -> None:
    async with bench.intake() as intake:
        piece = _lines(1000, size=1000)
        taken = 0
        while intake.room:
            intake.take("one", piece)
            taken += sum(map(len, piece))
        assert HIGH_WATER <= taken < HIGH_WATER + 2_000_000
        await intake.has_room()
    assert bench.ledger("one")["in"] == bench.ledger("one")["out"]


async def test_a_stop_while_held_ends_and_counts_what_is_lost(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "_LAST_TRY_SECONDS", 0.2)
    bench = make_bench(limit_bytes=1000)
    async with bench.intake() as intake:
        intake.take("one", _lines(1000))
        await intake.durable()
        intake.take("one", _lines(7, start=1000))
        await until(lambda: not intake.room)
        bench.stage.stopping.set()
    assert bench.ledger("one") == {"in": 1007, "out": 1000, "stopped_while_held": 7}


async def test_each_machine_counts_only_what_it_brought_itself(make_bench: Callable[..., Bench], kafka: Kafka) -> None:
    one, other = make_bench("one"), make_bench("other")
    settings = kafka.settings()
    for bench in (one, other):
        bench.stage.bus.close()
        bench.stage.bus = KafkaBus(settings, bench.stage.instance)
        bench.stage.bus.publish(EVENTS, list(pack("one", _lines(5, start=10 if bench is one else 20))))  # and killed
    other.stage.engine.dispose()
    other.stage.engine = one.stage.engine  # one state for both
    for _ in range(2):
        for bench in (one, other):
            async with bench.intake() as intake:
                await asyncio.to_thread(intake.count_what_was_not)
    assert one.stage.instance != other.stage.instance
    assert one.ledger("one") == {"in": 10, "out": 10}

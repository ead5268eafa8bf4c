"""Datagrams while the pipeline cannot follow: they wait on a real disk, survive a restart, and what is lost is counted."""

import asyncio
import resource
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors import collect, datagrams, syslog
from collectors.datagram_buffer import Datagram, DatagramBuffer, Refused
from collectors.intake import Intake
from collectors.listening import Listening
from pipeline.bus import EVENTS
from pipeline.frame import pack
from pipeline.settings import SyslogSource
from tests.collectors.conftest import Bench, until

pytestmark = pytest.mark.anyio

#: More than a bus of the benches below takes.
_BUS_BYTES = 3_000_000
_FILLING = list(pack("other", [b"%d" % hash(str(number)) for number in range(400_000)]))


@asynccontextmanager
async def _open(bench: Bench) -> AsyncIterator[tuple[Listening, Intake, socket.socket]]:
    async with bench.intake() as intake:
        listening = await syslog.listen(SyslogSource(host="127.0.0.1", udp_port=0), bench.settings, intake)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", int(listening.places[0].rpartition(":")[2])))
            try:
                yield listening, intake, udp
            finally:
                await listening.close()


async def _hold(intake: Intake, udp: socket.socket) -> None:
    """Fill the bus, and wait until the intake has noticed."""
    intake.stage.bus.publish(EVENTS, _FILLING)
    udp.send(b"<13>the one that finds the bus full")
    await until(lambda: not intake.room)


def _empty(bench: Bench) -> None:
    bench.stage.bus.trim(EVENTS, bench.stage.bus.ends(EVENTS))


async def test_what_waits_on_the_disk_is_there_after_a_restart_with_its_time_and_its_id(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.intake._LAST_TRY_SECONDS", 0.1)
    bench = make_bench(limit_bytes=_BUS_BYTES)
    async with _open(bench) as (listening, intake, udp):
        await _hold(intake, udp)
        before = datetime.now(UTC)
        for number in range(50):
            udp.send(f"<13>datagram số {number}".encode())
        await until(lambda: listening.buffered() == 50)
        sender = "{}:{}".format(*udp.getsockname())
    await asyncio.sleep(1)
    _empty(bench)
    bench.stage.stopping.clear()
    async with _open(bench) as (listening, _, _udp):
        assert listening.buffered() == 50
        await until(lambda: not listening.buffered())
    found = [event for event in bench.events() if "datagram" in event["message"]]
    assert [event["message"] for event in found] == [f"datagram số {number}" for number in range(50)]
    assert {event["log.source.address"] for event in found} == {sender}
    assert len({event["event.id"] for event in found}) == 50
    late = datetime.fromisoformat(found[-1]["event.ingested"]) - before
    assert late < timedelta(seconds=1)  # when it came, not when it was decoded


async def test_a_batch_that_was_published_but_not_forgotten_has_the_same_ids_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = DatagramBuffer(bench.settings.data_dir / "datagrams", "syslog", 1_000_000)
    buffer.put(7, [Datagram(1_790_000_000_000_000_000, number, "2001:db8::1", 514, b"x") for number in range(3)])
    monkeypatch.setattr(DatagramBuffer, "done", lambda *_: None)  # the process is killed before it
    async with _open(bench) as (_, _intake, _udp):
        await until(lambda: len(bench.events()) >= 6)
    events = bench.events()
    assert len({event["event.id"] for event in events}) == 3
    assert events[0]["log.source.address"] == "[2001:db8::1]:514"


async def test_more_than_the_limit_is_counted(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.intake._LAST_TRY_SECONDS", 0.1)
    bench = make_bench(limit_bytes=_BUS_BYTES, limits={"udp_buffer_mb": 1})
    async with _open(bench) as (listening, intake, udp):
        await _hold(intake, udp)
        sent = 0
        while not bench.ledger("syslog").get("udp_buffer_full"):
            for _ in range(50):
                udp.send(b"<13>" + _noise(sent))
                sent += 1
            await asyncio.sleep(0.01)
        await until(lambda: listening.buffered() + bench.ledger("syslog")["udp_buffer_full"] == sent)
        held = listening.buffered()
    assert 1_000_000 / 900 < held < 3_000_000 / 900
    _empty(bench)
    bench.stage.stopping.clear()
    async with _open(bench) as (listening, _, _udp):
        await until(lambda: not listening.buffered())
    ledger = bench.ledger("syslog")
    assert ledger["in"] == sent + 1
    assert ledger["out"] == held


def _noise(number: int) -> bytes:
    """900 bytes that do not compress."""
    return b"".join(b"%x" % hash((number, part)) for part in range(60))[:900].ljust(900, b"x")


async def test_a_flood_is_read_before_it_is_decoded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_MOST_WAITING", 50)
    async with _open(bench) as (listening, _, udp):
        for number in range(3000):
            udp.send(b"<13>flood %d" % number)
            if number % 200 == 199:
                await asyncio.sleep(0)
        waited = await until(listening.buffered)
        await until(lambda: not listening.buffered() and len(bench.events()) == 3000)
    assert waited > 0
    assert {event["message"] for event in bench.events()} == {f"flood {number}" for number in range(3000)}
    assert bench.ledger("syslog") == {"in": 3000, "out": 3000}


def test_a_disk_that_takes_nothing_refuses_the_batch_whole(tmp_path: Path) -> None:
    buffer = DatagramBuffer(tmp_path, "syslog", 10_000_000)
    some = [Datagram(1, number, "192.0.2.1", 514, _noise(number)) for number in range(500)]
    buffer.put(1, some)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        with pytest.raises(Refused, match="udp_buffer_unwritable"):
            buffer.put(1, some * 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert buffer.held == 500
    buffer.put(1, some[:1])
    first: Any = buffer.first()
    assert first.datagrams == some


def test_a_large_file_is_deleted_when_it_is_empty(tmp_path: Path) -> None:
    buffer = DatagramBuffer(tmp_path, "syslog", 100_000_000)
    for round_ in range(12):
        buffer.put(1, [Datagram(1, n, "192.0.2.1", 514, _noise(n + 2000 * round_)) for n in range(2000)])
    while batch := buffer.first():
        buffer.done(batch)
    assert not list(tmp_path.iterdir())
    buffer.put(2, [Datagram(1, 1, "192.0.2.1", 514, b"x")])
    buffer.close()
    assert DatagramBuffer(tmp_path, "syslog", 100_000_000).held == 1


async def test_a_batch_that_the_disk_has_damaged_is_counted_and_the_next_goes_on(bench: Bench) -> None:
    folder = bench.settings.data_dir / "datagrams"
    buffer = DatagramBuffer(folder, "syslog", 1_000_000)
    for number, word in enumerate((b"damaged", b"whole")):
        buffer.put(1, [Datagram(1_790_000_000_000_000_000, number * 3 + n, "192.0.2.1", 514, word) for n in range(3)])
    buffer.close()
    with closing(sqlite3.connect(folder / "syslog.db")) as database, database:
        database.execute("UPDATE frames SET payload = x'00010203' WHERE offset = 1")
    async with _open(bench) as (listening, _, _udp):
        await until(lambda: not listening.buffered())
    assert {event["message"] for event in bench.events()} == {"whole"}
    assert bench.ledger("syslog") == {"in": 6, "out": 3, "udp_buffer_damaged": 3}


async def test_a_disk_that_is_full_while_batches_are_forgotten_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "_RETRY_SECONDS", 0.1)
    buffer = DatagramBuffer(bench.settings.data_dir / "datagrams", "syslog", 50_000_000)
    for start in range(0, 4000, 1000):
        buffer.put(1, [Datagram(1, n, "192.0.2.1", 514, _noise(n)) for n in range(start, start + 1000)])
    buffer.close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with _open(bench) as (listening, _, _udp):
        await until(bench.events)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        await asyncio.sleep(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await until(lambda: not listening.buffered(), 20)
        assert listening.failures == {}
    assert len({event["event.id"] for event in bench.events()}) == 4000


def test_what_a_source_left_that_is_no_more_is_said(bench: Bench) -> None:
    folder = bench.settings.data_dir / "datagrams"
    for name in ("gone", "empty", "syslog"):
        buffer = DatagramBuffer(folder, name, 1_000_000)
        buffer.put(1, [Datagram(1, 1, "192.0.2.1", 514, b"x")] * 3)
        if name == "empty" and (batch := buffer.first()):
            buffer.done(batch)
        buffer.close()
    (folder / "broken.db").write_bytes(b"no database at all" * 1000)
    broken, gone = collect._left_behind(bench.settings)
    assert (broken.source, gone.source) == ("broken", "gone")
    assert "datagrams/gone.db" in gone.failures["udp gone"]


async def test_a_damaged_file_closes_its_source_with_the_reason(bench: Bench) -> None:
    folder = bench.settings.data_dir / "datagrams"
    folder.mkdir(parents=True)
    (folder / "syslog.db").write_bytes(b"no database at all" * 1000)
    async with bench.intake() as intake:
        source = SyslogSource(host="127.0.0.1", udp_port=0)
        listening = await collect._open(source, bench.stage, intake)
        assert "not a database" in listening.failures["syslog"]
        await listening.close()

"""Sockets of this machine, as Suricata writes EVE to them: streams and datagrams, held writers, sockets that were left."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from collectors import unix_socket
from collectors.canary import Sender
from collectors.intake import Intake
from collectors.listening import Listening
from pipeline.bus import EVENTS
from pipeline.frame import pack
from pipeline.settings import Canary, UnixSource
from tests.collectors.conftest import Bench, until

pytestmark = pytest.mark.anyio

_BUS_BYTES = 3_000_000
_FILLING = list(pack("other", [b"%d" % hash(str(number)) for number in range(400_000)]))


def _eve(number: int, **more: Any) -> bytes:
    record = {
        "timestamp": "2026-11-24T05:17:44.123456+0700", "flow_id": number, "event_type": "dns", "src_ip": "10.0.0.5", "src_port": 40_000,
        "dest_ip": "10.0.0.1", "dest_port": 53, "proto": "UDP", "dns": {"type": "query", "id": 1, "rrname": "a.example", "rrtype": "A"},
    }  # fmt: skip
    return orjson.dumps({**record, **more})


@asynccontextmanager
async def _open(bench: Bench, path: Path, kind: str) -> AsyncIterator[tuple[Listening, Intake, socket.socket]]:
    async with bench.intake() as intake:
        listening = await unix_socket.listen(UnixSource(name="eve", path=path, type=kind), bench.settings, intake)
        writer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
        try:
            assert not listening.failures
            writer.connect(str(path))
            writer.setblocking(False)
            yield listening, intake, writer
        finally:
            writer.close()
            await listening.close()


@pytest.mark.parametrize("kind", ["stream", "datagram"])
async def test_lines_become_events(bench: Bench, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "eve.sock"
    async with _open(bench, path, kind) as (listening, _, writer):
        assert listening.places == [f"unix {path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        for number in range(20):
            writer.send(_eve(number) + b"\n")
            await asyncio.sleep(0.005)  # the kernel holds ten datagrams
        writer.send(_eve(20, stats={"x": "y" * 150_000}) + b"\n")
        writer.send(b"kh\xc3\xb4ng ph\xe1\xba\xa3i JSON\n")
        await until(lambda: len(bench.events()) == 22)
    events = bench.events()
    assert [event["flow.id"] for event in events[:21]] == [str(number) for number in range(21)]
    assert {event["event.dataset"] for event in events[:21]} == {"suricata.dns"}
    assert events[21]["event.original"] == "không phải JSON"
    assert len({event["event.id"] for event in events}) == 22
    assert bench.ledger("eve") == {"in": 22, "out": 22}


async def test_the_end_of_a_stream_ends_its_last_line_and_writers_come_and_go(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "eve.sock"
    async with _open(bench, path, "stream") as (_, _intake, writer):
        writer.send(_eve(1)[:30])
        writer.send(_eve(1)[30:])
        writer.close()
        await until(bench.events)
        for _number in range(5):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                other.connect(str(path))
                other.send(_eve(2) + b"\n")
        await until(lambda: len(bench.events()) == 6)
    assert len({event["event.id"] for event in bench.events()}) == 6


@pytest.mark.parametrize("kind", ["stream", "datagram"])
async def test_a_writer_is_held_while_the_pipeline_cannot_follow(
    make_bench: Callable[..., Bench], tmp_path: Path, kind: str
) -> None:
    bench = make_bench(limit_bytes=_BUS_BYTES)
    async with _open(bench, tmp_path / "eve.sock", kind) as (_, intake, writer):
        intake.stage.bus.publish(EVENTS, _FILLING)
        writer.send(_eve(0) + b"\n")
        await until(lambda: not intake.room)
        sent = 1
        with pytest.raises(BlockingIOError):
            while sent < 200_000:
                sent += 1
                writer.send(_eve(sent, x="y" * 2000) + b"\n")
                await asyncio.sleep(0)
        bench.stage.bus.trim(EVENTS, bench.stage.bus.ends(EVENTS))
        await until(lambda: len(bench.events()) >= sent - 2, 30)
    assert not any("error.message" in event for event in bench.events()[:-1])


async def test_a_socket_that_was_left_is_replaced_and_one_in_use_is_not(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "eve.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    async with _open(bench, path, "stream") as (_, intake, _writer):
        second = await unix_socket.listen(UnixSource(name="b", path=path), bench.settings, intake)
        assert "another program listens" in second.failures[f"unix {path}"]
        await second.close()
        nowhere = UnixSource(name="c", path=tmp_path / "no" / "x.sock")
        third = await unix_socket.listen(nowhere, bench.settings, intake)
        assert third.failures
        await third.close()


@pytest.mark.parametrize("kind", ["stream", "datagram"])
async def test_its_canary_comes_through(make_bench: Callable[..., Bench], tmp_path: Path, kind: str) -> None:
    source = UnixSource(name="eve", path=tmp_path / "eve.sock", type=kind)
    bench = make_bench(canary=Canary(minutes=0.001), sources=[source])
    async with bench.intake() as intake:
        listening = await unix_socket.listen(source, bench.settings, intake)
        sender = asyncio.create_task(Sender(bench.stage, intake.canaries, [listening]).run())
        try:
            await until(bench.events)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await listening.close()
    assert bench.events()[0]["labels.source"] == "haidang.canary"

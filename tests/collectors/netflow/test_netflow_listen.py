"""A source of NetFlow on a real socket: events, the ledger, restarts, what waits on the disk, its canary."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from collectors import collect, datagrams
from collectors.canary import Sender
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.netflow import listen as netflow
from pipeline.settings import Canary, NetflowSource
from tests.collectors.conftest import Bench, until
from tests.collectors.netflow.crafted import USUAL, part, template, v5, v9, values

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _open(bench: Bench, **more: Any) -> AsyncIterator[tuple[Listening, Intake, socket.socket]]:
    source = NetflowSource(host="127.0.0.1", port=0, **{"pair_seconds": 0, **more})
    async with bench.intake() as intake:
        listening = await netflow.listen(source, bench.settings, intake)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", int(listening.places[0].rpartition(":")[2])))
            try:
                yield listening, intake, udp
            finally:
                await listening.close()


async def test_datagrams_become_events_with_ids_of_their_content(bench: Bench) -> None:
    async with _open(bench) as (listening, _, udp):
        assert listening.places[0].startswith("netflow 127.0.0.1:")
        for datagram in (v5({}, {"dport": 80}), v5({}, {"dport": 80}), v5({}, sequence=2)):
            udp.send(datagram)
        await until(lambda: len(bench.events()) >= 5)
    events = bench.events()
    assert [event["destination.port"] for event in events] == [443, 80, 443, 80, 443]
    assert len({event["event.id"] for event in events}) == 3  # a datagram that the network has doubled is one
    assert events[0]["labels.source"] == "netflow"
    assert events[0]["netflow.exporter"] == "127.0.0.1"
    assert bench.ledger("netflow") == {"in": 5, "out": 5}


async def test_templates_are_known_after_a_restart(bench: Bench) -> None:
    async with _open(bench) as (_, _intake, udp):
        udp.send(v9(part(0, template(256, *USUAL))))
        await asyncio.sleep(0.1)
    bench.stage.stopping.clear()
    async with _open(bench) as (_, _intake, udp):
        udp.send(v9(part(256, values()), sequence=1))
        await until(bench.events)
    file = bench.settings.data_dir / "netflow" / "netflow.json"
    for content in (
        b"[",
        b"{}",
        b'[{"domain": 1}]',
        b'[{"domain": ["a", 9, 1], "fields": [[0, 8, 0]], "options": 0, "number": 1, "seen": 0}]',
    ):
        file.write_bytes(content)
        bench.stage.stopping.clear()
        async with _open(bench) as (_, _intake, udp):  # what cannot be read costs the templates only
            udp.send(v5({}))
            await asyncio.sleep(0.05)


async def test_losses_are_in_the_ledger_by_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.netflow.exporters.LATE_SECONDS", 0.1)
    monkeypatch.setattr(netflow, "_TELL_SECONDS", 0.1)
    async with _open(bench, wait_minutes=0.005) as (_, _intake, udp):
        udp.send(b"rubbish")
        udp.send(v5({}, sequence=0))
        udp.send(v5({}, sequence=8))
        udp.send(v9(part(256, values()), domain=9))
        await until(lambda: len(bench.ledger("netflow")) == 5)
    assert bench.ledger("netflow") == {
        "in": 11,
        "out": 2,
        "netflow_malformed": 1,
        "netflow_lost": 7,
        "netflow_no_template": 1,
    }


async def test_flows_wait_for_their_other_direction_and_leave_at_the_end(bench: Bench) -> None:
    async with _open(bench, pair_seconds=0.6) as (_, _intake, udp):
        udp.send(v5({}))
        udp.send(v5({"src": "203.0.113.9", "dst": "10.0.0.5", "sport": 443, "dport": 40_000}, sequence=1))
        udp.send(v5({"dport": 80}, sequence=2))
        await until(lambda: len(bench.events()) == 2)
        udp.send(v5({"dport": 81}, sequence=3))
    events = {event["destination.port"]: event for event in bench.events()}
    assert events.keys() == {443, 80, 81}
    assert events[443]["network.packets"] == 10
    assert events[443]["flow.state"] == "SF"


async def test_what_waits_on_the_disk_is_decoded_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_MOST_WAITING", 50)
    async with _open(bench) as (listening, _, udp):
        for number in range(2000):
            udp.send(v5({"sport": number}, sequence=number))
            if number % 200 == 199:
                await asyncio.sleep(0)
        waited = await until(listening.buffered)
        await until(lambda: not listening.buffered() and len(bench.events()) == 2000)
    assert waited > 0
    assert bench.ledger("netflow") == {"in": 2000, "out": 2000}  # the order had changed, and nothing was lost
    assert {event["source.port"] for event in bench.events()} == set(range(2000))


async def test_a_port_in_use_is_told(bench: Bench) -> None:
    async with _open(bench) as (listening, intake, _):
        port = int(listening.places[0].rpartition(":")[2])
        second = await netflow.listen(NetflowSource(name="b", host="127.0.0.1", port=port), bench.settings, intake)
        assert "in use" in second.failures[f"netflow 127.0.0.1:{port}"]
        await second.close()


async def test_its_canary_comes_through(make_bench: Callable[..., Bench]) -> None:
    source = NetflowSource(host="127.0.0.1", port=0)
    bench = make_bench(canary=Canary(minutes=0.001), sources=[source])
    async with bench.intake() as intake:
        listening = await netflow.listen(source, bench.settings, intake)
        sender = asyncio.create_task(Sender(bench.stage, intake.canaries, [listening]).run())
        try:
            await until(lambda: intake.canaries.received or bench.events())
            await until(bench.events)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await listening.close()
    assert bench.events()[0]["labels.source"] == "haidang.canary"


async def test_the_stage_opens_it(bench: Bench) -> None:
    async with bench.intake() as intake:
        listening = await collect._open(NetflowSource(host="127.0.0.1", port=0), bench.stage, intake)
        assert listening.places
        assert not listening.failures
        await listening.close()

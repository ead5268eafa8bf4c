"""Real interfaces in a network of their own: what goes over them is seen, and an interface may come and go."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from collectors.listening import Listening
from collectors.network import listen as network
from pipeline.settings import NetworkSource
from tests.collectors.conftest import Bench, until
from tests.services.wire import Wire, laid

pytestmark = pytest.mark.anyio


@pytest.fixture
def wire() -> Iterator[Wire]:
    with laid(Wire()) as made:
        yield made


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"xin chao " * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def page(wire: Wire) -> Iterator[str]:
    """A web server at our end; its address."""
    wire.plug()
    with HTTPServer((wire.ours, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{wire.ours}:{server.server_port}/trang?q=1"
        server.shutdown()


@asynccontextmanager
async def watching(bench: Bench, wire: Wire, **more: Any) -> AsyncIterator[Listening]:
    source = NetworkSource(name="mirror", interfaces=[wire.name], ring_mb=4, **more)
    async with bench.intake() as intake:
        listening = await network.listen(source, bench.settings, intake)
        try:
            yield listening
        finally:
            await listening.close()


def of(bench: Bench, dataset: str) -> list[dict[str, Any]]:
    return [event for event in bench.events() if event["event.dataset"] == dataset]


async def test_what_goes_over_a_wire_becomes_events(bench: Bench, wire: Wire, page: str) -> None:
    async with watching(bench, wire) as listening:
        await until(lambda: listening.places)
        assert wire.fetch(page).startswith("xin chao")
        (asked,) = await until(lambda: of(bench, "network.http"))
        (flow,) = await until(
            lambda: [each for each in of(bench, "network.flow") if each["network.transport"] == "tcp"]
        )
    assert (asked["url.path"], asked["http.response.status_code"]) == ("/trang", 200)
    assert (flow["source.ip"], flow["destination.ip"], flow["flow.state"]) == (wire.theirs, wire.ours, "SF")
    assert flow["flow.payload.destination"] > 9000
    assert flow["flow.id"] == asked["flow.id"]
    assert flow["observer.ingress.interface.name"] == wire.name
    assert flow["network.protocol"] == "http"
    assert any(event["arp.operation"] == "reply" for event in of(bench, "network.arp"))
    ledger = bench.ledger("mirror")
    assert ledger["in"] == ledger["out"] == len(bench.events())


async def test_an_interface_may_come_and_go(bench: Bench, wire: Wire) -> None:
    async with watching(bench, wire) as listening:
        (reason,) = await until(lambda: list(listening.failures.values()))
        assert wire.name in reason
        wire.plug()
        await until(lambda: not listening.failures and listening.places)
        wire.unplug()
        await until(lambda: listening.failures)
        wire.plug()
        await until(lambda: not listening.failures)
        with HTTPServer((wire.ours, 0), Page) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            wire.fetch(f"http://{wire.ours}:{server.server_port}/again")
            server.shutdown()
        await until(lambda: of(bench, "network.http"))


async def test_what_was_going_on_is_told_at_the_end(bench: Bench, wire: Wire, page: str) -> None:
    async with watching(bench, wire) as listening:
        await until(lambda: listening.places)
        with urlopen(page.replace(wire.ours, wire.ours), timeout=5):
            pass  # our own, over the loopback: not seen
        wire.fetch(page)
    flows = [each for each in of(bench, "network.flow") if each["network.transport"] == "tcp"]
    assert len(flows) == 1


async def test_packet_rules_are_asked_and_changed_while_packets_come(
    bench: Bench, wire: Wire, page: str, tmp_path: Path
) -> None:
    rules = tmp_path / "own.rules"
    rules.write_text(
        'alert http any any -> any any (msg:"Page"; flow:to_server; http.uri; content:"/trang"; sid:1;)\n'
        "alert tcp any any -> any any (lua:x; sid:2;)\n"
    )
    async with watching(bench, wire, rules=[rules]) as listening:
        await until(lambda: listening.places)
        assert (listening.packet_rules["loaded"], listening.packet_rules["refused"]) == (1, 1)
        wire.fetch(page)
        (first,) = await until(lambda: of(bench, "network.alert"))
        rules.write_text(
            'alert http any any -> any any (msg:"Answer"; file.data; content:"xin chao"; startswith; sid:3;)\n'
        )
        await until(lambda: not listening.packet_rules["refused"])
        wire.fetch(page)
        found = await until(lambda: of(bench, "network.alert")[1:])
    assert (first["rule.name"], first["source.ip"], first["labels.source"]) == ("Page", wire.theirs, "mirror")
    assert [event["rule.name"] for event in found] == ["Answer"]


_SAY = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'xin chao', (sys.argv[1], 9))"


async def test_a_filter_passes_over_what_it_does_not_take(bench: Bench, wire: Wire, page: str) -> None:
    source = NetworkSource(name="mirror", interfaces=[wire.name], ring_mb=4, evidence_mb=0, filter="udp port 9")
    async with bench.intake() as intake:
        listening = await network.listen(source, bench.settings, intake)
        await until(lambda: listening.places)
        wire.fetch(page)
        await asyncio.to_thread(subprocess.run, wire.there(sys.executable, "-c", _SAY, wire.ours), check=True)
        await listening.close()
    assert {(each["network.transport"], each["destination.port"]) for each in bench.events()} == {("udp", 9)}


@pytest.mark.parametrize("written", ["tcp prot 80", "host nowhere.invalid", "x" * 1999])
async def test_what_is_no_filter_is_said(bench: Bench, wire: Wire, written: str) -> None:
    wire.plug()
    source = NetworkSource(name="mirror", interfaces=[wire.name], filter=written)
    async with bench.intake() as intake:
        listening = await network.listen(source, bench.settings, intake)
        assert written[:20] in listening.failures["mirror"]
        assert not listening.places
        await listening.close()


async def test_two_that_share_an_interface_see_each_connection_once(bench: Bench, wire: Wire, page: str) -> None:
    source = NetworkSource(name="mirror", interfaces=[wire.name], ring_mb=4, evidence_mb=0, fanout=77)
    async with bench.intake() as intake:
        both = [await network.listen(source, bench.settings, intake) for _ in range(2)]
        await until(lambda: all(each.places for each in both))
        for _ in range(8):
            await asyncio.to_thread(wire.fetch, page)
        for each in both:
            await each.close()
    flows = [each for each in of(bench, "network.flow") if each["network.transport"] == "tcp"]
    assert len(flows) == len({each["flow.id"] for each in flows}) == 8
    assert {each["flow.state"] for each in flows} == {"SF"}

"""Syslog over real sockets: datagrams, streams and TLS; slow, broken and too many senders disturb nobody."""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from collectors import syslog
from collectors.datagrams import KernelDrops, kernel_drops
from collectors.intake import Intake
from collectors.listening import Listening
from pipeline.bus import EVENTS
from pipeline.settings import SyslogSource, Tls
from tests.collectors.conftest import Bench, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _listening(bench: Bench, **more: Any) -> AsyncIterator[tuple[Listening, Intake]]:
    ports = {"udp_port": 0, "tcp_port": 0, "tls_port": 0}
    async with bench.intake() as intake:
        listening = await syslog.listen(SyslogSource(host="127.0.0.1", **ports | more), bench.settings, intake)
        try:
            yield listening, intake
        finally:
            await listening.close()


def _is_full(bench: Bench, limit_bytes: int) -> bool:
    """Whether the bus takes no more. What was sent may come to it in several frames: the last of them waits already."""
    return bench.stage.bus.backlog(EVENTS, {})[1] > limit_bytes


def _port(listening: Listening, kind: str) -> int:
    return next(int(place.rpartition(":")[2]) for place in listening.places if place.startswith(f"{kind} "))


def _connect(listening: Listening, kind: str = "tcp") -> socket.socket:
    return socket.create_connection(("127.0.0.1", _port(listening, kind)), timeout=30)


async def _connect_tls(listening: Listening, trusting: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    plain = _connect(listening, "tls")
    return await asyncio.to_thread(trusting.wrap_socket, plain, server_hostname=name)


def _trusting(bench: Bench) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(bench.settings.data_dir / "tls" / "certificate.pem"))


def _messages(bench: Bench) -> list[str]:
    return [event.get("message", "") for event in bench.events()]


async def test_a_datagram_is_an_event_with_its_sender(bench: Bench) -> None:
    async with _listening(bench) as (listening, intake):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", _port(listening, "udp")))
            udp.send("<38>Nov 24 12:00:00 may-chu sshd[7]: Đăng nhập".encode())
            udp.send(b"\n\0")
            udp.send(b"<38>" + b"x" * 60_000)
            sender = "{}:{}".format(*udp.getsockname())
            await until(lambda: intake.taken == 2)
    event, long = bench.events()
    assert (event["message"], event["host.name"], event["log.source.address"]) == ("Đăng nhập", "may-chu", sender)
    assert event["labels.source"] == "syslog"
    assert long["message"] == "x" * 60_000
    assert bench.ledger("syslog") == {"in": 2, "out": 2}


async def test_a_datagram_longer_than_the_limit_says_that_it_was_cut(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits={"decode_bytes": 1000})
    async with _listening(bench) as (listening, intake):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"<38>" + b"x" * 2000, ("127.0.0.1", _port(listening, "udp")))
        writer = _connect(listening)
        writer.sendall(b"<38>" + b"y" * 996 + b"\n<38>" + b"z" * 997 + b"\n")
        await until(lambda: intake.taken == 3)
        writer.close()
    cut = {event["message"][0]: event.get("error.message") for event in bench.events()}
    assert cut == {"x": "message longer than 1000 bytes; the rest was left out", "y": None, "z": cut["x"]}


async def test_what_lies_in_the_kernel_is_read_before_the_end(bench: Bench) -> None:
    async with _listening(bench) as (listening, _):
        writer = _connect(listening)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for number in range(500):
                udp.sendto(b"<13>datagram %d" % number, ("127.0.0.1", _port(listening, "udp")))
        writer.sendall(b"".join(b"<13>line %d\n" % number for number in range(500)) + b"<13>without end")
    writer.close()
    assert len(_messages(bench)) == 1001
    assert "without end" in _messages(bench)


async def test_tls_takes_messages_and_half_a_handshake_disturbs_nobody(bench: Bench) -> None:
    async with _listening(bench) as (listening, intake):
        silent = _connect(listening, "tls")
        half = _connect(listening, "tls")
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        noise = _connect(listening, "tls")
        noise.sendall(b"<13>no TLS at all\n" * 10)
        gone = _connect(listening, "tls")
        gone.sendall(b"\x16\x03")
        gone.close()
        good = await _connect_tls(listening, _trusting(bench))
        good.sendall(b"18 <13>counted in TLS<13>line in TLS\n")
        await until(lambda: intake.taken == 2)
        for writer in (silent, half, noise, good):
            writer.close()
    assert _messages(bench) == ["counted in TLS", "line in TLS"]


async def test_tls_1_2_is_still_spoken(bench: Bench) -> None:
    async with _listening(bench) as (listening, _):
        old = _trusting(bench)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        writer = await _connect_tls(listening, old)
        assert writer.version() == "TLSv1.2"
        writer.close()


async def test_a_certificate_of_the_settings_is_used(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("log.example.vn")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "c.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "k.pem"))
    bench = make_bench(tls=Tls(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem"))
    async with _listening(bench) as (listening, intake):
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        writer = await _connect_tls(listening, trusting, "log.example.vn")
        writer.sendall(b"<13>trusted\n")
        await until(lambda: intake.taken == 1)
        writer.close()


async def test_a_bad_certificate_closes_the_tls_port_only(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    bench = make_bench(tls=Tls(certificate=tmp_path / "missing.pem", key=tmp_path / "missing.key"))
    async with _listening(bench) as (listening, intake):
        assert [place.split()[0] for place in listening.places] == ["udp", "tcp"]
        [(place, why)] = listening.failures.items()
        assert place == "tls 127.0.0.1:0"
        assert "missing.pem" in why
        writer = _connect(listening)
        writer.sendall(b"<13>still here\n")
        await until(lambda: intake.taken == 1)
        writer.close()


async def test_a_port_in_use_is_told_and_touches_no_other(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with _listening(bench, tcp_port=taken.getsockname()[1]) as (listening, _):
            assert {place.split()[0] for place in listening.places} == {"udp", "tls"}
            assert "in use" in listening.failures[f"tcp 127.0.0.1:{taken.getsockname()[1]}"]


async def test_connections_beyond_the_limit_are_refused_and_the_others_live(bench: Bench, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    async with _listening(bench, max_connections=3) as (listening, intake):
        kept = [_connect(listening) for _ in range(3)]
        for writer in kept:
            writer.sendall(b"<13>kept\n")
        await until(lambda: intake.taken == 3)
        for _ in range(5):
            writer = _connect(listening)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.to_thread(writer.recv, 1) == b""
            writer.close()
        kept.pop().close()

        while intake.taken == 3:
            with contextlib.suppress(ConnectionError):
                writer = _connect(listening)
                writer.sendall(b"<13>later\n")
            await asyncio.sleep(0.05)
            writer.close()
        for writer in kept:
            writer.close()


async def test_many_slow_senders_cost_nothing_to_a_fast_one(bench: Bench) -> None:
    async with _listening(bench) as (listening, intake):
        slow = [_connect(listening) for _ in range(100)]
        for writer in slow:
            writer.sendall(b"<13>half a mess")
        fast = _connect(listening)
        fast.sendall(b"<13>whole\n" * 1000)
        await until(lambda: intake.taken == 1000)
        for writer in slow:
            writer.sendall(b"age\n")
        await until(lambda: intake.taken == 1100)
        for writer in (*slow, fast):
            writer.close()
    assert _messages(bench).count("half a message") == 100


async def test_streams_are_held_while_the_bus_is_full_and_datagrams_wait_on_the_disk(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limit_bytes=50_000)
    async with _listening(bench) as (listening, intake):
        writer = _connect(listening)
        sent = 60_000
        lines = [
            b"<13>line %d that hardly compresses %x\n" % (n, random.Random(n).getrandbits(200)) for n in range(sent)
        ]
        writer.sendall(b"".join(lines[:2000]))
        await until(lambda: _is_full(bench, 50_000))
        sending = asyncio.create_task(asyncio.to_thread(writer.sendall, b"".join(lines[2000:])))
        await until(lambda: not intake.room)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for number in range(5):
                udp.sendto(b"<13>waits %d" % number, ("127.0.0.1", _port(listening, "udp")))
            await until(lambda: listening.buffered() == 5)
        taken = intake.taken
        assert taken < sent
        durable = None
        while durable is None or not durable.done():
            bench.stage.bus.trim(EVENTS, bench.stage.bus.ends(EVENTS))
            await asyncio.sleep(0.05)
            if durable is None and intake.taken == sent + 5:
                durable = asyncio.create_task(intake.durable())
        await sending
        writer.close()
        await until(lambda: not listening.buffered())
    assert bench.ledger("syslog") == {"in": sent + 5, "out": sent + 5}


async def test_datagrams_that_the_kernel_threw_away_are_counted(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5000)
        full.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(200):
                udp.sendto(b"x" * 1000, full.getsockname())
        drops = kernel_drops(full)
        assert 150 < drops < 200
        async with bench.intake() as intake:
            counter = KernelDrops(full, "syslog", intake)
            counter.count()
            counter.count()
    assert bench.ledger("syslog") == {"in": drops, "kernel_buffer_full": drops}


async def test_binary_noise_is_kept_as_it_came(bench: Bench) -> None:
    noise = bytes(range(1, 10)) * 30
    async with _listening(bench) as (listening, intake):
        writer = _connect(listening)
        writer.sendall(noise + b"\n<13>after\n")
        await until(lambda: intake.taken == 2)
        writer.close()
    first, second = bench.events()
    assert (first["event.kind"], second["message"]) == ("pipeline_error", "after")


async def test_a_connection_that_is_opened_while_intake_is_held_is_held_too(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limit_bytes=10_000)
    async with _listening(bench) as (listening, intake):
        first = _connect(listening)
        first.sendall(b"".join(b"<13>%d %x\n" % (n, random.Random(n).getrandbits(400)) for n in range(500)))
        await until(lambda: _is_full(bench, 10_000))
        first.sendall(b"<13>the one that finds the bus full\n")
        await until(lambda: not intake.room)
        for kind in ("tcp", "tls"):
            late = _connect(listening) if kind == "tcp" else await _connect_tls(listening, _trusting(bench))
            late.settimeout(1)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(late.sendall, b"<13>does anybody listen?\n" * 2_000_000)
            late.close()
        assert intake.taken < 30_000
        opened = asyncio.Event()
        intake.when_open(opened.set)  # not `room`: what was held comes at once, and may fill it before anybody looks
        bench.stage.bus.trim(EVENTS, bench.stage.bus.ends(EVENTS))
        await asyncio.wait_for(opened.wait(), 10)
        first.close()

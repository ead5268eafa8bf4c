"""HTTP over real sockets: httpx as the sender, plain sockets for what no good sender does."""

import asyncio
import gzip
import json
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard
from pydantic import SecretStr

from collectors import http
from collectors.intake import Intake
from pipeline import access
from pipeline.bus import EVENTS
from pipeline.event import MAX_EVENT_BYTES
from pipeline.settings import HttpSource, State
from pipeline.state import open_state
from tests.collectors.conftest import Bench, until
from tests.services.postgres import running as running_postgres

pytestmark = pytest.mark.anyio
_TIMED = {"@timestamp": "2026-11-24T05:17:44Z", "message": "đăng nhập"}


class Sender:
    def __init__(self, client: httpx.AsyncClient, intake: Intake, port: int, token: str) -> None:
        self.client, self.intake, self.port, self.token = client, intake, port, token

    async def post(self, body: bytes, encoding: str = "", token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        if encoding:
            headers["Content-Encoding"] = encoding
        return await self.client.post("/v1/events", content=body, headers=headers)


@asynccontextmanager
async def _listening(bench: Bench, **more: Any) -> AsyncIterator[Sender]:
    source = HttpSource(host="127.0.0.1", port=0, **more)
    async with bench.intake() as intake:
        listening = await http.listen(source, bench.settings, intake)
        assert listening.places, listening.failures
        scheme, _, address = listening.places[0].partition(" ")
        with bench.stage.engine.begin() as connection:
            token = access.create_token(connection, "gate", access.SOURCE)
        trusting = ssl.create_default_context()
        if source.tls:
            trusting.load_verify_locations(bench.settings.data_dir / "tls" / "certificate.pem")
        try:
            async with httpx.AsyncClient(base_url=f"{scheme}://{address}", verify=trusting, timeout=60) as client:
                yield Sender(client, intake, int(address.rpartition(":")[2]), token)
        finally:
            await listening.close()


def _json_lines(*items: Any) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


async def test_a_token_for_a_source_is_needed(bench: Bench) -> None:
    async with _listening(bench) as sender:
        with bench.stage.engine.begin() as connection:
            reader = access.create_token(connection, "reader", access.API, "viewer")
        for wrong in ("-", "hd_wrong", reader, "x" * 5000):
            answer = await sender.post(_json_lines(_TIMED), token=wrong)
            assert answer.status_code == 401
            assert "haidang token create" in answer.json()["error"]
        assert (await sender.client.post("/v1/events", content=b"{}")).status_code == 401
        assert (await sender.post(_json_lines(_TIMED))).json() == {"accepted": 1, "unreadable": 0}
    [event] = bench.events()
    assert (event["labels.source"], event["message"]) == ("gate", "đăng nhập")
    assert bench.ledger("gate") == {"in": 1, "out": 1}


async def test_a_revoked_token_stops_working(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_REMEMBER_SECONDS", 0.0)
    async with _listening(bench) as sender:
        assert (await sender.post(b"{}\n")).status_code == 200
        with bench.stage.engine.begin() as connection:
            access.revoke_token(connection, "gate")
        assert (await sender.post(b"{}\n")).status_code == 401


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_each_content_encoding_is_unpacked(bench: Bench, encoding: str, packed: Callable[[bytes], bytes]) -> None:
    async with _listening(bench) as sender:
        answer = await sender.post(packed(_json_lines(*({**_TIMED, "n": n} for n in range(1000)))), encoding)
        assert answer.json()["accepted"] == 1000
    assert len({event["event.id"] for event in bench.events()}) == 1000


async def test_an_array_of_objects_and_lines_of_text_are_taken(bench: Bench) -> None:
    async with _listening(bench) as sender:
        assert (await sender.post(json.dumps([{"n": 1}, {"n": 2}], indent=2).encode())).json()["accepted"] == 2
        assert (await sender.post(b'\xef\xbb\xbf [ {"n": 3} ] ')).json()["accepted"] == 1
        assert (await sender.post(b"[]")).json()["accepted"] == 0
        text = "[2026-11-24 12:00:00] lỗi một\n[error] hai\n\nba".encode()
        assert (await sender.post(text)).json() == {"accepted": 3, "unreadable": 0}
        assert (await sender.post(b"")).json()["accepted"] == 0
        assert (await sender.post(b"[")).json()["accepted"] == 1
        broken = await sender.post(b'[{"n": 1}, {"n": ')
        assert (broken.status_code, broken.json()["accepted"]) == (400, 0)
    assert len(bench.events()) == 7


async def test_a_broken_line_is_kept_and_listed_and_the_others_are_taken(bench: Bench) -> None:
    async with _listening(bench) as sender:
        answer = await sender.post(_json_lines(_TIMED) + b'{"broken": \n' + b"\xff\xfe{\x00\n" + _json_lines({"n": 2}))
        body = answer.json()
        assert (answer.status_code, body["accepted"], body["unreadable"]) == (200, 4, 1)
        assert body["unreadable_lines"][0]["line"] == 2
    broken = bench.events()[1]
    assert broken["event.original"] == '{"broken": '
    assert "no JSON object" in broken["error.message"]


async def test_a_request_sent_twice_gives_the_same_ids(bench: Bench) -> None:
    body = _json_lines(_TIMED, _TIMED, {**_TIMED, "n": 1})
    async with _listening(bench) as sender:
        await sender.post(body)
        await sender.post(gzip.compress(body), "gzip")
    ids = [event["event.id"] for event in bench.events()]
    assert len(ids) == 6
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_is_refused(bench: Bench, encoding: str) -> None:
    bomb = gzip.compress(bytes(200_000_000), 1) if encoding == "gzip" else zstandard.compress(bytes(200_000_000))
    async with _listening(bench, max_request_bytes=10_000_000) as sender:
        answer = await sender.post(bomb, encoding)
        assert (answer.status_code, "10000000" in answer.json()["error"]) == (413, True)
        assert (await sender.post(b"{}\n")).status_code == 200


async def test_a_stream_that_is_broken_or_unknown_is_refused(bench: Bench) -> None:
    async with _listening(bench) as sender:
        packed = gzip.compress(_json_lines(_TIMED) * 10)
        for body, encoding in ((packed[:-9], "gzip"), (b"plain", "gzip"), (b"plain", "zstd"), (b"{}", "br")):
            answer = await sender.post(body, encoding)
            assert answer.status_code == 400
            assert encoding in answer.json()["error"]


async def test_deep_nesting_and_a_hundred_thousand_names_are_bounded(bench: Bench) -> None:
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    too_deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    wide = json.dumps({f"field{number}": number for number in range(100_000)}).encode()
    async with _listening(bench) as sender:
        answer = await sender.post(b"\n".join((deep, too_deep, wide, b"{}")))
        assert (answer.status_code, answer.json()["accepted"]) == (200, 4)
    for event in bench.events():
        assert len(json.dumps(event)) < 2_000_000


async def test_a_line_without_end_keeps_its_beginning(bench: Bench) -> None:
    async with _listening(bench) as sender:
        assert (await sender.post(b"x" * 30_000_000 + b"\nnext\n")).json()["accepted"] == 2
    long, after = bench.events()
    assert (len(long["event.original"]), after["event.original"]) == (131_072, "next")
    assert "longer than 131072 bytes" in long["error.message"]


async def test_a_json_line_longer_than_an_event_may_be_says_that(bench: Bench) -> None:
    async with _listening(bench) as sender:
        body = (await sender.post(b'{"n": "' + b"x" * MAX_EVENT_BYTES + b'"}\n{"n": 2}\n')).json()
    assert (body["accepted"], body["unreadable"]) == (2, 1)
    assert f"longer than {MAX_EVENT_BYTES} bytes" in body["unreadable_lines"][0]["error"]
    long, after = bench.events()
    assert (long["error.message"], after["n"]) == (body["unreadable_lines"][0]["error"], 2)


async def test_intake_that_is_held_says_429_and_a_request_under_way_waits(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limit_bytes=2000)
    async with _listening(bench) as sender:
        assert (await sender.post(_json_lines(*({"n": n, "x": n**9} for n in range(1000))))).status_code == 200
        waiting = asyncio.create_task(sender.post(_json_lines({"n": "waits"})))
        await until(lambda: not sender.intake.room)
        answer = await sender.post(_json_lines({"n": "later"}))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert not waiting.done()
        bench.stage.bus.trim(EVENTS, bench.stage.bus.ends(EVENTS))
        assert (await waiting).json()["accepted"] == 1
    assert [event["n"] for event in bench.events()] == ["waits"]


async def test_a_client_that_goes_away_half_way_disturbs_nobody(bench: Bench) -> None:
    async with _listening(bench) as sender:
        token = f"Authorization: Bearer {sender.token}"
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\n{token}\r\nContent-Length: 1000\r\n\r\n"
        half = socket.create_connection(("127.0.0.1", sender.port))
        half.sendall(head.encode() + _json_lines({"n": "whole"}) + b'{"n": "ha')
        await until(lambda: sender.intake.taken == 1)
        half.close()
        slow = socket.create_connection(("127.0.0.1", sender.port))
        slow.sendall(b"POST /v1/eve")
        noise = socket.create_connection(("127.0.0.1", sender.port))
        noise.sendall(b"\x16\x03\x01\x00\xff" * 100)
        assert (await sender.post(b"{}\n")).status_code == 200
        slow.close()
        noise.close()
    assert len(bench.events()) == 2


async def test_https_with_the_certificate_of_our_own(bench: Bench) -> None:
    async with _listening(bench, tls=True) as sender:
        assert (await sender.post(_json_lines(_TIMED))).status_code == 200
    assert len(bench.events()) == 1


async def test_a_sender_that_is_known_is_let_in_while_the_state_is_away(
    bench: Bench, services: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_REMEMBER_SECONDS", 0.0)
    with running_postgres(services / "postgres-of-tokens") as server:
        bench.stage.engine.dispose()
        address = SecretStr(server.new_database())
        bench.stage.engine = open_state(bench.settings.data_dir, State(url=address))
        async with _listening(bench) as sender:
            assert (await sender.post(_json_lines(_TIMED))).status_code == 200
            await asyncio.to_thread(server.stop)
            assert (await sender.post(_json_lines(_TIMED))).status_code == 200
            unknown = await sender.post(_json_lines(_TIMED), token="hd_unknown")
            assert (unknown.status_code, unknown.headers["Retry-After"]) == (503, "2")
            await asyncio.to_thread(server.start)
            assert (await sender.post(_json_lines(_TIMED), token="hd_unknown")).status_code == 401

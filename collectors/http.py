"""HTTP: requests of JSON lines enter, events leave, and a sender hears "yes" when they are on the disk.

`POST /v1/events` with a token: JSON lines, a JSON array of objects, or lines of text; gzip, deflate or zstd. 429 means:
wait and send again. The same request sent twice gives the same event ids.
"""

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import uvicorn
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening, reason
from collectors.unpacking import Lines, TooLarge, Unpacker, line_fault
from pipeline import access
from pipeline.event import MAX_EVENT_BYTES
from pipeline.listener import tcp_listener
from pipeline.logs import log
from pipeline.settings import HttpSource, Settings
from pipeline.stage import STATE_AWAY
from pipeline.tls import server_context

#: How long a token's holder is remembered before it is looked up again, in seconds: so long a revoked one still works.
_REMEMBER_SECONDS = 5.0
#: How long it is remembered while the state is away, in seconds: intake goes on without it.
_REMEMBER_AWAY_SECONDS = 3600.0
_RETRY_AFTER_SECONDS = 2
_AGAIN = {"Retry-After": str(_RETRY_AFTER_SECONDS)}
#: Faults of lines that an answer lists; it says how many there are in all.
_LISTED_FAULTS = 10
#: A JSON array must be read whole; a larger request is to be lines.
_MAX_ARRAY_BYTES = 16_000_000
#: Bytes by which a body shows whether it is an array of objects; a line of text may start with `[` too.
_START_BYTES = 1000
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[{\]]")
_UNDECIDED = re.compile(rb"(?:\xef(?:\xbb\xbf?)?)?\s*\[?\s*\Z")
_BOM = b"\xef\xbb\xbf"
#: Lines that are decoded before others have their turn.
_AT_ONCE = 500
_BACKLOG = 512
#: Connections of one source at once; more are told 503.
_MAX_CONNECTIONS = 1000
#: How long requests that are on their way at the end may take, in seconds.
_LAST_REQUESTS_SECONDS = 4


async def listen(source: HttpSource, settings: Settings, intake: Intake) -> Listening:
    """Open the source's port and take in what comes, until `Listening.close`.

    Raises:
        HaidangError: its time zone is unknown, or the certificate cannot be used.
    """
    listening = Listening(source.name)
    endpoint = _Endpoint(source, settings, intake)
    app = Starlette(routes=[Route("/v1/events", endpoint.post, methods=["POST"])])
    config = uvicorn.Config(
        app, host=source.host, port=source.port, log_config=None, access_log=False, lifespan="off", server_header=False,
        timeout_keep_alive=30, h11_max_incomplete_event_size=65_536, limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_REQUESTS_SECONDS,
    )  # fmt: skip
    config.load()
    if source.tls:
        config.ssl = server_context(settings)
    server = _Server(config)
    scheme = "https" if source.tls else "http"
    try:
        opened = tcp_listener(source.host, source.port, _BACKLOG)  # whoever is told that it is open may send
    except OSError as error:
        listening.failed(f"{scheme} {source.host}:{source.port}", reason(error))
        return listening
    listening.opened(f"{scheme} {source.host}:{opened.getsockname()[1]}")
    serving = listening.task(server.serve(sockets=[opened]))

    async def close() -> None:
        server.should_exit = True
        await asyncio.wait([serving])

    listening.on_close(close)
    return listening


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:  # the stage has its own
        yield


class _Endpoint:
    def __init__(self, source: HttpSource, settings: Settings, intake: Intake) -> None:
        self._source, self._settings, self._intake = source, settings, intake
        self._hints = Hints(dataset=source.dataset, timezone=zone(source.timezone))
        self._holders = _Holders(intake.stage.engine)

    async def post(self, request: Request) -> Response:
        """Take one request's events in."""
        try:
            holder = await self._holder(request.headers.get("authorization", ""))
        except STATE_AWAY as error:
            log("http").warning("cannot_look_up", reason=str(error.orig))
            return _answer(503, "tokens cannot be looked up now; send again", _AGAIN)
        if holder is None:
            return _answer(
                401, "a token for a source is needed: `haidang token create NAME`, then `Authorization: Bearer …`"
            )
        if not self._intake.room:
            return _answer(429, "the pipeline holds intake; send again", _AGAIN)
        origin = Origin(
            holder, self._settings.observer, self._settings.organization, self._hints, self._source.encoding
        )
        taking = _Taking(
            origin, self._intake, request.client.host if request.client else "", self._settings.limits.decode_bytes
        )
        encoding = request.headers.get("content-encoding", "").lower().strip()
        try:
            unpacker = Unpacker(encoding, self._source.max_request_bytes)
            async for chunk in request.stream():
                for piece in unpacker.feed(chunk):
                    await taking.piece(piece)
            unpacker.end()
            await taking.end()
        except TooLarge as error:
            return await taking.answer(413, str(error))
        except ClientDisconnect:
            return await taking.answer(400, "the client went away")
        except ValueError as error:
            return await taking.answer(400, str(error))
        return await taking.answer(200, "")

    async def _holder(self, authorization: str) -> str | None:
        if self._intake.canaries.are_let_in(authorization):
            return self._source.name
        return await self._holders.of(authorization)


class _Taking:
    """One request: pieces of its body enter, event lines go to the intake, which holds the request when it is full."""

    def __init__(self, origin: Origin, intake: Intake, peer: str, limit: int) -> None:
        self._origin, self._intake, self._peer, self._limit = origin, intake, peer, limit
        self._lines = Lines(MAX_EVENT_BYTES)
        self._received = datetime.now(UTC)
        self._seen: Counter[bytes] = Counter()
        self._start: bytes | None = b""  # until it shows whether this is an array
        self._array: bytearray | None = None
        self._number = 0
        self._accepted = 0
        self._unreadable: list[dict[str, Any]] = []
        self._unreadable_count = 0

    async def piece(self, data: bytes) -> None:
        if self._start is not None:
            data = self._start + data
            self._start = data if len(data) < _START_BYTES and _UNDECIDED.match(data) else None
            if self._start is not None:
                return
            if _ARRAY.match(data):
                self._array = bytearray()
        if self._array is None:
            await self._take(self._lines.feed(data))
            return
        self._array += data
        if len(self._array) > _MAX_ARRAY_BYTES:
            raise TooLarge(f"a JSON array of more than {_MAX_ARRAY_BYTES} bytes; send JSON lines")

    async def end(self) -> None:
        if self._start:
            await self._take(self._lines.feed(self._start))
        if self._array is None:
            await self._take(self._lines.end())
            return
        try:
            items = orjson.loads(bytes(self._array).removeprefix(_BOM))
        except orjson.JSONDecodeError as error:
            raise ValueError(f"not a JSON array: {error}") from error
        await self._take([orjson.dumps(item) for item in items])

    async def answer(self, status: int, error: str) -> Response:
        if self._accepted:
            await self._intake.durable()
        body: dict[str, Any] = {"accepted": self._accepted, "unreadable": self._unreadable_count}
        if self._unreadable:
            body["unreadable_lines"] = self._unreadable
        if error:
            body["error"] = error
        return JSONResponse(body, status)

    async def _take(self, lines: list[bytes]) -> None:
        for at in range(0, len(lines), _AT_ONCE):
            await asyncio.sleep(0)  # other senders' turn
            await self._intake.has_room()
            events = [self._event(line) for line in lines[at : at + _AT_ONCE]]
            self._accepted += len(events)
            self._intake.take(self._origin.source, events, self._peer)

    def _event(self, line: bytes) -> bytes:
        self._number += 1
        digest = hashlib.blake2b(line, digest_size=12).digest()
        self._seen[digest] += 1
        position: tuple[str | bytes | int, ...] = (digest, self._seen[digest])
        more: dict[str, Any] = {"log.source.address": self._peer}
        if line.lstrip()[:1] != b"{":
            return self._text(line, (*position, self._received.isoformat()), more)
        try:
            obj = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._unreadable_count += 1
            fault = line_fault(line, self._limit, str(error))
            if len(self._unreadable) < _LISTED_FAULTS:
                self._unreadable.append({"line": self._number, "error": fault})
            return self._text(line, position, more, fault)
        if not _has_time(obj):
            position = (*position, self._received.isoformat())
        return self._origin.object_event(obj, position, self._received, more)

    def _text(
        self, line: bytes, position: tuple[str | bytes | int, ...], more: dict[str, Any], fault: str = ""
    ) -> bytes:
        if fault := fault or line_fault(line, self._limit):
            more["error.message"] = fault
        return self._origin.event(line[: self._limit], position, self._received, more)


def _has_time(obj: dict[str, Any]) -> bool:
    """Whether the object carries its own time: then its content alone makes its id, and a repeat is no second event."""
    names = (
        "@timestamp",
        "timestamp",
        "time",
        "ts",
        "Event",
        "TimeCreated",
        "UtcTime",
        "EventTime",
        "EventRecordID",
        "event.id",
    )
    return any(name in obj for name in names)


class _Holder(NamedTuple):
    """A source's name, or None for a token that is none; when it was looked up, and when the state last said so."""

    name: str | None
    looked: float
    known: float


class _Holders:
    """Looks up whose a token is, and remembers it for a moment; for longer while the state is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._holders: dict[str, _Holder] = {}

    async def of(self, header: str) -> str | None:
        """Return the source that a request's header names.

        Raises:
            OperationalError, InterfaceError: the state is away, and the token was not seen for long.
        """
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret or len(secret) > 200:
            return None
        key, now = access.digest(secret), time.monotonic()
        holder = self._holders.get(key)
        if holder is None or now - holder.looked > _REMEMBER_SECONDS:
            if len(self._holders) > 10_000:
                self._holders.clear()
            try:
                holder = _Holder(await asyncio.to_thread(self._look_up, secret), now, now)
            except STATE_AWAY:
                if holder is None or holder.name is None or now - holder.known > _REMEMBER_AWAY_SECONDS:
                    raise
                holder = holder._replace(looked=now)
            self._holders[key] = holder
        return holder.name

    def _look_up(self, secret: str) -> str | None:
        holder = access.holder_of(self._engine, secret)
        return holder.name if holder is not None and holder.kind == access.SOURCE else None


def _answer(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, headers)

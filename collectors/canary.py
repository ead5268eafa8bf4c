"""Canaries leave here: a marked line goes to each input that this machine has open, by its real way, and is known again
when it comes in.

What tells it from other lines is a number of 128 random bits that nobody has seen before it is sent. It counts once, in
the whole line that was sent, and for an hour: whoever should copy a mark can hide nothing with it. Lines are looked at
for marks only while a canary is on its way.
"""

import asyncio
import hmac
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from collectors.file_records import utf16_of
from collectors.listening import Listening
from collectors.netflow.packets import said_in_ipfix
from pipeline import canaries
from pipeline.bus.kafka_client import REQUEST_SECONDS, connect
from pipeline.event import encode, format_time
from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings import CANARY, FilesSource, KafkaSource, NetworkSource, Settings, Source, UnixSource
from pipeline.stage import Stage
from pipeline.tls import client_context

#: What every canary's text holds, before its number.
_WORD = "haidang-canary "
_MARK = _WORD.encode()
#: How long a line with a mark counts as ours, in seconds: so long one may wait in a connection that is held.
_VALID_SECONDS = 3600.0
#: How long after the start the first ones leave, in seconds: the other stages are starting, too.
_FIRST_SECONDS = 10.0
#: How long it is waited past the time of a late one before the next leaves, so that it has been judged, in seconds.
_JUDGED_SECONDS = 2.0
_LOOK_SECONDS = 0.5
#: How long sending one may take, in seconds.
_SEND_SECONDS = 10.0
#: Bytes of a file of canaries; then the next one begins.
_MOST_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary: the text that was sent, and until when it counts (`time.monotonic`)."""

    source: str
    kind: str
    identifier: str
    text: str
    until: float


@dataclass(slots=True)
class Canaries:
    """The canaries that are on their way, and what lets them in. For the event loop's thread."""

    folder: Path
    expected: dict[str, Canary] = field(default_factory=dict)
    received: set[str] = field(default_factory=set)
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def authorization(self) -> str:
        """What an HTTP canary shows instead of a sender's token; it is nowhere but in this process's memory."""
        return f"Bearer {self._token}"

    def are_let_in(self, authorization: str) -> bool:
        """Say whether a request is one of ours."""
        return hmac.compare_digest(authorization.encode(), self.authorization.encode())

    def file(self, source: str) -> Path:
        """Return the file that a source of files reads beside its own."""
        return self.folder / f"{source}.log"

    def sort_out(self, lines: list[bytes]) -> tuple[list[bytes], list[tuple[str, bytes]]]:
        """Part event lines into those of others and our canaries, which have their id and the reserved source."""
        others: list[bytes] = []
        ours: list[tuple[str, bytes]] = []
        for line in lines:
            canary = self._known(line) if _MARK in line else None
            if canary is None:
                others.append(line)
            else:
                ours.append((canary.identifier, _marked(line, canary)))
        return others, ours

    def _known(self, line: bytes) -> Canary | None:
        event = orjson.loads(line)
        text = event.get("event.original")
        canary = self.expected.get(text.rpartition(_WORD)[2]) if isinstance(text, str) else None
        if canary is None or (text, event.get("labels.source")) != (canary.text, canary.source):
            return None
        del self.expected[canary.identifier]
        self.received.add(canary.identifier)
        return canary

    def forget_old(self) -> None:
        """Take no canary for ours any more that should have come long ago."""
        now = time.monotonic()
        for identifier in [canary.identifier for canary in self.expected.values() if canary.until < now]:
            del self.expected[identifier]


def _marked(line: bytes, canary: Canary) -> bytes:
    event = orjson.loads(line)
    mark = {"event.dataset": CANARY, "labels.source": CANARY, canaries.MARK: canary.identifier}
    return encode({**event, **mark})


@dataclass(frozen=True, slots=True)
class _Input:
    """One way in: `kind` and `place` as `Listening.places` says it ("udp 0.0.0.0:5514")."""

    source: Source
    kind: str
    place: str

    @property
    def name(self) -> tuple[str, str]:
        return self.source.name, self.kind

    @property
    def address(self) -> tuple[str, int]:
        """Where this machine reaches it."""
        host, _, port = self.place.rpartition(":")
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)  # noqa: S104 - compared, not bound


class Sender:
    """Sends canaries to what a machine's collectors have open, and notes which came in."""

    def __init__(self, stage: Stage, known: Canaries, listening: list[Listening]) -> None:
        self._stage = stage
        self._canaries = known
        self._listening = listening
        self._settings = stage.settings.canary
        self._sent: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Send and note until cancelled; a fault costs one round."""
        loaded = False
        started = time.monotonic()
        while True:
            try:
                if not loaded:
                    await asyncio.to_thread(self._load)
                    loaded = True
                await self._note()
                if self._settings.minutes and time.monotonic() - started >= self._first_pause:
                    await self._send_due()
            except (SQLAlchemyError, HaidangError, OSError) as error:
                log("canary").error("not_sent", reason=str(error))
            except Exception:  # a canary's fault must not cost what the collectors are for; its silence is an alert
                log("canary").exception("failed")
            await asyncio.sleep(_LOOK_SECONDS)

    @property
    def _first_pause(self) -> float:
        return min(_FIRST_SECONDS, self._settings.minutes * 60)

    def _inputs(self) -> Iterator[_Input]:
        sources = {source.name: source for source in self._stage.settings.sources}
        for each in self._listening:
            source = sources[each.source]
            kinds = dict(reversed([place.split(" ", 1) for place in each.places]))
            for kind, place in kinds.items():
                if not isinstance(source, NetworkSource) and (not isinstance(source, KafkaSource) or source.canary):
                    yield _Input(source, kind, place)

    def _load(self) -> None:
        """Go on from what an earlier process had sent; forget inputs that are no more."""
        inputs = {each.name for each in self._inputs()} if self._settings.minutes else set()
        with self._stage.engine.begin() as connection:
            canaries.keep_only(connection, self._stage.instance, inputs)
            for row in canaries.rows(connection, self._stage.instance):
                if row["received"] is None:
                    self._expect(row["source"], row["kind"], row["id"], row["text"])

    def _expect(self, source: str, kind: str, identifier: str, text: str) -> None:
        until = time.monotonic() + _VALID_SECONDS
        self._canaries.expected[identifier] = Canary(source, kind, identifier, text, until)

    async def _note(self) -> None:
        self._canaries.forget_old()
        found = set(self._canaries.received)
        if found:
            await asyncio.to_thread(self._write, lambda connection: canaries.note(connection, "received", found))
            self._canaries.received -= found

    async def _send_due(self) -> None:
        every = self._settings.minutes * 60
        now = time.monotonic()
        due = [each for each in self._inputs() if now - self._sent.get(each.name, -every) >= every]
        if due and every <= self._settings.late_seconds + _JUDGED_SECONDS:
            waiting = await asyncio.to_thread(self._on_their_way)
            patience = self._settings.late_seconds + _JUDGED_SECONDS
            due = [each for each in due if each.name not in waiting or now - self._sent[each.name] >= patience]
        if not due:
            return
        sent = [(each, secrets.token_hex(16)) for each in due]
        texts = [_text(each, identifier) for each, identifier in sent]
        rows = [
            {"source": each.source.name, "kind": each.kind, "id": identifier, "text": text}
            for (each, identifier), text in zip(sent, texts, strict=True)
        ]
        await asyncio.to_thread(self._write, lambda connection: canaries.expect(connection, self._stage.instance, rows))
        for row, each in zip(rows, due, strict=True):
            self._expect(row["source"], row["kind"], row["id"], row["text"])
            self._sent[each.name] = now
        await asyncio.gather(*(self._send(each, row) for each, row in zip(due, rows, strict=True)))

    def _on_their_way(self) -> set[tuple[str, str]]:
        """Return the inputs whose last canary of this process is not through."""
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            found = canaries.rows(connection, self._stage.instance)
        return {(row["source"], row["kind"]) for row in found if not canaries.is_through(row)} & self._sent.keys()

    async def _send(self, each: _Input, row: dict[str, str]) -> None:
        data = row["text"].encode(utf16_of(b"", getattr(each.source, "encoding", "")) or "ascii")
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._bring(each, data)
        except (OSError, ValueError, HaidangError, TimeoutError) as error:
            fault = f"{type(error).__name__}: {error}"
            log("canary").error("not_sent", source=row["source"], kind=each.kind, reason=fault)
            await asyncio.to_thread(self._write, lambda connection: canaries.note_fault(connection, row["id"], fault))

    async def _bring(self, each: _Input, data: bytes) -> None:
        """Send a canary as any other sender would.

        Raises:
            OSError, ValueError, HaidangError: the input does not take it; the text says why.
        """
        settings = self._stage.settings
        match each.kind:
            case "udp":
                _send_datagram(each.address, data)
            case "tcp" | "tls":
                await _send_stream(each.address, data + b"\n", settings if each.kind == "tls" else None)
            case "http" | "https":
                request = _request(self._canaries.authorization, data)
                answer = await _send_stream(each.address, request, settings if each.kind == "https" else None)
                if b" 200 " not in answer:
                    raise ValueError(f"answers {answer.decode('ascii', 'replace').strip() or 'nothing'}")
            case "files":
                assert isinstance(each.source, FilesSource)
                await asyncio.to_thread(_append, self._canaries.file(each.source.name), data, each.source.encoding)
            case "netflow":
                _send_datagram(each.address, said_in_ipfix(data))
            case "unix":
                assert isinstance(each.source, UnixSource)
                await _write_to_socket(each.source, data)
            case "kafka":
                await asyncio.to_thread(_produce, each.source, data)

    def _write(self, change: Any) -> None:
        with self._stage.engine.begin() as connection:
            change(connection)


def _text(each: _Input, identifier: str) -> str:
    """Return a canary's line: syslog (RFC 5424) where the input speaks it."""
    now = format_time(datetime.now(UTC))
    if each.kind in ("udp", "tcp", "tls"):
        return f"<14>1 {now} haidang canary - - - {_WORD}{identifier}"
    return f"{now} haidang canary: {_WORD}{identifier}"


def _send_datagram(address: tuple[str, int], data: bytes) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.sendto(data, address)


async def _write_to_socket(source: UnixSource, data: bytes) -> None:
    if source.type == "datagram":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(str(source.path))
            sender.send(data)
        return
    _, writer = await asyncio.open_unix_connection(str(source.path))
    try:
        writer.write(data + b"\n")
        await writer.drain()
    finally:
        writer.close()
        await writer.wait_closed()


async def _send_stream(address: tuple[str, int], data: bytes, secured: Settings | None) -> bytes:
    """Send data and end; return the first line of the answer, if one comes."""
    context = await asyncio.to_thread(client_context, secured) if secured is not None else None
    reader, writer = await asyncio.open_connection(*address, ssl=context)
    try:
        writer.write(data)
        await writer.drain()
        return await reader.readline() if data.startswith(b"POST ") else b""
    finally:
        writer.close()
        await writer.wait_closed()


def _request(authorization: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _append(path: Path, data: bytes, encoding: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _MOST_FILE_BYTES:
        path.unlink()
    with path.open("ab") as file:
        file.write(data + "\n".encode(utf16_of(b"", encoding) or "ascii"))


def _produce(source: Source, data: bytes) -> None:
    from kafka import KafkaProducer, errors  # type: ignore[import-untyped]

    assert isinstance(source, KafkaSource)
    try:
        producer: Any = connect(KafkaProducer, source, acks="all", allow_auto_create_topics=False)
        try:
            producer.send(source.topic, data).get(REQUEST_SECONDS)
        finally:
            producer.close(timeout=REQUEST_SECONDS)
    except errors.KafkaError as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error

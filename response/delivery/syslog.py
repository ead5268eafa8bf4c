"""Syslog to another SIEM: messages enter, lines of RFC 5424 leave over TLS (RFC 5425), TCP (6587) or UDP (5426).

Syslog has no answer. A message counts as sent when the other machine has acknowledged all of its bytes (Linux tells how
many are not, `SIOCOUTQ`); so a connection that breaks costs repeats, and no message.
"""

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import orjson

from pipeline.delivery import HEARTBEAT
from pipeline.delivery.book import Outcome
from pipeline.event import Event, at_second, parse_time
from pipeline.messages import say
from pipeline.outward.posting import tls_context
from pipeline.outward.watchdog import Watchdog, cut_off, is_open
from pipeline.settings.delivery import SyslogChannel
from response.delivery.message import Message, named, one_line
from response.delivery.sender import Sender, failed

#: Syslog's severity by level (RFC 5424 table 2); all others are informational.
_SEVERITY = {"critical": 2, "high": 3, "medium": 4, "low": 5}
#: CEF's severity by level, 0 to 10.
_CEF_SEVERITY = {"critical": 10, "high": 8, "medium": 5, "low": 3}
#: CEF's extension keys and the fields that they take (ArcSight CEF, implementation standard, version 25).
_CEF_KEYS = {
    "src": "source.ip", "spt": "source.port", "dst": "destination.ip", "dpt": "destination.port",
    "dhost": "destination.domain", "dvchost": "host.name", "suser": "user.name", "sproc": "process.name",
    "request": "url.original", "filePath": "file.path", "cnt": "alert.count", "externalId": "event.id",
}  # fmt: skip
_LONGEST_HOST = 255
#: How often it is looked whether everything was acknowledged, in seconds.
_ACKNOWLEDGED_SECONDS = 0.002
_UTF8 = b"\xef\xbb\xbf"


class Syslog(Sender):
    """One receiver of syslog."""

    def __init__(self, channel: SyslogChannel, observer: str, watchdog: Watchdog) -> None:
        self._channel, self._watchdog = channel, watchdog
        self._host = "".join(sign if "!" <= sign <= "~" else "_" for sign in observer)[:_LONGEST_HOST] or "-"
        self._connection: socket.socket | None = None
        self._context: ssl.SSLContext | None = None

    def send(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Write messages together; all of them are sent when all their bytes have arrived."""
        with self._watchdog.within(self._channel.timeout_seconds, lambda: self._connection):
            try:
                connection = self._connect()
                for message in messages:
                    connection.sendall(self._framed(self.line(message)))
                self._await_acknowledgement(connection)
            except OSError as error:
                self.close()
                yield failed(error)
                return
        place = f"{self._channel.transport}://{self._channel.host}:{self._channel.port}"
        said = say("delivery.unproved" if self._channel.transport == "udp" else "delivery.acknowledged", place=place)
        for _ in messages:
            yield Outcome("sent", said)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            cut_off(self._connection)
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def line(self, message: Message) -> bytes:
        """Return a message as a line of RFC 5424; its id is the `MSGID`."""
        priority = self._channel.facility * 8 + _SEVERITY.get(message.level, 6)
        stamp = message.alerts[0]["@timestamp"] if message.alerts else at_second(message.row.created)
        head = f"<{priority}>1 {one_line(stamp, 32)} {self._host} haidang - {message.id} - ".encode()
        room = self._channel.max_bytes - len(head) - len(_UTF8)
        body = {"json": _json, "cef": _cef, "text": _text}[self._channel.format](message, room)
        return head + _UTF8 + body

    def _framed(self, line: bytes) -> bytes:
        return line if self._channel.transport == "udp" else b"%d %s" % (len(line), line)

    def _connect(self) -> socket.socket:
        channel = self._channel
        if self._connection is not None and channel.transport != "udp" and not is_open(self._connection):
            self.close()
        if self._connection is None:
            if channel.transport == "udp":
                family, kind, protocol, _, place = socket.getaddrinfo(
                    channel.host, channel.port, type=socket.SOCK_DGRAM
                )[0]
                self._connection = socket.socket(family, kind, protocol)
                self._connection.connect(place)
                return self._connection
            self._connection = socket.create_connection((channel.host, channel.port), channel.timeout_seconds)
            if channel.transport == "tls":
                if self._context is None:
                    self._context = tls_context(channel.ca, channel.certificate, channel.key)
                self._connection = self._context.wrap_socket(self._connection, server_hostname=channel.host)
        return self._connection

    def _await_acknowledgement(self, connection: socket.socket) -> None:
        if self._channel.transport == "udp":
            return
        deadline = time.monotonic() + self._channel.timeout_seconds
        while _unacknowledged(connection):
            if time.monotonic() > deadline:
                raise TimeoutError(say("delivery.too_slow", seconds=round(self._channel.timeout_seconds)))
            if select.select([connection], [], [], _ACKNOWLEDGED_SECONDS)[0] and not is_open(connection):
                raise ConnectionResetError(say("delivery.closed"))
        if not is_open(connection):  # it took the bytes and is gone: nobody knows what it read
            raise ConnectionResetError(say("delivery.closed"))


def _unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes the other machine has not acknowledged (tcp(7), SIOCOUTQ)."""
    found: int = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return found


def _json(message: Message, room: int) -> bytes:
    """Return the alert as JSON; where it is too long, without what is long."""
    if message.kind == HEARTBEAT:
        return orjson.dumps({"kind": HEARTBEAT, **message.facts})[:room]
    alert = {name: value for name, value in message.alerts[0].items() if name != "alert.evidence"}
    while len(made := orjson.dumps(alert)) > room and len(alert) > 1:
        longest = max((name for name in alert if name != "event.id"), key=lambda name: len(repr(alert[name])))
        del alert[longest]
        alert["labels.cut"] = "true"
        if set(alert) == {"event.id", "labels.cut"}:
            break
    return made[:room]


def _text(message: Message, room: int) -> bytes:
    parts = [message.title()]
    if message.kind == HEARTBEAT:
        parts += [line for line in message.lines() if line]
    else:
        alert = message.alerts[0]
        parts += [f"{name}={value}" for name, value in named(alert)]
        parts += [
            f"{name}={alert[name]}" for name in ("@timestamp", "alert.count", "rule.id", "event.id") if name in alert
        ]
    return _cut(" ".join(one_line(part) for part in parts), room)


def _cef(message: Message, room: int) -> bytes:
    """Return a line of CEF 0."""
    alert: Event = message.alerts[0] if message.alerts else {"rule.id": message.kind, "rule.name": message.title()}
    severity = _CEF_SEVERITY.get(message.level, 1)
    head = (
        "CEF:0", "Hai Dang", "haidang", version("haidang"), _cef_head(alert["rule.id"]), _cef_head(alert["rule.name"]),
        str(severity),
    )  # fmt: skip
    found: dict[str, Any] = {key: alert[field] for key, field in _CEF_KEYS.items() if alert.get(field) is not None}
    if "@timestamp" in alert:
        found["rt"] = int(parse_time(alert["@timestamp"]).timestamp() * 1000)
    if alert.get("tags"):
        found |= {"cs1Label": "tags", "cs1": alert["tags"]}
    words = " ".join(message.lines()) if message.kind == HEARTBEAT else alert.get("rule.description", "")
    found["msg"] = one_line(words, 1000)
    pairs = " ".join(f"{key}={_cef_value(value)}" for key, value in found.items() if value != "")
    return _cut(f"{'|'.join(head)}|{pairs}", room)


def _cef_head(value: Any) -> str:
    return one_line(value).replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(value: Any) -> str:
    return one_line(value, 1000).replace("\\", "\\\\").replace("=", "\\=")


def _cut(text: str, room: int) -> bytes:
    """Return a text in UTF-8 of at most so many bytes, never half a letter."""
    return text.encode()[: max(room, 0)].decode("utf-8", "ignore").encode()

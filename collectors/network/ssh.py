"""The version lines of SSH (RFC 4253, 4.2) and the packets behind them enter, one transaction leaves: was he let in.

What follows the key exchange is encrypted, but lengths are not: the server's answer to the request for the log-in
service (SERVICE_ACCEPT) carries a name, SUCCESS nothing (RFC 4252, 5.1). So a server that later sends something shorter
than that answer has let the client in; a client that has got two answers or more and goes without it was refused. Of
one that never asked, such as a scan, nothing is said.
"""

from collections.abc import Iterator
from typing import Literal

from collectors.network.reading import Fields, Transaction, text

#: Bytes of a version line (RFC 4253 has 255), and of what stands before the server's (4.2).
MAX_LINE, MAX_BEFORE = 255, 8_192
#: Bytes of a packet in clear text (RFC 4253, 6.1).
MAX_PACKET = 35_000
_NEW_KEYS, _LINE_END = 21, 10
#: Answers of a server without letting in after which it has: nobody asks so often, and some split what they send.
MAX_ANSWERS = 60
Stage = Literal["version", "keys", "encrypted"]


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak SSH."""
    return data.startswith(b"SSH-")


class _Side:
    """What one side has said: its version, the packets in clear text, then only lengths."""

    __slots__ = ("name", "stage", "unread")

    def __init__(self, name: str) -> None:
        self.name = name
        self.stage: Stage = "version"
        self.unread = b""

    def take(self, data: bytes, fields: Fields) -> bytes:
        """Read on; return what of it is encrypted."""
        if self.stage == "encrypted":
            return data
        self.unread += data
        if self.stage == "version":
            self._version(fields)
        while self.stage == "keys" and len(self.unread) >= 6:
            length = 4 + int.from_bytes(self.unread[:4], "big")
            if length > MAX_PACKET:
                self.unread = b""  # out of step: a part was lost
                return b""
            if len(self.unread) < length:
                return b""
            if self.unread[5] == _NEW_KEYS:
                self.stage = "encrypted"
            self.unread = self.unread[length:]
        if self.stage != "encrypted":
            return b""
        rest, self.unread = self.unread, b""
        return rest

    def _version(self, fields: Fields) -> None:
        start = self.unread.find(b"SSH-")
        if start > 0 and self.unread[start - 1] == _LINE_END:  # a server may say something before (RFC 4253, 4.2)
            self.unread = self.unread[start:]
        line, end, rest = self.unread.partition(b"\n")
        if (end or len(line) >= MAX_LINE) and looks_like(line):
            fields[f"ssh.{self.name}.version"] = text(line[:MAX_LINE].rstrip(b"\r"))
            self.stage, self.unread = "keys", rest
        elif len(self.unread) > MAX_BEFORE:
            self.unread = b""


class SshReader:
    """One connection of SSH."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._time = 0
        self._fields: Fields = {}
        self._sides = {True: _Side("client"), False: _Side("server")}
        self._asked = self._answered = self._accepted = 0

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read what a side says next; once the client is let in, nothing more is to be learned."""
        self._time = self._time or time
        encrypted = self._sides[from_source].take(data, self._fields)
        if not encrypted or self.done:
            return
        if from_source:
            self._asked += 1
        elif self._asked:
            self._answered += 1
            self._accepted = self._accepted or len(encrypted)
            if len(encrypted) < self._accepted or self._answered > MAX_ANSWERS:
                yield from self._say({"ssh.auth.success": True, "event.outcome": "success"})

    def end(self) -> Iterator[Transaction]:
        """Yield what was read of both sides: the client was not let in, or nothing is known of it."""
        if not self.done:
            refused = self._asked >= 2 <= self._answered  # for the service, and to be let in
            yield from self._say({"ssh.auth.success": False, "event.outcome": "failure"} if refused else {})

    def _say(self, how: Fields) -> Iterator[Transaction]:
        self.done = True
        if self._fields:
            yield Transaction(self._time, "ssh", {"network.protocol": "ssh", **self._fields, **how})

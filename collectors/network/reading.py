"""What a reader of a protocol is: bytes of one side of a connection enter, fields of transactions leave."""

from collections.abc import Iterator
from ipaddress import IPv6Address
from socket import AF_INET, inet_ntop
from typing import Any, NamedTuple, Protocol, TypeAlias

Fields: TypeAlias = dict[str, Any]


class Transaction(NamedTuple):
    """One question with its answer: when it was asked (microseconds since 1970), of which kind, and its fields."""

    time: int
    kind: str
    fields: Fields


class Reader(Protocol):
    """Reads one connection. What it is given is foreign: it never raises for what stands there.

    Over TCP `data` is what a side has sent next, over UDP a datagram.
    """

    done: bool
    """Nothing more is to be learned."""

    ordered: bool
    """It needs the segments of each side in their order, without gaps."""

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read on."""

    def end(self) -> Iterator[Transaction]:
        """Yield what is still open: the connection is over."""


def address(raw: bytes) -> str:
    """Write an address as text."""
    return inet_ntop(AF_INET, raw) if len(raw) == 4 else str(IPv6Address(raw))


class Framed:
    """Cuts what both sides send into messages that have their length in front of them."""

    def __init__(self, length_bytes: int) -> None:
        self._size = length_bytes
        self._unread = {True: bytearray(), False: bytearray()}

    def messages(self, from_source: bool, data: bytes, limit: int) -> Iterator[bytes]:
        """Yield the messages of a side that are complete; behind one that is longer than `limit` nothing is read."""
        unread, size = self._unread[from_source], self._size
        unread += data
        while len(unread) >= size:
            end = size + int.from_bytes(unread[:size], "big")
            if end > limit:
                unread.clear()
            if len(unread) < end:
                return
            yield bytes(unread[size:end])
            del unread[:end]


def text(raw: bytes, limit: int = 1_000) -> str:
    """Return what a protocol calls text, cut off; what is none in UTF-8 stands as `\\xNN`."""
    return raw[:limit].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")

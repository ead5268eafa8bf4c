"""What a reader of a protocol is: bytes of one side of a connection enter, fields of transactions leave."""

from collections.abc import Iterator
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


def text(raw: bytes, limit: int = 1_000) -> str:
    """Return what a protocol calls text, cut off; what is none in UTF-8 stands as `\\xNN`."""
    return raw[:limit].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")

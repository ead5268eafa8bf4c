"""Echoes of ICMP with more in them than a ping has enter, one transaction each leaves."""

from collections.abc import Iterator

from collectors.network.reading import Transaction

#: Bytes that a ping carries at the most: 32 (Windows), 56 (most others), 64.
PING_BYTES = 64
#: Echoes of one flow that are told of: enough to see what it is.
MAX_TOLD = 500
_ECHOES = frozenset((0, 8, 128, 129))


class IcmpReader:
    """One flow of ICMP."""

    ordered = False

    def __init__(self, asks: int, answers: int) -> None:
        """The types of the messages of both sides."""
        self.done = asks not in _ECHOES
        self._types = {True: asks, False: answers}
        self._told = 0

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Tell of an echo that is no ping."""
        if len(data) > PING_BYTES:
            self._told += 1
            self.done = self._told >= MAX_TOLD
            fields = {"icmp.type": self._types[from_source], "icmp.code": 0, "icmp.bytes": len(data)}
            yield Transaction(time, "icmp", fields)

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())

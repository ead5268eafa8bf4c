"""Echoes of ICMP enter; a transaction leaves of each that has more in it than a ping, or other than the one before."""

from collections.abc import Iterator

from collectors.network.reading import Fields, Transaction

#: Bytes that a ping carries at the most: 32 (Windows), 56 (most others), 64.
PING_BYTES = 64
#: What stands first in a ping: when it was sent, and what its program counts (fping and check_icmp: 24 bytes).
_OWN_BYTES = 32
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
        self._before: bytes | None = None

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Tell of an echo that is no ping."""
        contents, before = data[_OWN_BYTES:], self._before
        self._before = contents
        shared = min(len(contents), len(before or b""))
        changes = before is not None and contents[:shared] != before[:shared]
        if len(data) > PING_BYTES or changes:
            self._told += 1
            self.done = self._told >= MAX_TOLD
            fields: Fields = {"icmp.type": self._types[from_source], "icmp.code": 0, "icmp.bytes": len(data)}
            if changes:
                fields["icmp.changes"] = True
            yield Transaction(time, "icmp", fields)

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())

"""The sequence numbers of one exporter enter, how much of what it sent has never come leaves.

v5 counts records, v9 datagrams, IPFIX records. A datagram may be late (networks change the order, ours waits on the
disk): what is missing counts as lost only when it has not come for a while.
"""

from dataclasses import dataclass, field

_MODULUS = 1 << 32
#: A larger step is a new start of the exporter, no gap.
_LARGEST_STEP = 1_000_000
#: So many late ones in a row, and the exporter has begun anew with a smaller number.
_MOST_LATE = 50


@dataclass(slots=True)
class Sequence:
    """Where one exporter's domain is. Gaps are (since when, how much)."""

    expected: int | None = None
    gaps: list[list[float]] = field(default_factory=list)
    _late: int = 0

    def note(self, number: int, count: int | None, now: float) -> None:
        """Take a datagram's number and how much it counts; None where that cannot be said."""
        step = 0 if self.expected is None else (number - self.expected + _MODULUS // 2) % _MODULUS - _MODULUS // 2
        if self.expected is not None and step < 0 and -step <= _LARGEST_STEP and self._late < _MOST_LATE:
            self._late += 1
            self._fill(count or 0)
            return
        self._late = 0
        if 0 < step <= _LARGEST_STEP:
            if self.gaps and self.gaps[-1][0] == now:
                self.gaps[-1][1] += step
            else:
                self.gaps.append([now, step])
            if len(self.gaps) > 1000:
                self.gaps[1][1] += self.gaps.pop(0)[1]
        self.expected = None if count is None else (number + count) % _MODULUS

    def lost(self, before: float) -> int:
        """Return what has been missing since before then, and forget it."""
        gone = [gap for gap in self.gaps if gap[0] < before]
        self.gaps = [gap for gap in self.gaps if gap[0] >= before]
        return int(sum(gap[1] for gap in gone))

    def _fill(self, count: int) -> None:
        for gap in reversed(self.gaps):
            taken = min(gap[1], count)
            gap[1] -= taken
            count -= int(taken)
        self.gaps = [gap for gap in self.gaps if gap[1]]

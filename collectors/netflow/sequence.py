"""The sequence numbers of one exporter enter, how much of what it sent has never come leaves.

v5 counts records, v9 datagrams, IPFIX records. A datagram may be late (networks change the order, ours waits on the
disk): what is missing counts as lost only when it has not come for a while.
"""

from dataclasses import dataclass, field

_MODULUS = 1 << 32
#: A larger step is a new start of the exporter, no gap.
_LARGEST_STEP = 1_000_000
#: So many in a row that fill no gap, and the exporter has begun anew with a smaller number.
_MOST_STRAY = 50
#: Gaps that are remembered one by one; the oldest then counts as lost.
_MOST_GAPS = 1_000


@dataclass(slots=True)
class _Gap:
    since: float
    begin: int
    length: int


@dataclass(slots=True)
class Sequence:
    """Where one exporter's domain is."""

    expected: int | None = None
    gaps: list[_Gap] = field(default_factory=list)
    _gone: int = 0
    _stray: int = 0

    def note(self, number: int, count: int | None, now: float) -> None:
        """Take a datagram's number and how much it counts; None where that cannot be said."""
        if self.expected is not None:
            step = (number - self.expected + _MODULUS // 2) % _MODULUS - _MODULUS // 2
            if -_LARGEST_STEP <= step < 0:
                if self.fill(number, count or 0):
                    self._stray = 0
                    return
                self._stray += 1
                if self._stray < _MOST_STRAY:
                    return
            elif 0 < step <= _LARGEST_STEP:
                self.gaps.append(_Gap(now, self.expected, step))
                if len(self.gaps) > _MOST_GAPS:
                    self._gone += self.gaps.pop(0).length
        self._stray = 0
        self.expected = None if count is None else (number + count) % _MODULUS

    def lost(self, before: float) -> int:
        """Return what has been missing since before then, and forget it."""
        if not self.gaps and not self._gone:
            return 0
        lost = self._gone + sum(gap.length for gap in self.gaps if gap.since < before)
        self._gone = 0
        self.gaps = [gap for gap in self.gaps if gap.since >= before]
        return lost

    def fill(self, number: int, count: int) -> bool:
        """Take what came late out of the gap that it lies in, if it lies in one."""
        for place, gap in enumerate(self.gaps):
            offset = (number - gap.begin) % _MODULUS
            if offset < gap.length:
                end = min(offset + count, gap.length)
                rest = _Gap(gap.since, (gap.begin + end) % _MODULUS, gap.length - end)
                first = _Gap(gap.since, gap.begin, offset)
                self.gaps[place : place + 1] = [part for part in (first, rest) if part.length]
                return True
        return False


@dataclass(slots=True)
class RecordNumbers:
    """How an exporter of IPFIX counts its records. RFC 7011 counts those before a message, of flows and of options.

    Some exporters (softflowd 1.1) count those of the message itself, too, or leave out those of options: whichever way
    explains a message's number by the one before it is theirs.
    """

    inclusive: bool = False
    with_options: bool = True
    _last: tuple[int, int, int] | None = None

    def of(self, number: int, flows: int, options: int) -> tuple[int, int, bool]:
        """Return the number at which a message begins, how many it counts, and whether the way has changed."""
        changed = False
        if self._last is not None:
            before, before_flows, before_options = self._last
            step = (number - before) % _MODULUS
            ways = {
                (False, True): before_flows + before_options, (False, False): before_flows,
                (True, True): flows + options, (True, False): flows,
            }  # fmt: skip
            if ways[self.inclusive, self.with_options] != step and step in ways.values():
                self.inclusive, self.with_options = next(way for way, counted in ways.items() if counted == step)
                changed = True
        self._last = (number, flows, options)
        count = flows + (options if self.with_options else 0)
        return (number - count if self.inclusive else number) % _MODULUS, count, changed

    def forget(self) -> None:
        """Know nothing of the message before: it could not be counted."""
        self._last = None

"""What a rule asks of one buffer enters (contents, expressions, sizes, bytes), whether bytes fit it and where leaves.

The order of the tests is that of the rule: one that is relative begins where the last match ended, and where it fails
the next place of that match is tried (Suricata's `detect-engine-content-inspection.c`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from collectors.network.rules.expressions import Search

#: Places that are tried for one rule in one buffer (Suricata's `inspection-recursion-limit`).
MAX_TRIED = 3_000
#: A number, or the name of one that `byte_extract` has read.
Number: TypeAlias = int | str
#: Where a content was found, and the content.
Hit: TypeAlias = tuple[int, int]


class Test(Protocol):
    """One thing that is asked."""

    @property
    def relative(self) -> bool:
        """Whether it begins where the last match ended."""

    followed: bool
    """What comes next is relative to this one, so all its places count."""

    def holds(self, search: "Trial", number: int, last: int) -> bool:
        """Whether this test, which has the number, and all after it hold; the last match ended at `last`."""


class Trial:
    """One look of a rule's tests at one buffer. `hits` are the places of the contents, by the number of the test."""

    __slots__ = ("data", "hits", "lowered", "tests", "tried", "values")

    def __init__(self, tests: Sequence[Test], data: bytes, lowered: bytes) -> None:
        self.tests, self.data, self.lowered = tests, data, lowered
        self.values: dict[str, int] = {}
        self.hits: dict[int, Hit] = {}
        self.tried = 0

    def holds(self) -> bool:
        """Whether all tests hold."""
        return self.rest(0, 0)

    def rest(self, number: int, last: int) -> bool:
        """Whether the tests from this number on hold."""
        self.tried += 1
        if self.tried > MAX_TRIED:
            return False
        return number == len(self.tests) or self.tests[number].holds(self, number, last)

    def value(self, number: Number) -> int:
        """Return a number, or what was read by that name."""
        return number if isinstance(number, int) else self.values.get(number, 0)


@dataclass(slots=True)
class Content:
    """Bytes that are there, or are not there."""

    needle: bytes
    negated: bool = False
    nocase: bool = False
    offset: Number | None = None
    depth: Number | None = None
    distance: Number | None = None
    within: Number | None = None
    starts: bool = False
    ends: bool = False
    fast: bool = False
    followed: bool = False

    @property
    def relative(self) -> bool:
        """Whether it begins where the last match ended."""
        return self.distance is not None or self.within is not None

    @property
    def anchored(self) -> bool:
        """Whether its place is counted from the beginning."""
        return self.offset is not None or self.depth is not None or self.starts

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Look for it."""
        start, end = self._region(search, last)
        data = search.lowered if self.nocase else search.data
        needle = self.needle
        if self.negated:
            return not self._is_there(data, start, end) and search.rest(number + 1, last)
        if self.ends:
            start = max(start, len(data) - len(needle))
        at = data.find(needle, start, end)
        while at >= 0:
            search.hits[number] = at, at + len(needle)
            if search.rest(number + 1, at + len(needle)):
                return True
            if not self.followed or search.tried > MAX_TRIED:
                return False
            at = data.find(needle, at + 1, end)
        return False

    def _is_there(self, data: bytes, start: int, end: int) -> bool:
        if self.ends:
            start = max(start, len(data) - len(self.needle))
        return data.find(self.needle, start, end) >= 0

    def _region(self, search: Trial, last: int) -> tuple[int, int]:
        start, end = 0, len(search.data)
        if self.relative:
            begin = last + (search.value(self.distance) if self.distance is not None else 0)
            start = max(0, begin)
            if self.within is not None:
                end = min(end, begin + search.value(self.within))
        if self.anchored:
            offset = search.value(self.offset) if self.offset is not None else 0
            start = max(start, offset)
            if self.starts:
                end = min(end, offset + len(self.needle))
            elif self.depth is not None:
                end = min(end, offset + search.value(self.depth))
        return start, max(0, end)


@dataclass(slots=True)
class Expression:
    """A regular expression that is found, or is not."""

    search: Search
    negated: bool = False
    relative: bool = False
    followed: bool = False

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Search it."""
        start = min(last, len(search.data)) if self.relative else 0
        spans = self.search.spans(search.data[start:] if start else search.data, self.followed)
        if self.negated:
            return not spans and search.rest(number + 1, last)
        for begin, end in spans:
            search.hits[number] = start + begin, start + end
            if search.rest(number + 1, start + end):
                return True
        return False


@dataclass(slots=True)
class DataAt:
    """There is data behind so many bytes, or there is none (`isdataat`)."""

    count: Number
    negated: bool = False
    relative: bool = False
    followed: bool = False

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Compare with where the data ends."""
        # Suricata asks for so many bytes behind a match, and for one more behind a place from the beginning.
        place = search.value(self.count) + (last if self.relative else 1)
        return (place <= len(search.data)) != self.negated and search.rest(number + 1, last)


@dataclass(slots=True)
class Size:
    """How long the buffer is (`bsize`, `urilen`)."""

    least: int
    most: int
    negated: bool = False
    relative: bool = field(default=False, init=False)
    followed: bool = field(default=False, init=False)

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Compare."""
        return (self.least <= len(search.data) <= self.most) != self.negated and search.rest(number + 1, last)


@dataclass(slots=True)
class Read:
    """How a number is read of the bytes at a place."""

    count: int
    offset: Number
    relative: bool = False
    little: bool = False
    base: int = 0  #: of digits in text; 0: the bytes themselves

    def number(self, search: Trial, last: int) -> tuple[int, int] | None:
        """Return the number and where its bytes end; None where there are none."""
        at = search.value(self.offset) + (last if self.relative else 0)
        if at < 0 or at + self.count > len(search.data):
            return None
        raw = search.data[at : at + self.count]
        if not self.base:
            return int.from_bytes(raw, "little" if self.little else "big"), at + self.count
        try:
            return int(raw.strip(b" \0"), self.base), at + self.count
        except ValueError:
            return None


@dataclass(slots=True)
class ByteTest:
    """A number in the data, compared."""

    read: Read
    operator: str
    value: Number
    negated: bool = False
    mask: int = 0
    followed: bool = False

    @property
    def relative(self) -> bool:
        """Whether it begins where the last match ended."""
        return self.read.relative

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Compare."""
        found = self.read.number(search, last)
        if found is None:
            return False
        value, wanted = masked(found[0], self.mask), search.value(self.value)
        holds = {
            "<": value < wanted, ">": value > wanted, "=": value == wanted, "<=": value <= wanted,
            ">=": value >= wanted, "&": bool(value & wanted), "^": bool(value ^ wanted),
        }[self.operator]  # fmt: skip
        return holds != self.negated and search.rest(number + 1, last)


@dataclass(slots=True)
class ByteJump:
    """A number in the data, which says where to go on."""

    read: Read
    multiplier: int = 1
    from_beginning: bool = False
    from_end: bool = False
    align: bool = False
    post_offset: int = 0
    mask: int = 0
    followed: bool = False

    @property
    def relative(self) -> bool:
        """Whether it begins where the last match ended."""
        return self.read.relative

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Jump; where there is nothing it does not hold."""
        found = self.read.number(search, last)
        if found is None:
            return False
        distance = masked(found[0], self.mask) * self.multiplier
        if self.align and distance % 4:
            distance += 4 - distance % 4
        start = 0 if self.from_beginning else len(search.data) if self.from_end else found[1]
        place = start + distance + self.post_offset
        return 0 <= place <= len(search.data) and search.rest(number + 1, place)


@dataclass(slots=True)
class ByteExtract:
    """A number in the data that gets a name."""

    read: Read
    name: str
    multiplier: int = 1
    mask: int = 0
    followed: bool = False

    @property
    def relative(self) -> bool:
        """Whether it begins where the last match ended."""
        return self.read.relative

    def holds(self, search: Trial, number: int, last: int) -> bool:
        """Read it."""
        found = self.read.number(search, last)
        if found is None:
            return False
        search.values[self.name] = masked(found[0], self.mask) * self.multiplier
        return search.rest(number + 1, found[1])


def masked(value: int, mask: int) -> int:
    """Return the bits of a mask, moved down by how many zeros it ends in."""
    return (value & mask) >> ((mask & -mask).bit_length() - 1) if mask else value


def link(tests: Sequence[Test]) -> None:
    """Note which tests are followed by a relative one: up to the next that itself sets a place."""
    for number, test in enumerate(tests):
        for later in tests[number + 1 :]:
            if later.relative:
                test.followed = True
                break
            if not getattr(later, "negated", False) and not isinstance(later, Size | DataAt | ByteTest):
                break

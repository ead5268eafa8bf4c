"""A capture file enters, the event lines of its connections and transactions leave."""

import mmap
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from collectors.envelope import Origin
from collectors.network.capture_files import DamagedError, Place, packets
from collectors.network.rules.ruleset import RuleSet
from collectors.network.sensor import Sensor

#: Packets after which what has come of them is given on.
_AT_ONCE = 20_000


def read_capture(
    content: Path, origin: Origin, shown: Path, rules: RuleSet | None = None
) -> Iterator[tuple[list[bytes], int]]:
    """Yield event lines with how many bytes of the file were read for them; `shown` is the path that events name,
    `rules` are packet rules that are asked.

    The ids are made of the addresses and times in the packets: a file, a copy of it and a sensor that saw the same
    packets give the same ids.

    Raises:
        OSError: the file cannot be read.
        DamagedError: it is cut off or damaged; what was before that was given.
    """
    lines = _Lines(origin, shown)
    sensor = Sensor(lines.add, rules=rules)
    damaged: DamagedError | None = None
    with content.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        places, read = packets(buffer), 0
        while damaged is None:
            some: list[Place] = []
            try:
                some.extend(islice(places, _AT_ONCE))  # what comes before an error stays
            except DamagedError as error:
                damaged = error
            if not some:
                break
            sensor.take(buffer, some)
            end = some[-1][1] + some[-1][2]
            yield lines.taken(), end - read
            read = end
        sensor.finish()
        yield lines.taken(), 0
    if damaged is not None:
        raise damaged


class _Lines:
    """Makes lines of a sensor's events."""

    def __init__(self, origin: Origin, shown: Path) -> None:
        self._origin = origin
        self._path = str(shown)
        self._number = 0
        self._held: list[bytes] = []

    def add(self, fields: dict[str, Any], position: tuple[str | int, ...]) -> None:
        """Take an event."""
        self._number += 1
        more = {"log.file.path": self._path, "event.sequence": self._number}
        self._held.append(self._origin.complete(fields, position, datetime.now(UTC), more))

    def taken(self) -> list[bytes]:
        """Return what came since the last time."""
        held, self._held = self._held, []
        return held

"""The vectors beside a rule enter: events, and lines as machines write them; decoded events leave."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from collectors.decoders import Hints, decode
from collectors.decoders.timestamp import MONTHS
from pipeline.event import Event

RECEIVED = datetime(2026, 11, 24, 5, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Vectors:
    """What a rule must fire on, and what it must not."""

    hits: list[Event]
    misses: list[Event]


def read_vectors(path: Path) -> Vectors:
    """The vectors of a rule's file; its lines go through the decoders as a source without settings reads them."""
    loaded = yaml.safe_load(path.with_suffix(".test.yml").read_text(encoding="utf-8"))
    assert set(loaded) <= {"hits", "hit_lines", "misses", "miss_lines"}, path
    return Vectors(
        loaded.get("hits", []) + [event_of(line) for line in loaded.get("hit_lines", [])],
        loaded.get("misses", []) + [event_of(line) for line in loaded.get("miss_lines", [])],
    )


def event_of(line: str) -> Event:
    """One line, decoded: with `<PRI>` or a time of RFC 3164 in front it came by syslog, else out of a file."""
    is_syslog = line.startswith("<") or (line[:3] in MONTHS and line[3:4] == " ")
    return decode(line, Hints(syslog=is_syslog), RECEIVED)

"""`bench indicators`: indicators are made into an index, events are looked up in it on one core; figures leave."""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detectors.bench_traffic import busy
from detectors.indicators.allow import of_settings
from detectors.indicators.index import Index, build, key_of_name
from detectors.indicators.indicator import Indicator
from detectors.indicators.matcher import Matcher, wanted
from pipeline.event import decode
from pipeline.settings import Indicators
from pipeline.stage import collect_rarely

_INDICATORS, _EVENTS, _LOOKUPS = 1_000_000, 200_000, 500_000
#: Lines that a frame has, about.
_FRAME = 1_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; each is of one core. Of events: the work of the indicators alone, reading them included."""
    collect_rarely()
    count, events = chosen.indicators or _INDICATORS, chosen.events or _EVENTS
    with tempfile.TemporaryDirectory(prefix="haidang-") as scratch:
        place = Path(scratch) / "index"
        before = _peak_bytes()
        started = time.perf_counter()
        build((each.line() for each in _made(count)), place)
        built = time.perf_counter() - started
        grown = _peak_bytes() - before
        sizes = {path.name: path.stat().st_size for path in place.iterdir()}
        index = Index(place)
        matcher = Matcher([index], of_settings(Indicators()))
        lookups = _looked_up(index, count)
        lines = list(busy(events))
        spent, hits = _examined(matcher, lines)
        parsing = _parsed(lines)
    return {
        "indicators": count, "build_seconds": round(built, 1), "build_peak_mb": round(grown / 1e6),
        "index_mb": round((sum(sizes.values()) - sizes["lines"]) / 1e6, 1), "lines_mb": round(sizes["lines"] / 1e6, 1),
        "lookups_per_second": round(_LOOKUPS / lookups), "events": events, "hits": hits,
        "events_per_second": round(events / spent), "us_per_event": round(spent / events * 1e6, 2),
        "us_per_event_reading_alone": round(parsing / events * 1e6, 2),
    }  # fmt: skip


def _made(count: int) -> Iterator[Indicator]:
    """Half addresses, the others names, as long as those of real lists."""
    chance = random.Random(20261129)  # noqa: S311 - test input, the same each time
    for number in range(count):
        if number % 2:
            value = ".".join(str(chance.randrange(1, 224)) for _ in range(4))
            yield Indicator("address", value, "bench", "c2", 75)
        else:
            yield Indicator("domain", f"{chance.randrange(16**10):x}.xyz{number % 7}.com", "bench", "malware", 75)


def _looked_up(index: Index, count: int) -> float:
    """Return the seconds of look-ups of names never seen before: hash, and what the index says of it."""
    names = [f"www{number}.never-seen-{count}.vn" for number in range(_LOOKUPS)]
    began = time.process_time()
    for name in names:
        index.find(key_of_name(name))
    return time.process_time() - began


def _examined(matcher: Matcher, lines: list[bytes]) -> tuple[float, int]:
    hits = 0
    began = time.process_time()
    for start in range(0, len(lines), _FRAME):
        for _, line in wanted(lines[start : start + _FRAME]):
            hits += len(matcher.hits(decode(line)))
    return time.process_time() - began, hits


def _parsed(lines: list[bytes]) -> float:
    """Return the seconds of choosing and reading alone: an event that a rule reads, too, is read once."""
    began = time.process_time()
    for start in range(0, len(lines), _FRAME):
        for _, line in wanted(lines[start : start + _FRAME]):
            decode(line)
    return time.process_time() - began


def _peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""`bench sigma`: rules and a file of JSON lines enter; events a second on one core leave, from bytes to the matches."""

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson

from detectors.sigma import RuleSet
from detectors.sigma.logsource import LogSources
from detectors.sigma.prefilter import Prefilter
from pipeline.frame import MAX_FRAME_BYTES
from pipeline.messages import HaidangError
from pipeline.shipped import shipped_rules
from pipeline.stage import collect_rarely
from workbench.raw_windows import flat_record, records, with_logsource

#: Lines that a file made of `.evtx` has: its records again and again.
_EVENTS = 100_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures. Loading is measured apart; all else that it takes from the file's bytes is in the rate."""
    with tempfile.TemporaryDirectory(prefix="haidang-") as scratch:
        path = Path(chosen.events) if chosen.events else Path(scratch) / "events.ndjson"
        if chosen.evtx:
            _write(Path(chosen.evtx), path)
        elif not path.is_file():
            raise HaidangError("command.bench.sigma_events")
        started = time.process_time()
        rules = RuleSet.load(*(chosen.rules or [shipped_rules()]))
        prefilter = Prefilter(rules.rules)
        loaded = time.process_time() - started
        collect_rarely()
        memory_loaded = _peak_mb()
        started = time.process_time()
        counts, matches = _run(prefilter, path)
        spent = time.process_time() - started
    events = counts["events"]
    return {
        "events_per_second": round(events / spent), "events": events, "seconds": round(spent, 3),
        "megabytes_per_second": round(path.stat().st_size / spent / 1e6, 1),
        "rules": len(rules.rules), "refused": len(rules.refused),
        "load_seconds": round(loaded, 2), "load_peak_mb": memory_loaded, "peak_mb": _peak_mb(),
        "parsed_per_event": round(counts["parsed"] / events, 3),
        "evaluations_per_event": round(prefilter.evaluations / events, 2),
        "matches": sum(matches.values()), "rules_matched": len(matches),
    }  # fmt: skip


def _run(prefilter: Prefilter, path: Path) -> tuple[Counter[str], Counter[str]]:
    counts: Counter[str] = Counter()
    matches: Counter[str] = Counter()
    for lines in _frames(path):
        candidates = prefilter.candidates(lines)
        counts["events"] += len(lines)
        counts["parsed"] += len(candidates)
        for number, line in candidates:
            event = orjson.loads(line)
            if "Event" in event and type(event["Event"]) is dict:
                event = flat_record(event)
            for rule in prefilter.matching(number, event):
                matches[rule.id] += 1
    return counts, matches


def _frames(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb", MAX_FRAME_BYTES) as file:
        while lines := file.readlines(MAX_FRAME_BYTES):
            yield lines


def _write(folder: Path, path: Path) -> None:
    """Write the records of a folder's `.evtx` as flat JSON lines with their log source, until there are enough."""
    sources = LogSources.load()
    flat = (flat_record(record) for file in sorted(folder.rglob("*.evtx")) for record in records(file))
    lines = [orjson.dumps(with_logsource(event, sources)) + b"\n" for event in flat]
    if not lines:
        raise HaidangError("command.bench.sigma_events")
    with path.open("wb") as out:
        out.writelines(islice(cycle(lines), _EVENTS))


def _peak_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)

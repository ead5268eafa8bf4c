"""Indicators ready to be looked up on this machine: what the state has enters, a `Matcher` leaves.

The index of the lists lies under `indicators/` of the data directory, made anew where a list has another version; what
was added one by one is held in memory beside it.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from detectors.indicators import kept
from detectors.indicators.allow import Allow, of_settings
from detectors.indicators.index import Few, Index, build, forget_others, open_newest
from detectors.indicators.matcher import Held, Matcher
from pipeline.logs import log
from pipeline.settings import Settings
from pipeline.settings.indicators import LIVE

#: How often an index is begun anew because a list has changed while it was made.
_TRIES = 5


def place_of(settings: Settings) -> Path:
    """Return where the indexes of a data directory lie."""
    return settings.data_dir / "indicators"


def wanted(engine: Engine, allow: Allow) -> str:
    """Return the name of the index of what the state has now; "" where there is no list."""
    return kept.signature(kept.versions(engine), allow.entries)


def make(engine: Engine, settings: Settings) -> str:
    """Make the index of what the state has now, unless it is there; return its name.

    Raises:
        HaidangError: the allow-list cannot be read.
    """
    allow = of_settings(settings.indicators)
    place = place_of(settings)
    with _alone(place):
        for _ in range(_TRIES):
            found = kept.versions(engine)
            name = kept.signature(found, allow.entries)
            if not name or open_newest(place, name) is not None:
                break
            started = time.monotonic()
            try:
                meta = build(_lines(engine, found), place / name, made=time.time())
            except kept.ChangedMeanwhile:
                continue
            log("indicators").info("index", count=meta["count"], seconds=round(time.monotonic() - started, 1))
            break
        forget_others(place, name)
    return name


def _lines(engine: Engine, found: dict[str, int]) -> Iterator[bytes]:
    for name in sorted(found.keys() - {LIVE}):
        yield from kept.lines_of(engine, name, found[name])


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let no two processes of this machine make an index at the same time."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def matcher(engine: Engine, index: Index | None, allow: Allow) -> Matcher:
    """Return what looks events up in an index and in what was added one by one."""
    held: list[Held] = [] if index is None else [index]
    ends = {each.name: each.ends for each in kept.feeds(engine)}
    return Matcher([*held, Few(kept.live(engine))], allow, ends)


def current(engine: Engine, settings: Settings) -> Matcher:
    """Return what is in force now, its index made first where it is not there.

    Raises:
        HaidangError: the allow-list cannot be read.
    """
    name = make(engine, settings)
    allow = of_settings(settings.indicators)
    return matcher(engine, open_newest(place_of(settings), name) if name else None, allow)

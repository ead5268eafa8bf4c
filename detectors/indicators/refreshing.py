"""A list is brought up to date: what the settings say of it enters, a new version in the state leaves, or why not.

What was there last stays in force when a refresh fails, whatever fails. What is new in it is searched in the events
that are stored already.
"""

import re
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from detectors.indicators import kept
from detectors.indicators.fetching import Document, bring, read_file
from detectors.indicators.formats import read
from detectors.indicators.index import key
from detectors.indicators.indicator import of_line
from detectors.indicators.listed import Defaults, Refused, count
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.settings import IndicatorFeed, Settings
from pipeline.settings.indicators import FEED_NAME, LIVE

#: After a failure it is tried again in so many seconds, twice as long each time, until the usual time is reached.
_FIRST_PAUSE = 60.0
#: Keys that are compared together.
_CHUNK = 1_000_000
#: Characters of a reason that are kept.
_MAX_REASON = 1_000
#: Lists that are one file: without a byte in it, it was cut off rather than emptied.
_ONE_FILE = ("file", "https", kept.IMPORTED)


class NoneUsable(HaidangError):
    """Documents with indicators of which none can be used; `refused` counts them by reason."""

    def __init__(self, source: str, refused: Refused) -> None:
        place, text, reason = refused.shown[0]
        said = {"place": place, "text": text, "reason": say(f"indicators.refused.{reason}")}
        super().__init__("indicators.none_usable", source=source, **said)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a refresh: `changed` whether there is a new version, `new` how many indicators it brought."""

    name: str
    count: int = 0
    new: int = 0
    changed: bool = False
    refused: Mapping[str, int] | None = None
    shown: tuple[tuple[str, str, str], ...] = ()
    error: str = ""


def due(engine: Engine, settings: Settings, now: float) -> list[IndicatorFeed]:
    """Return the lists of the settings that should be looked at, those waiting longest first."""
    known = {each.name: each for each in kept.feeds(engine)}
    waiting = []
    for feed in settings.indicators.feeds:
        there = known.get(feed.name)
        if there is None:
            waiting.append((0.0, feed))
            continue
        pause = feed.refresh_minutes * 60
        if there.failures:
            pause = min(pause, _FIRST_PAUSE * 2 ** min(there.failures - 1, 20))
        if there.requested > there.tried or now >= there.tried + pause or now < there.tried - pause:
            waiting.append((there.tried + pause, feed))
    return [feed for _, feed in sorted(waiting, key=lambda pair: pair[0])]


def forget_unnamed(engine: Engine, settings: Settings) -> None:
    """Remove the lists that the settings do not name any more; those that were imported stay."""
    named = {feed.name for feed in settings.indicators.feeds}
    for each in kept.feeds(engine):
        if each.kind != kept.IMPORTED and each.name not in named:
            log("indicators").info("feed_removed", feed=each.name, count=each.count)
            kept.remove_feed(engine, each.name)


def refresh(engine: Engine, settings: Settings, feed: IndicatorFeed, force: bool = False) -> Outcome:
    """Bring a list of the settings up to date. Never raises for what is wrong with the list: it is in the outcome."""
    place = str(feed.path) if feed.path is not None else feed.url
    before = kept.feed(engine, feed.name)
    known = before is not None and before.version and before.place == place and not force
    try:
        brought = bring(feed, before.marks if before is not None and known else {})
        if not brought.changed and before is not None and known:
            detail = {**before.detail, "expires_days": feed.expires_days}
            kept.note_attempt(
                engine, feed.name, feed.kind, place, refreshed=time.time(), failures=0, error="", detail=detail
            )
            return Outcome(feed.name, before.count, refused=before.detail.get("refused"))
        defaults = Defaults(feed.name, feed.threat, feed.confidence, now=time.time())
        about = {"kind": feed.kind, "place": place}
        made = take(engine, settings, brought.documents, defaults, about, feed.expires_days, brought.marks)
    except HaidangError as error:
        reason = str(error)[:_MAX_REASON]
        failures = (before.failures if before else 0) + 1
        kept.note_attempt(engine, feed.name, feed.kind, place, failures=failures, error=reason)
        log("indicators").error("refresh_failed", feed=feed.name, reason=reason)
        return Outcome(feed.name, before.count if before else 0, error=reason)
    log("indicators").info("refreshed", feed=made.name, count=made.count, new=made.new, refused=made.refused)
    return made


def import_file(engine: Engine, settings: Settings, path: Path, form: str, defaults: Defaults, days: float) -> Outcome:
    """Bring a file in once, under the name of `defaults`.

    Raises:
        HaidangError: it cannot be read, has nothing that could be used, or the name is none or that of another list.
    """
    if not re.fullmatch(FEED_NAME, defaults.feed) or defaults.feed == LIVE:
        raise HaidangError("indicators.bad_name", name=defaults.feed, reserved=LIVE)
    if any(feed.name == defaults.feed for feed in settings.indicators.feeds):
        raise HaidangError("indicators.name_taken", name=defaults.feed)
    documents = iter((Document(path.name, read_file(path), form),))
    about = {"kind": kept.IMPORTED, "place": path.name}
    return take(engine, settings, documents, defaults, about, days, {})


def take(
    engine: Engine, settings: Settings, documents: Iterable[Document], defaults: Defaults, about: dict[str, str],
    days: float, marks: dict[str, Any],
) -> Outcome:  # fmt: skip
    """Write what is in documents as a new version of a list, and put it in force.

    Raises:
        NoneUsable: there is nothing in them that could be used.
        HaidangError: they cannot be read, or there is no room for what is in them.
    """
    name = defaults.feed
    made, refused = kept.NewVersion(engine, name), Refused()
    written = _Written(settings.indicators.most - sum(each.count for each in kept.feeds(engine) if each.name != name))
    try:
        for document in documents:
            if about["kind"] in _ONE_FILE and (not document.data or document.data.isspace()):
                raise HaidangError("indicators.empty", source=document.name)
            for indicator in count(read(document.data, document.form, defaults, document.name), refused):
                written.note(indicator.kind, indicator.threat, key(indicator)[0], name, settings.indicators.most)
                made.add(indicator.line())
        made.finish()
        if not written.count and refused.counts:
            raise NoneUsable(name, refused)
        old = kept.feed(engine, name)
        now = time.time()
        row = {
            **about, "count": written.count, "marks": marks, "changed": now, "refreshed": now, "tried": now,
            "requested": 0.0, "failures": 0, "error": "",
            "detail": {
                "digest": made.digest, "expires_days": days, "kinds": dict(written.kinds),
                "threats": dict(written.threats), **refused.detail(),
            },
        }  # fmt: skip
        outcome = Outcome(name, written.count, refused=dict(refused.counts), shown=tuple(map(tuple, refused.shown)))  # type: ignore[arg-type]
        if old is not None and old.version and old.detail.get("digest") == made.digest:
            made.drop()
            changes = {key: value for key, value in row.items() if key not in ("kind", "place", "tried", "requested")}
            kept.note_attempt(engine, name, about["kind"], about["place"], **{**changes, "changed": old.changed})
            return outcome
        search, new = _search(engine, made, written.keys, settings, old)
        made.put_in_force(row, search)
    except BaseException:
        made.drop()
        raise
    return Outcome(name, written.count, new, True, outcome.refused, outcome.shown)


class _Written:
    """What was written of a list so far."""

    def __init__(self, room: int) -> None:
        self.kinds: Counter[str] = Counter()
        self.threats: Counter[str] = Counter()
        self.keys = array("Q")
        self._room = room

    @property
    def count(self) -> int:
        return len(self.keys)

    def note(self, kind: str, threat: str, number: int, name: str, most: int) -> None:
        self.kinds[kind] += 1
        self.threats[threat] += 1
        self.keys.append(number)
        if len(self.keys) > self._room:
            raise HaidangError("indicators.no_room", source=name, limit=most)


def _search(
    engine: Engine, made: kept.NewVersion, keys: "array[int]", settings: Settings, old: kept.Feed | None
) -> tuple[dict[str, Any] | None, int]:
    """Return the search of stored events for what is new in a version, and how many that are."""
    before = array("Q")
    if old is not None and old.version:
        before.extend(key(of_line(line))[0] for line in kept.lines_of(engine, old.name, old.version))
    new = _beyond(keys, before)
    days = settings.indicators.retro_days
    if not len(new) or not days:
        return None, len(new)
    lines: list[bytes] = []
    if len(new) <= settings.indicators.retro_values:
        wanted = frozenset(new.tolist())
        lines = [line for line in made.lines() if key(of_line(line))[0] in wanted]
    return kept.new_search(made.name, lines, days, len(new)), len(new)


def _beyond(keys: "array[int]", before: "array[int]") -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """Return the keys, each once, that were not there before; ten million of both take no more than they must."""
    found = np.unique(np.frombuffer(keys, np.uint64))
    if not before:
        return found
    known = np.frombuffer(before, np.uint64)
    known.sort()
    parts = []
    for start in range(0, len(found), _CHUNK):
        chunk = found[start : start + _CHUNK]
        at = np.searchsorted(known, chunk)
        at[at == len(known)] = 0
        parts.append(chunk[known[at] != chunk])
    return np.concatenate([found[:0], *parts])

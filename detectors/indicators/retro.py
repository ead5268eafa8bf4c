"""Stored events are searched for indicators that came after them: a search of the state enters, alerts leave.

Up to some thousands of new indicators the store is asked for them, in batches. For more that would take longer than
to read the stored events through, so these are read, the newest first, and each is looked up in all that is in force;
that ends after so many events, and says so. How far it came is kept after each batch or hour, so a restart goes on
there; the ids of the alerts make a repeated batch harmless.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlalchemy import Engine

from detectors.behaviour import HOUR
from detectors.indicators import kept
from detectors.indicators.alerting import Told, alerts_of
from detectors.indicators.allow import Allow
from detectors.indicators.index import Few
from detectors.indicators.indicator import Indicator
from detectors.indicators.matcher import FIELDS, Matcher, is_wanted
from pipeline.event import Event, decode
from pipeline.logs import log
from pipeline.messages import Unavailable
from pipeline.networks import Site
from pipeline.settings import Settings
from pipeline.store import EVENTS, Reader
from pipeline.store import query as q

#: Indicators that one query asks for, and those for which whole vocabularies must be looked through.
_BATCH, _PATTERNS = 200, 20
#: Alerts of one search; with more it ends, and says so.
_MOST_ALERTS = 20_000
#: Alerts that are published together, and events between two looks at the clock.
_TOGETHER = 200

#: Brings alerts on their way; False where it was told to stop meanwhile.
Publish = Callable[[list[Event]], bool]


class _Stopped(Exception):
    """Told to stop; what was done is kept."""


class Retro:
    """Runs searches, one after the other."""

    def __init__(self, engine: Engine, reader: Reader, settings: Settings, allow: Allow, publish: Publish) -> None:
        self._engine = engine
        self._reader = reader
        self._settings = settings.indicators
        self._site = Site(settings.detectors.behaviours.local_networks)
        self._allow = allow
        self._publish = publish

    def run(self, search: kept.Search, everything: Matcher) -> None:
        """Run one search, or go on with it; `everything` looks events up in all that is in force.

        Raises:
            Unavailable: the store does not answer; the search waits.
        """
        running = _Running(search)
        if not running.until:
            running.until = time.time_ns() // 1000
            self._keep(running)
        try:
            indicators = search.indicators
            if search.kind == kept.VALUES:
                self._ask(running, indicators)
            else:
                self._read(running, everything)
        except _Stopped:
            return
        except Unavailable:  # the store is away: it is tried again
            self._keep(running)
            raise
        except Exception as error:  # of the store, or of ours: it is shown, and costs no other search
            log("indicators").exception("search_failed", search=search.id)
            self._keep(running, kept.FAILED, f"{type(error).__name__}: {error}"[:1000])
            return
        self._keep(running, kept.BOUNDED if running.bounded else kept.DONE)
        log("indicators").info(
            "searched", feed=search.feed, count=search.count, examined=running.examined, found=running.found
        )

    def _ask(self, running: "_Running", indicators: Sequence[Indicator]) -> None:
        span = q.Within(q.TIME, running.search.since, running.until)
        for start, batch in _batches(indicators, running.done):
            few = Matcher([Few(batch)], self._allow)
            asked = q.Combined(must=(span, _any(list(conditions(batch)))))
            self._look(running, few, self._reader.lines(EVENTS, asked))
            running.done = start + len(batch)
            self._keep(running)
            if running.bounded:
                return

    def _read(self, running: "_Running", everything: Matcher) -> None:
        end = running.done or running.until
        width = HOUR
        while end > running.search.since and not running.bounded:
            start, before = max(end - width, running.search.since), running.examined
            span = q.Within(q.TIME, start, end - 1)
            if width > HOUR and self._count(span):
                width = max(width // 8, HOUR)
                continue
            self._look(running, everything, self._reader.lines(EVENTS, span))
            running.bounded = running.bounded or running.examined >= self._settings.retro_events
            running.done = end = start
            width = 2 * width if running.examined == before else HOUR  # where there is nothing, in larger steps
            self._keep(running)

    def _count(self, span: q.Condition) -> int:
        return int(self._reader.search(EVENTS, {"query": span, "size": 0})["hits"]["total"]["value"])

    def _look(self, running: "_Running", matcher: Matcher, pages: Iterable[list[bytes]]) -> None:
        found: list[Event] = []
        for lines in pages:
            running.examined += len(lines)
            for line in filter(is_wanted, lines):
                event = decode(line)
                if hits := matcher.hits(event):
                    found += running.told.new(alerts_of(event, hits, self._site, afterwards=True))
            if len(found) >= _TOGETHER:
                self._tell(running, found)
                found = []
                if running.bounded:
                    return
        self._tell(running, found)

    def _tell(self, running: "_Running", found: list[Event]) -> None:
        if found and not self._publish(found):
            raise _Stopped
        running.found += len(found)
        running.bounded = running.bounded or running.found >= _MOST_ALERTS

    def _keep(self, running: "_Running", state: str = kept.WAITING, error: str = "") -> None:
        kept.note_search(
            self._engine, running.search.id, until=running.until, done=running.done, examined=running.examined,
            found=running.found, state=state, error=error, ended=0.0 if state == kept.WAITING else time.time(),
        )  # fmt: skip


class _Running:
    """A search as it goes."""

    def __init__(self, search: kept.Search) -> None:
        self.search = search
        self.until, self.done = search.until, search.done
        self.examined, self.found = search.examined, search.found
        self.bounded = False
        self.told = Told()


def _batches(indicators: Sequence[Indicator], done: int) -> Iterator[tuple[int, list[Indicator]]]:
    """Yield what is still to be asked for, with where it begins; of what needs patterns fewer at once."""
    at = done
    while at < len(indicators):
        batch: list[Indicator] = []
        patterns = 0
        for each in indicators[at : at + _BATCH]:
            patterns += each.kind in ("domain", "url", "network")
            if patterns > _PATTERNS:
                break
            batch.append(each)
        yield at, batch
        at += len(batch)


def conditions(indicators: Sequence[Indicator]) -> Iterator[q.Condition]:
    """Yield conditions of which one holds for each stored event that shows one of these; they may hold for others."""
    exact: dict[str, set[str]] = {}
    for each in indicators:
        for field in _fields_of(each.kind):
            if each.kind == "network":
                yield q.InNetwork(field, each.value)
            elif each.kind == "url":
                yield q.Like(field, f"*{q.escape(each.value.removesuffix('/'))}*")
            else:
                exact.setdefault(field, set()).add(each.value)
                if each.kind == "domain":
                    yield q.Like(field, f"*.{q.escape(each.value)}")
        if each.kind == "url":
            host, slash, rest = each.value.partition("/")
            domain = host.rpartition(":")[0] if host.count(":") == 1 else host
            target = q.Like("url.original", f"{q.escape(slash + rest)}*")
            yield q.Combined(must=(q.Equals("url.domain", (domain,)), target))
    for field, values in exact.items():
        yield q.Equals(field, tuple(sorted(values)))


def _fields_of(kind: str) -> list[str]:
    """Return the fields that can show an indicator of a kind."""
    ways = {
        "address": ("address", "either"), "network": ("address",), "domain": ("name", "either"),
        "host": ("name", "either"), "url": ("url",), "email": ("email",),
    }.get(kind, ())  # fmt: skip
    return [field for field, (way, _, kinds) in FIELDS.items() if way in ways or kind in kinds]


def _any(parts: Sequence[q.Condition]) -> q.Condition:
    return q.Combined(should=tuple(parts), least=1)

"""Habits: which source sent something in which minute enters; an alert leaves when one is silent against its habit.

How long a source is silent now is held against how long it was silent at the same time of earlier weeks, an hour before
and after included: so a night, a weekend or a nightly batch is nothing unusual. How far the weeks stray from each other
by the same measure says how much more is unusual for this source: one that comes at random must be silent for long.
What counts is when events come, not which time they say, and only minutes in which we listened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, select

from pipeline.bus import OWN_RULES
from pipeline.event import Event, at_second
from pipeline.ledger import IN
from pipeline.logs import log
from pipeline.own_alerts import told_alert
from pipeline.settings import RESERVED_SOURCES
from pipeline.state import upsert
from pipeline.state.tables import habits, ledger, silences, stages

#: Weeks that are compared, and hours of one.
WEEKS, _WEEK = 5, 168
#: Before a source has been heard for so many weeks, its longest silence so far is all that is known of it.
_FEWEST_WEEKS = 2
#: So many hours before and after count as the same time: people and programs are not punctual.
_NEAR = 1
#: A silence is unusual beyond this multiple of what was usual, and these minutes more.
_FACTOR, _MARGIN = 1.5, 5
#: A source whose weeks stray more than this comes at random: it must also be silent for longer than ever.
_AT_RANDOM = 2.0
#: For a source that is young: heard on so many hours of working days at least, and silent for this multiple of its
#: longest silence and for these minutes; weekends say nothing yet.
_YOUNG_HOURS, _YOUNG_FACTOR, _YOUNG_LEAST = 24, 5, 30
_SATURDAY = 5
#: Minutes after a pause of ours in which a silence is not counted: senders come back when they notice.
SETTLING = 10
#: More minutes than this in which nobody looked are a pause of ours.
_PAUSE = 3
#: A minute is looked at when it has been over for so many seconds: by then its events are counted.
COUNTED_SECONDS = 10
#: A source that was silent for this long is forgotten, in minutes.
_FORGOTTEN_MINUTES = (WEEKS + 1) * _WEEK * 60
#: Collectors that said nothing for this long do not listen, in seconds; after a day nobody expects them.
_SILENT_SECONDS, _GONE_SECONDS = 10.0, 86_400.0
#: Sources that a person starts.
_NOT_LIVE = ("import", OWN_RULES)


@dataclass(frozen=True, slots=True)
class Silence:
    """A source up to `minute` (minutes since 1970): `silent` minutes without events, of which we listened in each.

    `longest` is the longest silence of this hour, as long as it was by then.
    """

    source: str
    minute: int
    first: int
    last: int
    silent: int = 0
    longest: int = 0
    raised: bool = False

    def next(self, active: bool, listening: bool) -> "Silence":
        """Return it a minute later."""
        minute = self.minute + 1
        silent = 0 if active else self.silent + listening
        longest = max(silent, self.longest if minute % 60 else 0)
        return replace(self, minute=minute, last=minute if active else self.last, silent=silent, longest=longest)


@dataclass(frozen=True, slots=True)
class Habit:
    """What is usual for a source in one hour: how long it may be silent, in minutes; None while that is not known."""

    limit: float | None
    usual: int = 0


def habit(history: Mapping[int, int], silence: Silence) -> Habit:
    """Return what is usual in the hour of `silence`; `history` has the longest silence of each hour before."""
    hour = silence.minute // 60
    weeks = min((hour - silence.first // 60) // _WEEK, WEEKS)
    if weeks < _FEWEST_WEEKS:
        return _of_a_young_one(history, silence)
    usual = _second_most([_near(history, hour - week * _WEEK) for week in range(1, weeks + 1)])
    if usual is None:
        return Habit(None)
    straying = _straying(history, hour, weeks)
    limit = _FACTOR * straying * usual + _MARGIN
    if straying > _AT_RANDOM:
        limit = max(limit, _FACTOR * _longest(history, hour, weeks))
    return Habit(limit, usual)


def _of_a_young_one(history: Mapping[int, int], silence: Silence) -> Habit:
    if _working_hours(silence.first, silence.last) < _YOUNG_HOURS or _is_weekend(silence.minute):
        return Habit(None)
    usual = max((longest for at, longest in history.items() if at < silence.last // 60), default=0)
    return Habit(max(_YOUNG_FACTOR * usual, _YOUNG_LEAST), usual)


def _near(history: Mapping[int, int], hour: int) -> int | None:
    """Return the longest silence around an hour."""
    return max((history[at] for at in range(hour - _NEAR, hour + _NEAR + 1) if at in history), default=None)


def _second_most(values: Iterable[int | None]) -> int | None:
    """Return the second most: one odd week (an outage, a holiday) is no habit, two are; of two values the most."""
    known = sorted(value for value in values if value is not None)
    return known[-2 if len(known) > _FEWEST_WEEKS else -1] if known else None


def _straying(history: Mapping[int, int], hour: int, weeks: int) -> float:
    """Return how many times as long as in the other weeks the silences of a week were, where that is more than 1."""
    most = [1.0] * weeks
    for slot in range(hour - _WEEK, hour):
        hours = range(slot, slot - weeks * _WEEK, -_WEEK)
        if all(history.get(at, 0) <= _MARGIN for at in hours):
            continue
        near = [_near(history, at) for at in hours]
        for week, at in enumerate(hours):
            silent = history.get(at, 0)
            if silent <= _MARGIN or silent - _MARGIN <= most[week]:
                continue  # it cannot be more
            usual = _second_most(near[:week] + near[week + 1 :])
            if usual is not None:
                most[week] = max(most[week], (silent - _MARGIN) / max(usual, 1))
    return sorted(most)[-2 if weeks > _FEWEST_WEEKS else -1]


def _longest(history: Mapping[int, int], hour: int, weeks: int) -> int:
    """Return the longest silence of any week but one."""
    spans = [range(hour - week * _WEEK, hour - (week - 1) * _WEEK) for week in range(1, weeks + 1)]
    return _second_most([max((history.get(at, 0) for at in span), default=0) for span in spans]) or 0


def _working_hours(first: int, last: int) -> int:
    """Return how many hours that lie between two minutes are no weekend's, as far as it matters."""
    return sum(not _is_weekend(minute) for minute in range(first, min(last, first + _WEEK * 60), 60))


def _is_weekend(minute: int) -> bool:
    return datetime.fromtimestamp(minute * 60).astimezone().weekday() >= _SATURDAY


class Watcher:
    """Follows every source, minute by minute; one at a time, of all copies. What it has seen is in the state."""

    def __init__(self) -> None:
        self._limits: dict[str, tuple[int, Habit]] = {}  # by source: the hour that it is about
        self._settled = 0

    def look(self, connection: Connection, now: float, observer: str) -> list[Event]:
        """Look at the minutes that are over, if there are any new ones; return the alerts."""
        minute = int((now - COUNTED_SECONDS) // 60) - 1
        known = {row["source"]: Silence(**row) for row in connection.execute(select(silences)).mappings()}
        seen = max((silence.minute for silence in known.values()), default=minute - 1)
        if seen >= minute:
            return []
        if not _all_listen(connection, now) or minute - seen > _PAUSE:
            self._settled = minute + SETTLING
        active = _active(connection, seen, minute)
        alerts = []
        for source in sorted(known.keys() | active.keys()):
            silence = known.get(source) or _found(source, min(active[source]))
            after = self._follow(connection, silence, minute, active.get(source, set()))
            if after.raised != silence.raised:
                usual = self._limit(connection, after)
                alerts.append(_alert(silence if silence.raised else after, after.raised, usual, observer))
            known[source] = after
        rows = [asdict(silence) for silence in known.values() if minute - silence.last < _FORGOTTEN_MINUTES]
        upsert(connection, silences, rows, key=["source"])
        return alerts

    def _follow(self, connection: Connection, silence: Silence, minute: int, active: set[int]) -> Silence:
        done: dict[int, int] = {}
        while silence.minute < minute:
            done[silence.minute // 60] = silence.longest
            listening = silence.minute + 1 >= max(self._settled, minute)  # not minutes in which nobody looked
            silence = silence.next(silence.minute + 1 in active, listening)
        done.pop(minute // 60, None)
        rows = [{"source": silence.source, "hour": hour, "longest": longest} for hour, longest in sorted(done.items())]
        upsert(connection, habits, rows, key=["source", "hour"])
        if not silence.silent:
            return replace(silence, raised=False)
        limit = self._limit(connection, silence).limit if silence.silent > _MARGIN else None
        return replace(silence, raised=silence.raised or (limit is not None and silence.silent > limit))

    def _limit(self, connection: Connection, silence: Silence) -> Habit:
        hour = silence.minute // 60
        known = self._limits.get(silence.source)
        if known is None or known[0] != hour:
            query = select(habits.c.hour, habits.c.longest).where(habits.c.source == silence.source)
            known = self._limits[silence.source] = (hour, habit(dict(connection.execute(query).all()), silence))
        return known[1]


def quiet(connection: Connection) -> list[tuple[str, int]]:
    """Return the sources that are silent against their habit, each with its last minute with events (since 1970)."""
    query = select(silences.c.source, silences.c.last).where(silences.c.raised).order_by(silences.c.last)
    return [(row.source, row.last) for row in connection.execute(query)]


def forget_old(connection: Connection, now: float) -> None:
    """Delete what is too old to be compared, and sources that have been silent for as long."""
    minute = int(now // 60)
    connection.execute(delete(habits).where(habits.c.hour < minute // 60 - (WEEKS + 1) * _WEEK))
    connection.execute(delete(silences).where(silences.c.last < minute - _FORGOTTEN_MINUTES))


def _found(source: str, minute: int) -> Silence:
    return Silence(source, minute - 1, minute, minute)


def _active(connection: Connection, after: int, until: int) -> dict[str, set[int]]:
    """Return the minutes in which each source sent something."""
    query = select(ledger.c.source, ledger.c.minute).where(
        ledger.c.minute > after, ledger.c.minute <= until, ledger.c.stage == "collectors", ledger.c.outcome == IN,
        ledger.c.source.not_in((*RESERVED_SOURCES, *_NOT_LIVE)),
    )  # fmt: skip
    found: dict[str, set[int]] = {}
    for source, minute in connection.execute(query):
        found.setdefault(source, set()).add(minute)
    return found


def _all_listen(connection: Connection, now: float) -> bool:
    """Say whether the collectors of every machine live and are not held; of a day-old one nothing is expected."""
    query = select(stages.c.seen, stages.c.detail).where(
        stages.c.stage == "collectors", stages.c.seen > now - _GONE_SECONDS
    )
    told = connection.execute(query).all()
    return bool(told) and all(
        row.seen > now - _SILENT_SECONDS and row.detail.get("ready") and not row.detail.get("held") for row in told
    )


def _alert(told: Silence, silent: bool, usual: Habit, observer: str) -> Event:
    """Return the alert that a source is silent, or that it sends again."""
    key, level = ("habits.source_quiet", "medium") if silent else ("habits.source_heard_again", "informational")
    log("habits").warning(key.rpartition(".")[2], source=told.source, minutes=told.silent)
    return told_alert(
        key, told.source, str(told.last), observer, level, source=told.source, last=at_second(told.last * 60),
        minutes=told.silent, usual=usual.usual,
    )  # fmt: skip

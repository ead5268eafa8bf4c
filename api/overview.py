"""The route of the first screen: nothing enters, how the site stands leaves in one answer, as far as one may see it.

It is made of what other routes tell as well; of a part that one may not read, or that cannot be narrowed to one's data
view, there is none. A part that cannot be told now costs that part alone.
"""

import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Engine
from starlette.responses import Response

from api.access import Anyone, State
from api.search import reader_of, searching_of
from api.status import health_of, shows
from pipeline import habits, ledger, store
from pipeline.cases import OPEN as OPEN_CASE
from pipeline.cases import showing
from pipeline.cases.clocks import DONE, DONE_LATE
from pipeline.event import from_micros
from pipeline.identity.users import User
from pipeline.messages import Unavailable
from pipeline.queue import groups, risk
from pipeline.settings import Settings
from pipeline.store import query as q

router = APIRouter(tags=["status"])
#: As many groups, entities and cases are told; the rest is a click away.
_MOST = 10
_MINUTES = 60
_MOST_CASES = 1000


@router.get("/overview")
async def overview(request: Request, state: State, user: Anyone) -> Response:
    """Return how the site stands: `queue`, `entities`, `alerts_by_hour`, `cases`, `events_by_minute`, `quiet`,
    `health`; each for who may read it. `faults` says why one is missing that should be there."""

    def work() -> dict[str, Any]:
        told: dict[str, Any] = {}
        faults: dict[str, str] = {}
        for name, (permission, narrows, part) in _PARTS.items():
            if permission in user.permissions and (narrows or not user.sight.is_limited()):
                try:
                    told[name] = part(_Asked(request, state, user))
                except Unavailable as error:
                    faults[name] = str(error)
        return {**told, "faults": faults}

    return await searching_of(request).answer(work)


class _Asked:
    """Who asks for a part, and of what it is made."""

    def __init__(self, request: Request, state: Engine, user: User) -> None:
        self.request, self.state, self.user = request, state, user
        self.settings: Settings = request.app.state.settings


def _queue(asked: _Asked) -> dict[str, Any]:
    """The open groups by level and status, and the riskiest."""
    with asked.state.connect().execution_options(read_only=True) as connection:
        page = groups.page(connection, groups.Asked(limit=_MOST, sight=asked.user.sight))
    return {name: page[name] for name in ("total", "levels", "statuses", "groups")}


def _entities(asked: _Asked) -> list[dict[str, Any]]:
    """The entities with the highest risk, and what it is made of."""
    with asked.state.connect().execution_options(read_only=True) as connection:
        return groups.shown_risks(connection, risk.highest(connection, time.time_ns() // 1000, _MOST))


def _alerts_by_hour(asked: _Asked) -> list[dict[str, Any]]:
    """The alerts of the last 24 hours, an hour each, by level."""
    last_day = {"range": {q.TIME: {"gte": "now-24h", "lte": "now"}}}
    levels = {"terms": {"field": "rule.level", "size": 10}}
    by_hour = {"date_histogram": {"field": q.TIME, "fixed_interval": "1h"}, "aggs": {"levels": levels}}
    body = {"query": asked.user.sight.narrowed(store.ALERTS, last_day), "size": 0, "aggs": {"hours": by_hour}}
    answer = reader_of(asked.request).search(store.ALERTS, body)
    return [
        {
            "hour": from_micros(bucket["key"] * 1000), "alerts": bucket["doc_count"],
            "levels": {level["key"]: level["doc_count"] for level in bucket["levels"]["buckets"]},
        }
        for bucket in answer["aggregations"]["hours"]["buckets"]
    ]  # fmt: skip


def _cases(asked: _Asked) -> dict[str, Any]:
    """The open cases, and those with a term that runs, the next one due first."""
    with asked.state.connect().execution_options(read_only=True) as connection:
        found = showing.listed(connection, asked.settings.cases, OPEN_CASE, "", _MOST_CASES, 0)
    running = []
    for case in found["cases"]:
        clocks = [clock for clock in case["clocks"] if clock["state"] not in (DONE, DONE_LATE)]
        if clocks:
            shown = {name: case[name] for name in ("id", "title", "level", "owner")}
            running.append({**shown, "clocks": sorted(clocks, key=lambda clock: str(clock["due"]))})
    running.sort(key=lambda case: str(case["clocks"][0]["due"]))
    return {"open": found["total"], "running": len(running), "cases": running[:_MOST]}


def _events_by_minute(asked: _Asked) -> list[dict[str, Any]]:
    """The events that were received in each minute of the last hour, of the sources in view."""
    with asked.state.connect().execution_options(read_only=True) as connection:
        found = ledger.received(connection, _MINUTES)
    now = ledger.this_minute()
    sums = dict.fromkeys(range(now - _MINUTES + 1, now + 1), 0)
    for (minute, source), events in found.items():
        if minute in sums and shows(asked.user, source):
            sums[minute] += events
    return [{"minute": from_micros(minute * 60_000_000), "events": events} for minute, events in sums.items()]


def _quiet(asked: _Asked) -> list[dict[str, Any]]:
    """The sources in view that are silent against their habit, and since when."""
    with asked.state.connect().execution_options(read_only=True) as connection:
        found = habits.quiet(connection)
    return [
        {"source": source, "last": from_micros(minute * 60_000_000)}
        for source, minute in found
        if shows(asked.user, source)
    ]


def _health(asked: _Asked) -> dict[str, Any]:
    """What does not work."""
    found = health_of(asked.state, asked.settings, asked.user)
    down = sorted(name for name, stage in found["stages"].items() if not stage["up"])
    return {"status": found["status"], "down": down, "problems": found["problems"]}


#: Each part: the permission that it needs, whether it keeps to data views, and what makes it.
_PARTS: dict[str, tuple[str, bool, Callable[[_Asked], Any]]] = {
    "queue": ("alerts.read", True, _queue),
    "entities": ("alerts.read", False, _entities),
    "alerts_by_hour": ("alerts.read", True, _alerts_by_hour),
    "cases": ("cases.read", False, _cases),
    "events_by_minute": ("site.read", True, _events_by_minute),
    "quiet": ("site.read", True, _quiet),
    "health": ("site.read", True, _health),
}

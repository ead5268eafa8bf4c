"""Routes about the pipeline itself: sources, health, metrics."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import Field
from sqlalchemy import Engine

from api.access import State, address_of, needs, noted, person
from api.bodies import Body, Text
from pipeline import clocks, deadletters, habits
from pipeline.balance import balances, by_minute
from pipeline.health import health
from pipeline.identity.users import User
from pipeline.ledger import KEEP_MINUTES
from pipeline.messages import say
from pipeline.metrics import metrics_text
from pipeline.retrying import bring_back
from pipeline.settings import Settings
from pipeline.store import EVENTS

router = APIRouter(tags=["status"])
#: So many characters of a dead letter are shown.
_LONGEST_LINE = 2000
#: So many letters are brought back by one request; their lines are held in memory.
_MOST_RETRIED = 1000
_Reader = Annotated[User, Depends(needs("site.read"))]
_Searcher = Annotated[User, Depends(needs("events.read"))]
_Mender = Annotated[User, Depends(needs("settings.change"))]


class Letters(Body):
    """Which dead letters are meant; what is left out narrows nothing."""

    source: Annotated[Text, Field(max_length=200)] | None = None
    reason: Annotated[Text, Field(max_length=200)] | None = None
    stage: Annotated[Text, Field(max_length=200)] | None = None


class LettersSeen(Body):
    """A row of `reasons`; `until`: only what came up to then (seconds since 1970), so that none goes that nobody has
    seen."""

    source: Annotated[Text, Field(max_length=200)]
    stage: Annotated[Text, Field(max_length=200)]
    reason: Annotated[Text, Field(max_length=200)]
    until: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@router.get("/sources")
def sources(state: State, user: _Reader) -> list[dict[str, Any]]:
    """Return the ledger: for each source what was received, stored, held on the way, dropped and why, examined, and the
    alerts. `quiet`: it is silent against its habit.

    `clock_behind` is the clock of its hosts that is off most, in seconds (null: none is known); `clocks_off` counts
    those that are an alert.
    """
    found = clocks.worst(state)
    with state.connect().execution_options(read_only=True) as connection:
        quiet = {source for source, _ in habits.quiet(connection)}
    rows = [row for row in balances(state) if shows(user, row["source"])]
    for row in rows:
        row["clock_behind"], row["clocks_off"] = found.get(row["source"], (None, 0))
        row["quiet"] = row["source"] in quiet
    return rows


@router.get("/sources/clocks")
def clocks_now(state: State, user: _Reader) -> list[dict[str, Any]]:
    """Return how far each sending host's clock is off, in seconds; more than 0 is behind ours."""
    return [row for row in clocks.listed(state) if shows(user, row["source"])]


@router.get("/sources/{source}/minutes")
def minutes(
    source: str, state: State, user: _Reader, minutes: Annotated[int, Query(ge=1, le=KEEP_MINUTES)] = 60
) -> dict[str, Any]:
    """Return a source's sums up to the last `minutes` minutes (`before`), then each of them, and `held` at its end.

    received so far = stored + already_stored + held + dropped, each so far, after every minute.
    """
    if not shows(user, source):
        raise HTTPException(404, say("api.no_source", source=source[:100]))
    before, each = by_minute(state, source, minutes)
    return {"source": source, "before": asdict(before), "minutes": [asdict(minute) for minute in each]}


@router.get("/settings")
def settings_now(request: Request, user: Annotated[User, Depends(needs("settings.read"))]) -> dict[str, Any]:
    """Return the settings as they are in force on the API's machine, without what is secret in them."""
    settings: Settings = request.app.state.settings
    noted(request, user.name, "settings_read")
    return {"settings": settings.model_dump(mode="json")}


@router.get("/dead-letters")
def dead_letters(
    request: Request,
    state: State,
    user: _Reader,
    _searcher: _Searcher,
    source: Annotated[str | None, Query(max_length=200)] = None,
    reason: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
) -> dict[str, Any]:
    """Return the lines that a stage could do nothing with: how many by source, stage and `reasons`, and the oldest of
    those that are asked for. They belong to no unit, so whoever has a data view does not get them."""
    found = deadletters.listed(state, (), source, reason, limit)
    asked = {name: value for name, value in (("source", source), ("reason", reason)) if value}
    noted(request, user.name, deadletters.READ, **asked, rows=len(found))
    letters = [{**each, "line": deadletters.text_of(each["line"])[:_LONGEST_LINE]} for each in found]
    return {**deadletters.summary(state), "reasons": deadletters.reasons(state), "letters": letters}


@router.post("/dead-letters/retry")
def retry_dead_letters(
    request: Request,
    state: State,
    user: _Mender,
    _searcher: _Searcher,
    which: Letters,
) -> dict[str, int]:
    """Bring lines to where they could not be taken, the oldest of them first; say how many, and how many are `left` of
    those that are meant. What fails again is a dead letter again."""
    letters = deadletters.listed(state, (), which.source, which.reason, _MOST_RETRIED, which.stage)
    done = bring_back(request.app.state.settings, state, letters)
    asked = {name: value for name, value in which.model_dump().items() if value}
    noted(request, user.name, deadletters.RETRIED, **asked, letters=done)
    left = sum(
        each["count"]
        for each in deadletters.reasons(state)
        if all(value in (None, each[name]) for name, value in which.model_dump().items())
    )
    return {"retried": done, "left": left}


@router.post("/dead-letters/drop")
def drop_dead_letters(
    request: Request,
    state: State,
    user: _Mender,
    _searcher: _Searcher,
    which: LettersSeen,
) -> dict[str, int | bool]:
    """Delete lines that could not be taken, for good, once two people want it: the wish of the first `waits`, for a
    week; with that of the second they are gone, those that both have seen. Say how many. The ledger has them as dropped
    all the same."""
    with state.begin() as connection:
        done = deadletters.drop_by_two(connection, person(user), address_of(request), **which.model_dump())
    return {"dropped": done or 0, "waits": done is None}


@router.get("/health")
def health_now(request: Request, state: State, user: _Reader) -> dict[str, Any]:
    """Return what works and what does not; with a data view, without what is said of others' sources and alerts.

    Channels, and why one fails, are for who has `delivery.read` and no data view."""
    return health_of(state, request.app.state.settings, user)


def health_of(state: Engine, settings: Settings, user: User) -> dict[str, Any]:
    """Return the health as far as somebody may see it."""
    found = health(state, settings)
    problems = [each for each in found["problems"] if "source" not in each or shows(user, each["source"])]
    told = {**found, "problems": problems}
    if "users.manage" not in user.permissions:  # who has an account here is not theirs to know
        told["advice"] = [{**each, "names": ""} for each in found["advice"]]
    if user.sight.is_limited():
        del told["queue"]
    if user.sight.is_limited() or "delivery.read" not in user.permissions:
        del told["channels"]
        told["problems"] = [_without_reason(each) for each in problems]
    return told


@router.get("/metrics")
def metrics(request: Request, state: State, user: _Reader) -> Response:
    """Return Prometheus metrics; they count all sources, so whoever has a data view does not get them."""
    if user.sight.is_limited():
        raise HTTPException(403, say("api.not_in_view", permission="site.read"))
    return Response(metrics_text(state, request.app.state.settings), media_type="text/plain; version=0.0.4")


def _without_reason(problem: dict[str, Any]) -> dict[str, Any]:
    """Return a problem; of a channel without what its receiver said, which may hold paths and the site's inside."""
    return {**problem, "error": say("api.reason_of_channel")} if problem["what"] == "channel_failing" else problem


def shows(user: User, source: str) -> bool:
    """Whether the counts of a source are in the user's view; they are not told by unit."""
    return user.sight.shows(EVENTS, source, None)

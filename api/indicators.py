"""Indicator routes: everybody who may log in reads what is looked for; analysts add, remove, refresh, search."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import State, address_of, needs
from api.search import searching_of
from detectors.indicators import adding, kept, ready
from detectors.indicators.allow import of_settings
from detectors.indicators.indicator import Kind, Threat
from pipeline.access import note
from pipeline.identity.users import User
from pipeline.messages import say
from pipeline.settings import Settings

router = APIRouter(prefix="/indicators", tags=["indicators"])
_Reader = Annotated[User, Depends(needs("indicators.read"))]
_Changer = Annotated[User, Depends(needs("indicators.change"))]
_Value = Annotated[str, Field(min_length=1, max_length=2048)]
_Text = Annotated[str, Field(max_length=500)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Added(_Body):
    """One indicator; its kind is told by its shape when left out. `expires` in seconds since 1970, 0: never."""

    value: _Value
    kind: Kind | None = None
    threat: Threat = "suspicious"
    confidence: Annotated[int, Field(ge=0, le=100)] = 80
    family: _Text = ""
    expires: Annotated[float, Field(ge=0, le=1e11)] = 0
    reference: _Text = ""
    tlp: Literal["", "clear", "white", "green", "amber", "amber+strict", "red"] = ""


class Additions(_Body):
    """All of them, or none where one is refused."""

    indicators: Annotated[list[Added], Field(min_length=1, max_length=1000)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Wanted(_Body):
    """Indicators in force that stored events are to be searched for; all that are in force where none is named."""

    values: Annotated[list[_Value], Field(max_length=1000)] = []
    days: Annotated[float | None, Field(gt=0, le=36_500)] = None


def settings_of(request: Request) -> Settings:
    """Return the settings that the application was made with."""
    settings: Settings = request.app.state.settings
    return settings


@router.get("")
def list_live(
    state: State,
    _user: _Reader,
    text: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> dict[str, Any]:
    """Return the indicators that were added one by one, the newest first, with who has added them and why."""
    wanted = text.lower()
    found = [
        each
        for each in kept.live_rows(state)
        if wanted in f"{each.indicator.value} {each.indicator.family} {each.reason}".lower()
    ]
    return {"total": len(found), "indicators": [each.as_json() for each in found[offset : offset + limit]]}


@router.get("/check")
async def check(
    request: Request, state: State, _user: _Reader, value: Annotated[str, Query(min_length=1, max_length=2048)]
) -> Response:
    """Say which indicators of all lists a value is, and whether it is one that never alerts."""

    def work() -> dict[str, Any]:
        settings = settings_of(request)
        return adding.checked(ready.current(state, settings), of_settings(settings.indicators), value)

    return await searching_of(request).answer(work)


@router.post("")
def add(request: Request, body: Additions, state: State, user: _Changer) -> dict[str, Any]:
    """Look for these from now on, within seconds, and search the stored events for them (`search` is its number)."""
    settings = settings_of(request)
    allow = of_settings(settings.indicators)
    found = [
        one
        for each in body.indicators
        for one in adding.made(
            allow, each.value, each.kind or "", threat=each.threat, confidence=each.confidence, expires=each.expires,
            family=each.family, where=each.reference, tlp=each.tlp,
        )
    ]  # fmt: skip
    search = adding.add(state, settings, found, (user.name, address_of(request)), body.reason)
    return {"added": [each._asdict() for each in found], "search": search}


@router.delete("")
def remove(
    request: Request,
    state: State,
    user: _Changer,
    value: Annotated[str, Query(min_length=1, max_length=2048)],
    reason: Annotated[str, Query(max_length=500)] = "",
) -> dict[str, Any]:
    """Look no longer for one that was added."""
    removed = adding.remove(state, value, (user.name, address_of(request)), reason)
    return {"removed": [each._asdict() for each in removed]}


@router.get("/feeds")
def feeds(state: State, _user: _Reader) -> dict[str, Any]:
    """Return the lists: how many indicators, when they were refreshed, what was refused and why, what is wrong."""
    return {"feeds": [each.as_json() for each in kept.feeds(state)]}


@router.post("/feeds/{name}/refresh", status_code=202)
def refresh(
    request: Request, state: State, user: _Changer, name: Annotated[str, Path(max_length=63)]
) -> dict[str, Any]:
    """Let a list be refreshed now; `GET /feeds` shows what became of it."""
    now = time.time()
    known = kept.feed(state, name)
    if known is None:
        names = ", ".join(each.name for each in kept.feeds(state)) or "-"
        raise HTTPException(404, say("indicators.no_feed", name=name, known=names))
    if known.kind == kept.IMPORTED:
        raise HTTPException(409, say("indicators.is_imported", name=name))
    with state.begin() as connection:
        kept.request(connection, name, now)
        note(connection, user.name, address_of(request), "indicators_refresh", feed=name)
    return {"requested": now}


@router.get("/searches")
def searches(state: State, _user: Annotated[User, Depends(needs("events.read"))]) -> dict[str, Any]:
    """Return the searches of stored events, the newest first, and how far each is."""
    return {"searches": [each.as_json() for each in kept.searches(state)]}


@router.post("/searches")
async def search(request: Request, body: Wanted, state: State, user: _Changer) -> Response:
    """Search the stored events for indicators that are in force; what is found becomes alerts."""

    def work() -> dict[str, Any]:
        settings = settings_of(request)
        number = adding.search(state, settings, body.values, ready.current(state, settings), body.days)
        with state.begin() as connection:
            note(connection, user.name, address_of(request), "indicators_search", search=number)
        return {"search": number}

    return await searching_of(request).answer(work)

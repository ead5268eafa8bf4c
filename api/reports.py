"""Report routes: daily, weekly and half-yearly reports leave, or are made; systems and the law's shares."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from api.access import State, address_of, needs
from api.bodies import Body, Text
from api.search import reader_of
from pipeline.delivery.routing import zone_of
from pipeline.identity.users import User
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.systems import register, shares
from sharing.reports.book import listed, make, now_in, one
from sharing.reports.period import wanted

router = APIRouter(tags=["reports"])
_Reader = Annotated[User, Depends(needs("sharing.read"))]
_Changer = Annotated[User, Depends(needs("systems.change"))]
_Kind = Literal["daily", "weekly", "half-yearly"]
_Id = Annotated[Text, Path(max_length=32)]
_PDF = "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
#: A register may be longer than other bodies.
LARGER = {"/api/v1/systems": 6_000_000}


class Wanted(Body):
    """A report on the last whole period, or from the first to the last day."""

    kind: _Kind
    first: date | None = None
    last: date | None = None


class Register(Body):
    """Systems as the text of a CSV file; `only`: all others leave the register; `dry_run`: only say what is wrong."""

    text: Annotated[Text, Field(max_length=5_000_000)]
    only: bool = False
    dry_run: bool = False


@router.get("/reports")
def list_reports(
    state: State, _user: _Reader, kind: _Kind | Literal[""] = "", limit: Annotated[int, Query(ge=0, le=1000)] = 100
) -> dict[str, Any]:
    """Return the reports that were made, the newest period first."""
    return {"reports": listed(state, kind, limit)}


@router.post("/reports", status_code=201)
def make_report(request: Request, state: State, user: _Reader, body: Wanted) -> dict[str, str]:
    """Make a report; return its id."""
    settings: Settings = request.app.state.settings
    period = wanted(body.kind, body.first, body.last, now_in(settings))
    return {"id": make(state, settings, period, user.name, address_of(request) or "api")}


@router.get("/reports/{identifier}")
def show_report(state: State, _user: _Reader, identifier: _Id) -> dict[str, Any]:
    """Return the figures of a report."""
    figures: dict[str, Any] = one(state, identifier).figures
    return figures


@router.get("/reports/{identifier}/{form}")
def get_report(
    request: Request, state: State, _user: _Reader, identifier: _Id, form: Literal["pdf", "docx"]
) -> Response:
    """Return a report as a document."""
    row = one(state, identifier)
    data, kind = (row.pdf, _PDF) if form == "pdf" else (row.docx, _DOCX)
    day = datetime.fromtimestamp(row.since, UTC).astimezone(zone_of(request.app.state.settings)).date()
    headers = {"Content-Disposition": f'attachment; filename="{row.kind}-{day}.{form}"'}
    return Response(bytes(data), media_type=kind, headers=headers)


@router.get("/systems")
def list_systems(state: State, _user: _Reader) -> dict[str, Any]:
    """Return the law's shares, of all and by unit, and the systems, those first of which something is missing."""
    with state.connect().execution_options(read_only=True) as connection:
        return shares.standing(connection)


@router.get("/systems/days")
def list_days(
    request: Request,
    state: State,
    _user: _Reader,
    unit: Annotated[Text, Query(max_length=200)] = "",
    days: Annotated[int, Query(ge=1, le=3660)] = 180,
) -> dict[str, Any]:
    """Return how the shares of a unit (left out: of all) stood day by day."""
    since = (now_in(request.app.state.settings) - timedelta(days=days)).date().isoformat()
    with state.connect().execution_options(read_only=True) as connection:
        return {"days": shares.days(connection, unit, since)}


@router.put("/systems")
def put_systems(request: Request, state: State, user: _Changer, body: Register) -> dict[str, Any]:
    """Put the systems of a CSV file into the register; lines that cannot be read are named and left out."""
    found, faults = register.read(body.text.encode(), now_in(request.app.state.settings).date())
    if faults and body.only:
        raise HaidangError("systems.only_whole", count=len(faults))
    gone, not_heard = 0, ""
    if not body.dry_run:
        gone = register.put(state, found, user.name, address_of(request), body.only)
        try:
            shares.listen(state, reader_of(request), time.time())
        except HaidangError as error:  # the register is put in: it is looked again by itself
            not_heard = say("systems.not_heard", fault=error)
    return {"systems": len(found), "removed": gone, "faults": faults, "not_heard": not_heard}


@router.delete("/systems/{code}")
def remove_system(
    request: Request, state: State, user: _Changer, code: Annotated[Text, Path(max_length=100)]
) -> dict[str, bool]:
    """Take a system out of the register."""
    register.remove(state, code, user.name, address_of(request))
    return {"removed": True}

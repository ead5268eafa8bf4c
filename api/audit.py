"""Audit routes: who did what leaves, and whether a row of it was changed; nothing changes it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import ColumnElement
from starlette.responses import Response

from api.access import State, needs, noted
from api.search import searching_of
from pipeline import audit
from pipeline.identity.users import User
from pipeline.state.tables import audit as rows_of
from pipeline.store import query as q

router = APIRouter(prefix="/audit", tags=["audit"])
Auditor = Annotated[User, Depends(needs("audit.read"))]
_Text = Annotated[str, Query(max_length=100)]


@router.get("")
async def list_audit(
    request: Request,
    state: State,
    user: Auditor,
    who: _Text = "",
    action: _Text = "",
    address: _Text = "",
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    text: _Text = "",
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """Return rows, the newest first; times are ISO 8601 or `now-1h`; `text` is anywhere in them. `next` is the `before`
    of the page after this, `total` how many fit: every look adds a row, so pages by `offset` need the same `before`."""
    columns = rows_of.c
    named = ((columns.who, who), (columns.action, action), (columns.address, address))
    fits: list[ColumnElement[bool]] = [column == value.replace("\x00", "") for column, value in named if value]
    if text:
        fits.append(audit.has_text(text.replace("\x00", "")))
    if start:
        fits.append(columns.time >= q.moment(start, "from") / 1_000_000)
    if end:
        fits.append(columns.time <= q.moment(end, "to") / 1_000_000)
    if before is not None:
        fits.append(columns.id < before)

    def work() -> dict[str, Any]:
        rows, total = audit.listed(state, fits, limit, offset), audit.counted(state, fits)
        noted(request, user.name, "audit_read", rows=len(rows))
        return {"rows": rows, "next": rows[-1]["id"] if len(rows) == limit else None, "total": total}

    return await searching_of(request).answer(work)


@router.get("/verify")
async def verify(
    request: Request, state: State, _user: Auditor, head: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Look at the whole chain; `broken` is the first row that does not follow from the one before it, `cut` says that
    rows are missing at its end, `lost` has `head` where no row's hash is that, `unguarded` names triggers
    and `gone` tables of the database that are no longer there."""

    def work() -> dict[str, Any]:
        found = audit.verify(state, [head] if head else [])
        told = {"rows": found.rows, "head": found.head, "broken": found.broken, "cut": found.cut}
        absent = {"lost": found.lost, "unguarded": found.unguarded, "gone": found.gone}
        return {"whole": found.whole, **told, **{name: list(values) for name, values in absent.items()}}

    return await searching_of(request).answer(work)

"""Alert routes: the queue's rows leave."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from sqlalchemy import ColumnElement, func, select

from api.access import Analyst, State, Viewer, address_of
from pipeline.access import note
from pipeline.evidence import captures_of
from pipeline.messages import say
from pipeline.state.tables import alerts
from pipeline.store import query as q

router = APIRouter(prefix="/alerts", tags=["alerts"])
Level = Literal["informational", "low", "medium", "high", "critical"]


@router.get("")
def list_alerts(
    state: State,
    _user: Viewer,
    level: Level | None = None,
    rule: Annotated[str | None, Query(max_length=500)] = None,
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Return alerts, newest first, without their evidence.

    `level` is a rule's level, `rule` its id or its whole name; times are ISO 8601 or `now-1h`. `total` counts all that
    fit, `levels` counts them by level (of every level, whatever `level` asks for).
    """
    fits = _in_time(start, end)
    if rule:
        fits.append((alerts.c.rule_id == rule) | (alerts.c.rule_name == rule))
    counted = select(alerts.c.level, func.count().label("events")).where(*fits).group_by(alerts.c.level)
    if level:
        fits.append(alerts.c.level == level)
    page = (
        select(alerts.c.document, alerts.c.status)
        .where(*fits)
        .order_by(alerts.c.time.desc(), alerts.c.id)
        .limit(limit)
        .offset(offset)
    )
    with state.connect().execution_options(read_only=True) as connection:
        levels: dict[str, int] = {row.level: row.events for row in connection.execute(counted)}
        rows = [_short(document, status) for document, status in connection.execute(page)]
    total = levels.get(level, 0) if level else sum(levels.values())
    return {"total": total, "levels": levels, "alerts": rows}


@router.get("/{identifier}")
def alert(identifier: str, state: State, _user: Viewer) -> dict[str, Any]:
    """Return one alert with its evidence and the reasons."""
    query = select(alerts.c.document, alerts.c.status).where(alerts.c.id == identifier)
    with state.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise HTTPException(404, say("api.no_alert", id=identifier[:200]))
    return {**row.document, "alert.status": row.status}


@router.get("/{identifier}/packets")
def packets(
    request: Request,
    identifier: str,
    state: State,
    user: Analyst,
    interface: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Return the packets of an alert as a capture file (pcap): of this interface, or of the first that saw any."""
    found = captures_of(state, identifier)
    data = found.get(interface) if interface else next(iter(found.values()), None)
    if data is None:
        raise HTTPException(404, say("evidence.none", alert=identifier[:200]))
    with state.begin() as connection:
        note(connection, user.name, address_of(request), "evidence_read", alert=identifier[:200])
    name = {"Content-Disposition": f'attachment; filename="{"".join(filter(str.isalnum, identifier))[:24]}.pcap"'}
    return Response(data, media_type="application/vnd.tcpdump.pcap", headers=name)


def _in_time(start: str | None, end: str | None) -> list[ColumnElement[bool]]:
    fits: list[ColumnElement[bool]] = []
    if start:
        fits.append(alerts.c.time >= q.moment(start, "from"))
    if end:
        fits.append(alerts.c.time <= q.moment(end, "to"))
    return fits


def _short(document: dict[str, Any], status: str) -> dict[str, Any]:
    return {**{name: value for name, value in document.items() if name != "alert.evidence"}, "alert.status": status}

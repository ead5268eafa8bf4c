"""Alert routes: the queue's rows leave."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import func, select

from api.access import State, Viewer
from pipeline.messages import say
from pipeline.state.tables import alerts

router = APIRouter(prefix="/alerts", tags=["alerts"])


@router.get("")
def list_alerts(
    state: State,
    _user: Viewer,
    level: str | None = None,
    rule: str | None = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Return alerts, newest first, without their evidence; `total` counts all that fit."""
    query = select(alerts.c.document, alerts.c.status)
    if level:
        query = query.where(alerts.c.level == level)
    if rule:
        query = query.where(alerts.c.rule_id == rule)
    page = query.order_by(alerts.c.time.desc(), alerts.c.id).limit(limit).offset(offset)
    with state.connect().execution_options(read_only=True) as connection:
        total = connection.scalar(select(func.count()).select_from(query.subquery()))
        rows = [_short(document, status) for document, status in connection.execute(page)]
    return {"total": total, "alerts": rows}


@router.get("/{identifier}")
def alert(identifier: str, state: State, _user: Viewer) -> dict[str, Any]:
    """Return one alert with its evidence and the reasons."""
    query = select(alerts.c.document, alerts.c.status).where(alerts.c.id == identifier)
    with state.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise HTTPException(404, say("api.no_alert", id=identifier[:200]))
    return {**row.document, "alert.status": row.status}


def _short(document: dict[str, Any], status: str) -> dict[str, Any]:
    return {**{name: value for name, value in document.items() if name != "alert.evidence"}, "alert.status": status}

"""Routes about the pipeline itself: sources, health, metrics."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.access import State, Viewer
from pipeline import clocks
from pipeline.balance import balances, by_minute
from pipeline.health import health
from pipeline.ledger import KEEP_MINUTES
from pipeline.metrics import metrics_text

router = APIRouter(tags=["status"])


@router.get("/sources")
def sources(state: State, _user: Viewer) -> list[dict[str, Any]]:
    """Return the ledger: for each source what was received, stored, dropped and why, examined, and the alerts.

    `clock_behind` is the clock of its hosts that is off most, in seconds (null: none is known); `clocks_off` counts
    those that are an alert.
    """
    found = clocks.worst(state)
    rows = balances(state)
    for row in rows:
        row["clock_behind"], row["clocks_off"] = found.get(row["source"], (None, 0))
    return rows


@router.get("/sources/clocks")
def clocks_now(state: State, _user: Viewer) -> list[dict[str, Any]]:
    """Return how far each sending host's clock is off, in seconds; more than 0 is behind ours."""
    return clocks.listed(state)


@router.get("/sources/{source}/minutes")
def minutes(
    source: str, state: State, _user: Viewer, minutes: Annotated[int, Query(ge=1, le=KEEP_MINUTES)] = 60
) -> dict[str, Any]:
    """Return a source's sums up to the last `minutes` minutes (`before`), then each of them, and `held` at its end.

    received so far = stored + already_stored + held + dropped, each so far, after every minute.
    """
    before, each = by_minute(state, source, minutes)
    return {"source": source, "before": asdict(before), "minutes": [asdict(minute) for minute in each]}


@router.get("/health")
def health_now(request: Request, state: State, _user: Viewer) -> dict[str, Any]:
    """Return what works and what does not."""
    return health(state, request.app.state.settings)


@router.get("/metrics")
def metrics(request: Request, state: State, _user: Viewer) -> Response:
    """Return Prometheus metrics."""
    return Response(metrics_text(state, request.app.state.settings), media_type="text/plain; version=0.0.4")

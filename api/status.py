"""Routes about the pipeline itself: sources, health, metrics."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.access import State, Viewer
from pipeline.balance import balances
from pipeline.health import health
from pipeline.metrics import metrics_text

router = APIRouter(tags=["status"])


@router.get("/sources")
def sources(state: State, _user: Viewer) -> list[dict[str, Any]]:
    """Return the ledger: for each source what was received, stored, dropped and why, examined, and the alerts."""
    return balances(state)


@router.get("/health")
def health_now(request: Request, state: State, _user: Viewer) -> dict[str, Any]:
    """Return what works and what does not."""
    return health(state, request.app.state.settings)


@router.get("/metrics")
def metrics(request: Request, state: State, _user: Viewer) -> Response:
    """Return Prometheus metrics."""
    return Response(metrics_text(state, request.app.state.settings), media_type="text/plain; version=0.0.4")

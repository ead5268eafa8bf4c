"""Search routes: a query enters, events leave."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Query, Request
from starlette.responses import Response

from api.access import Viewer
from api.searching import Searching
from pipeline import store
from pipeline.event import Event
from pipeline.messages import say
from pipeline.store import query as q
from pipeline.store.request import MAX_WINDOW

router = APIRouter(tags=["search"])
Collection = Literal["events", "alerts"]
_EXAMPLE = {"query": {"query_string": {"query": "user.name:root"}}, "size": 10}
_BODY = Body(
    description="A search body as Elasticsearch takes it, in the subset of docs/search.md", examples=[_EXAMPLE]
)


def reader_of(request: Request) -> store.Reader:
    """Return the reading end that the application was made with."""
    reader: store.Reader = request.app.state.reader
    return reader


def searching_of(request: Request) -> Searching:
    """Return what the application runs its searches with."""
    searching: Searching = request.app.state.searching
    return searching


@router.post("/search/{collection}")
async def search(
    collection: Collection, body: Annotated[dict[str, Any], _BODY], request: Request, _user: Viewer
) -> Response:
    """Answer a query of the DSL, with aggregations."""
    reader = reader_of(request)
    return await searching_of(request).answer(lambda: reader.search(collection, body))


@router.get("/search/{collection}")
async def search_text(
    collection: Collection,
    request: Request,
    _user: Viewer,
    text: Annotated[str, Query(alias="q", max_length=10_000)] = "",
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    size: Annotated[int, Query(ge=0, le=MAX_WINDOW)] = 50,
) -> Response:
    """Answer a query text; times are ISO 8601 or `now-1h`."""
    bounds = {name: value for name, value in (("gte", start), ("lte", end)) if value}
    filters = [{"range": {q.TIME: bounds}}] if bounds else []
    body = {"query": {"bool": {"must": [{"query_string": {"query": text}}], "filter": filters}}, "size": size}
    reader = reader_of(request)
    return await searching_of(request).answer(lambda: reader.search(collection, body))


@router.get("/events/{identifier}")
async def event(identifier: str, request: Request, _user: Viewer) -> Response:
    """Return one event by its `event.id`."""
    reader = reader_of(request)
    return await searching_of(request).answer(lambda: _event(reader, identifier[:200]))


def _event(reader: store.Reader, identifier: str) -> Event:
    found = reader.get(store.EVENTS, identifier)
    if found is None:
        raise HTTPException(404, say("api.no_event", id=identifier))
    return found

"""Search routes: a query enters, events leave."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.access import Viewer
from pipeline import store
from pipeline.messages import say
from pipeline.store import query as q
from pipeline.store.request import MAX_WINDOW

router = APIRouter(tags=["search"])
Collection = Literal["events", "alerts"]


class SearchBody(BaseModel):
    """A search body as Elasticsearch takes it, in the subset of docs/search.md."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"example": {"query": {"query_string": {"query": "user.name:root"}}, "size": 10}},
    )
    query: dict[str, Any] = Field(default_factory=lambda: {"match_all": {}})


def reader_of(request: Request) -> store.Reader:
    """Return the reading end that the application was made with."""
    reader: store.Reader = request.app.state.reader
    return reader


@router.post("/search/{collection}")
def search(collection: Collection, body: SearchBody, request: Request, _user: Viewer) -> dict[str, Any]:
    """Answer a query of the DSL, with aggregations."""
    return reader_of(request).search(collection, body.model_dump())


@router.get("/search/{collection}")
def search_text(
    collection: Collection,
    request: Request,
    _user: Viewer,
    text: Annotated[str, Query(alias="q", max_length=10_000)] = "",
    start: Annotated[str | None, Query(alias="from")] = None,
    end: Annotated[str | None, Query(alias="to")] = None,
    size: Annotated[int, Query(ge=0, le=MAX_WINDOW)] = 50,
) -> dict[str, Any]:
    """Answer a query text; times are ISO 8601 or `now-1h`."""
    bounds = {name: value for name, value in (("gte", start), ("lte", end)) if value}
    filters = [{"range": {q.TIME: bounds}}] if bounds else []
    body = {"query": {"bool": {"must": [{"query_string": {"query": text}}], "filter": filters}}, "size": size}
    return reader_of(request).search(collection, body)


@router.get("/events/{identifier}")
def event(identifier: str, request: Request, _user: Viewer) -> dict[str, Any]:
    """Return one event by its `event.id`."""
    found = reader_of(request).get(store.EVENTS, identifier[:200])
    if found is None:
        raise HTTPException(404, say("api.no_event", id=identifier[:200]))
    return found

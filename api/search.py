"""Search routes: a query enters, events leave."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request
from starlette.responses import Response

from api.access import BY_ITSELF, needs, noted
from api.faults import told
from api.searched import only_counts, told_of
from api.searching import Searching
from pipeline import store
from pipeline.event import Event
from pipeline.identity.users import User
from pipeline.messages import say
from pipeline.store import SearchError
from pipeline.store import query as q
from pipeline.store.query_dsl import parse_query
from pipeline.store.request import MAX_WINDOW

router = APIRouter(tags=["search"])
Collection = Literal["events", "alerts"]
#: Whoever may search events may search the copies of alerts, too.
Reader = Annotated[User, Depends(needs("events.read", views=True))]
_EXAMPLE = {"query": {"query_string": {"query": "user.name:root"}}, "size": 10}
SEARCH_BODY = Body(
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
    collection: Collection, body: Annotated[dict[str, Any], SEARCH_BODY], request: Request, user: Reader
) -> Response:
    """Answer a query of the DSL, with aggregations."""
    return await searching_of(request).answer(lambda: found(request, user, collection, body))


@router.get("/search/{collection}")
async def search_text(
    collection: Collection,
    request: Request,
    user: Reader,
    text: Annotated[str, Query(alias="q", max_length=10_000)] = "",
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    size: Annotated[int, Query(ge=0, le=MAX_WINDOW)] = 50,
) -> Response:
    """Answer a query text; times are ISO 8601 or `now-1h`."""
    body = {"query": between(text, start, end), "size": size}
    return await searching_of(request).answer(lambda: found(request, user, collection, body))


@router.get("/query/check")
def check(_user: Reader, text: Annotated[str, Query(alias="q", max_length=100_000)] = "") -> dict[str, Any]:
    """Say whether a query text can be understood, or else where not, as a search would; nothing is searched."""
    try:
        parse_query({"query_string": {"query": text}})
    except SearchError as error:
        return {"good": False, **told(error)}
    return {"good": True}


@router.get("/events/{identifier}")
async def event(identifier: str, request: Request, user: Reader) -> Response:
    """Return one event by its `event.id`."""
    return await searching_of(request).answer(lambda: event_of(request, user, identifier[:200]))


def between(text: str, start: str | None, end: str | None) -> dict[str, Any]:
    """Return a query text with bounds in time as a query of the DSL."""
    bounds = {name: value for name, value in (("gte", start), ("lte", end)) if value}
    filters = [{"range": {q.TIME: bounds}}] if bounds else []
    return {"bool": {"must": [{"query_string": {"query": text}}], "filter": filters}}


def event_of(request: Request, user: User, identifier: str) -> Event:
    """Return an event that the user may see; the audit has who saw it. Answers 404 for others."""
    found = reader_of(request).get(store.EVENTS, identifier)
    if found is None or not user.sight.holds(store.EVENTS, found):
        raise HTTPException(404, say("api.no_event", id=identifier))
    noted(request, user.name, "event_read", event=identifier)
    return found


def found(request: Request, user: User, collection: str, body: dict[str, Any]) -> dict[str, Any]:
    """Answer a search with what the user may see; the audit has it before the answer leaves, unless it only counts."""
    user.sight.check(collection, body)
    narrowed = {**body, "query": user.sight.narrowed(collection, body.get("query"))}
    answer = reader_of(request).search(collection, narrowed)
    if collection == store.ALERTS and user.sight.is_limited():
        answer = _in_view(user, answer)
    total, shown = answer["hits"]["total"]["value"], len(answer["hits"]["hits"])
    if shown or not only_counts(body):
        action = "screen_search" if BY_ITSELF in request.headers else "search"
        noted(request, user.name, action, index=collection, **told_of(body), total=total, shown=shown)
    return answer


def _in_view(user: User, answer: Any) -> Any:
    """Return an answer whose alerts, also those of `top_hits`, are without the evidence that is not in view."""
    if isinstance(answer, list):
        return [_in_view(user, each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    if "_source" in answer and "_id" in answer:
        return {**answer, "_source": user.sight.alert(answer["_source"])}
    return {name: _in_view(user, each) for name, each in answer.items()}

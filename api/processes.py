"""The route of process trees: an event enters, the processes around it leave, as far as one may see them."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from api.search import Reader, event_of, reader_of, searching_of
from pipeline import store
from pipeline.event import Event
from pipeline.identity.users import User
from pipeline.messages import say
from pipeline.process_tree import STARTS, Find, around
from pipeline.store import query as q

router = APIRouter(tags=["search"])


@router.get("/events/{identifier}/processes")
async def processes(identifier: str, request: Request, user: Reader) -> Response:
    """Return the process of an event with its ancestors and descendants."""

    def work() -> dict[str, Any]:
        found = around(event_of(request, user, identifier[:200]), _finding(request, user))
        if found is None:
            raise HTTPException(404, say("api.no_process", id=identifier[:200]))
        return found

    return await searching_of(request).answer(work)


def _finding(request: Request, user: User) -> Find:
    """Return what finds starts of processes that a user may see."""
    reader = reader_of(request)

    def find(condition: q.Condition, most: int, newest: bool) -> list[Event]:
        wanted = user.sight.narrowed(store.EVENTS, q.Combined(must=(STARTS, condition)))
        body = {"query": wanted, "size": most, "sort": [{q.TIME: "desc" if newest else "asc"}]}
        return [hit["_source"] for hit in reader.search(store.EVENTS, body)["hits"]["hits"]]

    return find

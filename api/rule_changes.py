"""Changes of the rulebook that are looked at first: a request and what it brings enter, a preview or a revision leaves.

Of a preview, and of a change that is not made, nothing stays on the disk; and no answer names a folder of this machine.
"""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from api.search import searching_of
from api.shelf import rulebook_of
from api.turns import Turn, Turns
from api.uploads import Uploads
from detectors.rulebook import revisions
from detectors.rulebook.changes import Change, Rulebook
from detectors.rulebook.loading import drop, folders_in, place_of, written_to
from detectors.rulebook.revisions import Revision
from pipeline.identity.users import User

#: Rules, refusals and findings that an answer names; it counts all.
NAMED = 1_000
_LISTS = (
    "packs", "added", "changed", "removed", "modes", "excepted", "unexcepted", "trusted", "distrusted", "refused",
    "left_out",
)  # fmt: skip


async def change_with_file(
    request: Request, user: User, look: Callable[[Rulebook, bytes], Change], *, make: bool
) -> Response:
    """Take a file in, and look at the change that it is."""
    turns_of(request).refuse_when_busy()
    taking: Uploads = request.app.state.uploads
    async with taking.received(request) as file:
        return await change_rules(request, user, lambda book: look(book, file.read()), make=make)


async def change_rules(request: Request, user: User, look: Callable[[Rulebook], Change], *, make: bool) -> Response:
    """Look at a change, and make it or leave nothing of it."""

    def work(turn: Turn) -> dict[str, Any]:
        rulebook = rulebook_of(request, user, turn.until)
        place = place_of(request.app.state.settings)
        there = folders_in(place)
        change = look(rulebook)
        revision = None
        try:
            told = _told(change)
            if not make:
                return told
            if change.force or not change.changes_nothing:
                turn.claim()
                revision = change.make().number
            return {"revision": revision, **told}
        finally:
            if revision is None:
                packs = revisions.current(request.app.state.engine).book.packs.values()
                drop(place, change.contents, {*there, *(written_to(place, pack).name for pack in packs)})

    return await in_turn(request, work)


def _told(change: Change) -> dict[str, Any]:
    told = change.preview.as_json()
    clean = change.preview.after.without_paths
    counts = {name: len(told[name]) for name in _LISTS}
    lists = {
        name: [{key: clean(str(value)) for key, value in each.items()} for each in told[name][:NAMED]]
        for name in _LISTS
    }
    stops = [clean(reason) for reason in told["stops"][:NAMED]]
    return {
        **change.detail, "counts": counts, **lists, "tests": told["tests"], "stops": stops,
        "nothing_new": change.changes_nothing,
    }  # fmt: skip


async def revise(request: Request, user: User, change: Callable[[Rulebook], Revision]) -> Response:
    """Make a change that has no preview: nothing of it has to be loaded first."""
    return await searching_of(request).answer(lambda: {"revision": change(rulebook_of(request, user)).number})


async def in_turn(request: Request, work: Callable[[Turn], dict[str, Any]]) -> Response:
    """Do work that takes a processor for seconds, when it is its turn."""
    return Response(
        orjson.dumps(await turns_of(request).take(searching_of(request), work)), media_type="application/json"
    )


def turns_of(request: Request) -> Turns:
    """Return what gives everybody a turn."""
    turns: Turns = request.app.state.turns
    return turns

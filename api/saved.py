"""Routes of saved things and preferences: what people keep enters; what they may see of it leaves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Body as Given
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from api.access import Anyone, State, address_of, needs, person
from api.bodies import Body, Name, Text
from pipeline.identity.users import User
from pipeline.saved import Wanted, book, preferences
from pipeline.saved.shapes import BadShape

router = APIRouter(tags=["saved"])
#: A map, and what is around it.
_MOST_BYTES = 2_200_000
LARGER = {"/api/v1/saved": _MOST_BYTES, "/api/v1/saved/": _MOST_BYTES}
Kind = Literal["search", "range", "dashboard", "map"]
Keeper = Annotated[User, Depends(needs("events.read", views=True))]
_Id = Annotated[str, Path(max_length=100)]
_Shared = Literal["private", "everyone"] | Annotated[list[Name], Field(min_length=1, max_length=20)]
_EXAMPLE = {"theme": "dark", "language": "vi"}


class _Thing(Body):
    name: Annotated[Text, Field(min_length=1, max_length=200)]
    description: Annotated[Text, Field(max_length=2000)] = ""
    body: dict[str, Any]
    shared: _Shared = "private"

    def wanted(self) -> Wanted:
        """Return it as the book takes it."""
        return Wanted(self.name, self.description, self.body, self.shared)


class NewThing(_Thing):
    """Something to keep; docs/console-api.md says what the `body` of each kind holds."""

    kind: Kind


class ChangedThing(_Thing):
    """What comes in the place of a thing; `revision` is the one that was seen."""

    revision: Annotated[int, Field(ge=1, le=2**31 - 1)]


@router.get("/saved")
def list_saved(state: State, user: Keeper, kind: Kind | None = None) -> dict[str, Any]:
    """Return what one sees: one's own things, and those shared with everyone or one's role; dashboards and maps
    without their `body`."""
    return {"saved": book.listed(state, user, kind or "")}


@router.post("/saved", status_code=201)
def make_saved(request: Request, state: State, user: Keeper, thing: NewThing) -> dict[str, Any]:
    """Keep something."""
    with _shape_told():
        return book.make(state, user, address_of(request), thing.kind, thing.wanted())


@router.get("/saved/{identifier}")
def get_saved(state: State, user: Keeper, identifier: _Id) -> dict[str, Any]:
    """Return one thing, whole."""
    return book.one(state, user, identifier)


@router.get("/saved/{identifier}/history")
def saved_history(state: State, user: Keeper, identifier: _Id) -> dict[str, Any]:
    """Return the last revisions of a thing, the newest first; putting an old one brings it back."""
    return {"revisions": book.history(state, user, identifier)}


@router.put("/saved/{identifier}")
def put_saved(request: Request, state: State, user: Keeper, identifier: _Id, thing: ChangedThing) -> dict[str, Any]:
    """Change a thing. Answers 409 where somebody changed it after the `revision` that was seen."""
    with _shape_told():
        return book.change(state, user, address_of(request), identifier, thing.revision, thing.wanted())


@router.delete("/saved/{identifier}", status_code=204)
def delete_saved(request: Request, state: State, user: Keeper, identifier: _Id) -> None:
    """Take a thing away, with its revisions."""
    book.remove(state, user, address_of(request), identifier)


@router.get("/me/preferences")
def get_preferences(state: State, user: Anyone) -> dict[str, Any]:
    """Return what the console remembers for who is logged in."""
    return preferences.of(state, person(user))


@router.put("/me/preferences", status_code=204)
def put_preferences(state: State, user: Anyone, body: Annotated[dict[str, Any], Given(examples=[_EXAMPLE])]) -> None:
    """Remember one JSON object of at most 64,000 bytes."""
    preferences.keep(state, person(user), body)


@contextmanager
def _shape_told() -> Iterator[None]:
    """Answer 422 for a body that is none of its kind, as for any other."""
    try:
        yield
    except BadShape as error:
        raise RequestValidationError([
            {**fault, "loc": ("body", "body", *fault["loc"])} for fault in error.faults
        ]) from error  # fmt: skip

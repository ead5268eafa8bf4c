"""Device routes: the inventory and the counts of contacts with C2 servers leave; what people say of devices enters."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import State, address_of, needs
from api.search import searching_of
from pipeline import store
from pipeline.devices import changes, counting
from pipeline.devices.book import Book, Known, Units, open_book
from pipeline.devices.lists import read_list
from pipeline.identity.users import User
from pipeline.messages import HaidangError
from pipeline.store import query as q

router = APIRouter(tags=["devices"])
Kind = Literal["server", "computer", "laptop", "phone", "tablet", "network", "printer", "camera", "other", "unknown"]
Group = Literal["kind", "family", "unit", "day", "week", "month", "device"]
_Reader = Annotated[User, Depends(needs("devices.read", views=True))]
_Changer = Annotated[User, Depends(needs("devices.change"))]
_Id = Annotated[str, Query(max_length=300)]
_Short = Annotated[str, Field(max_length=200)]
#: Rows of a list that are named in an answer as wrong; it counts all.
_NAMED = 100
_MOST_CONTACTS = 1000


class Said(BaseModel):
    """What somebody says of a device; left out is unchanged, "" is taken back."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[Kind, ""] | None = None
    label: _Short | None = None
    unit: _Short | None = None
    owner: _Short | None = None
    note: Annotated[str, Field(max_length=2000)] | None = None


@router.get("/devices")
async def list_devices(
    request: Request,
    user: _Reader,
    text: Annotated[str, Query(max_length=500)] = "",
    kind: Kind | None = None,
    unit: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """Return the devices in which all words of `text` stand, those that were seen last first.

    `total` counts those that fit, `kinds` all of them by kind.
    """

    def work() -> dict[str, Any]:
        found = [each for each in _book(request).listed(text, "", unit) if _shows(user, each)]
        kinds: dict[str, int] = {}
        for each in found:
            kinds[each.kind] = kinds.get(each.kind, 0) + 1
        fitting = [each for each in found if kind in (None, each.kind)]
        page = fitting[offset : offset + limit]
        return {"total": len(fitting), "kinds": kinds, "devices": [_short(each) for each in page]}

    return await searching_of(request).answer(work)


@router.get("/devices/one")
async def device(request: Request, user: _Reader, id: _Id) -> Response:  # noqa: A002 - the parameter's name
    """Return one device with the evidence for its kind; `id` may be a MAC, an address or a name as well."""

    def work() -> dict[str, Any]:
        known = _book(request).find(id)
        if known is None or not _shows(user, known):
            raise HaidangError("devices.no_device", device=id)
        return known.plain()

    return await searching_of(request).answer(work)


@router.put("/devices/one")
def say_of_device(request: Request, state: State, user: _Changer, id: _Id, said: Said) -> dict[str, Any]:  # noqa: A002
    """Note what somebody says of a device, seen or not; it wins over what is seen."""
    changed = said.model_dump(exclude_none=True)
    return changes.change(state, _units(request), id, changed, user.name, address_of(request)).plain()


@router.delete("/devices/one", status_code=204)
def forget_what_was_said(request: Request, state: State, user: _Changer, id: _Id) -> None:  # noqa: A002
    """Take back all that was said of a device."""
    changes.take_back(state, _units(request), id, user.name, address_of(request))


@router.post("/devices/import")
async def import_devices(request: Request, state: State, user: _Changer) -> dict[str, Any]:
    """Take a list of assets: CSV with a header (mac, ip or name; kind, unit, owner, note), as octets."""
    async with request.app.state.uploads.received(request) as file:
        said, wrong = read_list(file.read())
    count = changes.take_list(state, said, user.name, address_of(request))
    return {"imported": count, "wrong": len(wrong), "reasons": wrong[:_NAMED]}


@router.get("/c2")
async def contacts_with_c2(
    request: Request,
    state: State,
    user: _Reader,
    by: Group = "kind",
    start: Annotated[str, Query(alias="from", max_length=100)] = "now-30d",
    end: Annotated[str, Query(alias="to", max_length=100)] = "now",
    limit: Annotated[int, Query(ge=0, le=_MOST_CONTACTS)] = 0,
) -> Response:
    """Return how many distinct devices have spoken with C2 servers, in groups; `limit`: the last contacts, too.

    `titles_vi` has what rules whose names stand for a family are called in Vietnamese.
    """
    since, until = q.moment(start, "from"), q.moment(end, "to")

    def work() -> dict[str, Any]:
        contacts = counting.contacts(state, request.app.state.settings, since, until)
        found = [each for each in contacts if user.sight.shows(store.ALERTS, each.source, each.unit)]
        groups = [group.plain() for group in counting.grouped(found, by)]
        last = list(counting.plain(reversed(found[len(found) - limit :] if limit else ())))
        titles = counting.titles_vi(found)
        return {"all": counting.in_all(found).plain(), "groups": groups, "contacts": last, "titles_vi": titles}

    return await searching_of(request).answer(work)


def _shows(user: User, known: Known) -> bool:
    """Whether a device is in the user's view: it is of a unit, and of no source."""
    return user.sight.shows(store.EVENTS, None, known.unit)


def _book(request: Request) -> Book:
    return open_book(request.app.state.engine, request.app.state.settings.devices.units)


def _units(request: Request) -> Units:
    return Units(request.app.state.settings.devices.units)


def _short(known: Known) -> dict[str, Any]:
    plain = known.plain()
    del plain["evidence"]
    return plain

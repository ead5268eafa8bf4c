"""Delivery routes: how channels fare and receipts leave; what must be sent again, and tests of channels, enter."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field

from api.access import State, address_of, needs
from api.bodies import Body, Text
from pipeline.delivery import book, testing
from pipeline.identity.users import User
from pipeline.messages import HaidangError
from pipeline.settings import Settings

router = APIRouter(prefix="/delivery", tags=["delivery"])
_Reader = Annotated[User, Depends(needs("delivery.read"))]
_Changer = Annotated[User, Depends(needs("delivery.change"))]
_Channel = Annotated[Text, Field(max_length=63)]
_Status = Literal["", "waiting", "joined", "sent", "dead", "dropped"]


class Meant(Body):
    """Messages to send again or to give up: those of `ids`, or `all` that are dead (of `channel`)."""

    ids: Annotated[list[Annotated[Text, Field(max_length=32)]], Field(max_length=10_000, default_factory=list)]
    all: bool = False
    channel: _Channel = ""


@router.get("/channels")
def list_channels(request: Request, state: State, _user: _Reader) -> dict[str, Any]:
    """Return the channels of the settings and how each fares; times are seconds since 1970."""
    settings: Settings = request.app.state.settings
    kinds = {channel.name: channel.kind for channel in settings.channels}
    found = book.standing(state, list(kinds))
    return {"channels": [{**each, "kind": kinds.get(each["channel"], "")} for each in found]}


@router.get("/messages")
def list_messages(
    state: State,
    _user: _Reader,
    channel: Annotated[_Channel, Query()] = "",
    status: _Status = "",
    alert: Annotated[Text, Query(max_length=24)] = "",
    message: Annotated[Text, Query(max_length=32)] = "",
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Return receipts, the newest first: what was tried how often, and what the channel said; and how many fit."""
    fits = (channel, status, alert)
    return {
        "total": book.counted(state, *fits, message),
        "messages": book.listed(state, *fits, limit, offset, message),
    }


@router.post("/resend")
def resend(request: Request, state: State, user: _Changer, meant: Meant) -> dict[str, int]:
    """Send messages again, under their own ids; those of channels that are no more stay as they are."""
    names = _names_for(request, meant)
    if meant.channel and meant.channel not in names:
        raise HaidangError("delivery.no_channel", name=meant.channel, known=", ".join(names) or "-")
    given = (names, meant.ids, meant.all, meant.channel, user.name, address_of(request))
    return {"messages": book.resend(state, *given)}


@router.post("/drop")
def drop(request: Request, state: State, user: _Changer, meant: Meant) -> dict[str, int]:
    """Give up messages that are dead, and those that wait for channels that are no more; their receipts stay."""
    names = _names_for(request, meant)
    known = book.known_channels(state, names)
    if meant.channel and meant.channel not in known:
        raise HaidangError("delivery.no_channel", name=meant.channel, known=", ".join(known) or "-")
    given = (names, meant.ids, meant.all, meant.channel, user.name, address_of(request))
    return {"messages": book.drop(state, *given)}


@router.post("/channels/{name}/test", status_code=202)
def test_channel(
    request: Request, state: State, user: _Changer, name: Annotated[Text, Path(max_length=63)]
) -> dict[str, str]:
    """Raise a real alert, marked as a test, that goes the whole way to a channel.

    `messages?alert=…` has its receipt in a moment.
    """
    alert, message = testing.start(request.app.state.settings, state, name, user.name, address_of(request))
    return {"alert": alert, "message": message}


def _names_for(request: Request, meant: Meant) -> list[str]:
    """Return the channels of the settings, where it is clear which messages are meant."""
    if bool(meant.ids) == meant.all:
        raise HaidangError("delivery.which")
    settings: Settings = request.app.state.settings
    return [channel.name for channel in settings.channels]

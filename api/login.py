"""Log-in routes: a name and a password enter, a session leaves."""

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Body, HTTPException, Request, Response
from pydantic import BaseModel, Field

from api.access import COOKIE, Anyone, State, address_of, secret_of
from pipeline import users
from pipeline.messages import say
from pipeline.users import MAX_PASSWORD, LoginRefused

router = APIRouter(tags=["log-in"])

#: Passwords that are checked at the same time: each takes 64 MB and a core (Argon2id).
_CHECKS_AT_ONCE = 2
#: Log-ins that wait for their turn; more are told to come again, so that a flood of guesses holds nobody else up.
_WAITING = 20


class Credentials(BaseModel):
    """What a person types in."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=MAX_PASSWORD)


class Session(BaseModel):
    """A session: `token` also works as `Authorization: Bearer`."""

    token: str
    name: str
    role: str


def checks() -> anyio.CapacityLimiter:
    """Return the turnstile of an application's log-ins."""
    return anyio.CapacityLimiter(_CHECKS_AT_ONCE)


@router.post("/login")
async def log_in(
    credentials: Annotated[Credentials, Body()], request: Request, response: Response, state: State
) -> Session:
    """Log in; the one route that needs no right."""
    settings = request.app.state.settings.api
    turnstile: anyio.CapacityLimiter = request.app.state.log_in_checks
    if turnstile.statistics().tasks_waiting >= _WAITING:
        raise HTTPException(429, say("api.busy"), {"Retry-After": "5"})
    try:
        secret, user = await anyio.to_thread.run_sync(
            users.log_in,
            state,
            credentials.name,
            credentials.password,
            address_of(request),
            settings,
            limiter=turnstile,
        )
    except LoginRefused as error:
        raise HTTPException(401, str(error)) from error
    response.set_cookie(
        COOKIE, secret, max_age=int(settings.session_hours * 3600), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return Session(token=secret, name=user.name, role=user.role)


@router.post("/logout")
def log_out(request: Request, response: Response, state: State, user: Anyone) -> dict[str, str]:
    """End the session."""
    users.log_out(state, secret_of(request), user, address_of(request))
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return {"name": user.name}


@router.get("/me")
def me(user: Anyone) -> dict[str, Any]:
    """Return who is logged in, what they may do, and whether a data view hides something from them."""
    limited = user.sight.is_limited()
    return {"name": user.name, "role": user.role, "permissions": sorted(user.permissions), "limited": limited}

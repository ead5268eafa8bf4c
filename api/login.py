"""Log-in routes: a name and a password enter, a session leaves; where more is asked for, step by step."""

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Body, HTTPException, Request, Response
from pydantic import BaseModel, Field

from api.access import Anyone, State, address_of, cookie_of, limit_of, secret_of
from pipeline.identity import logins, second_factor
from pipeline.identity.logins import Entered, LoginRefused
from pipeline.identity.passwords import MAX_PASSWORD
from pipeline.messages import say
from pipeline.settings import Settings

router = APIRouter(tags=["log-in"])

#: Passwords that are checked at the same time: each takes 64 MB and a core (Argon2id).
_CHECKS_AT_ONCE = 2
#: Log-ins that wait for their turn; more are told to come again, so that a flood of guesses holds nobody else up.
_WAITING = 20


class Credentials(BaseModel):
    """What a person types in."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=MAX_PASSWORD)


class Code(BaseModel):
    """A code of the app, or a recovery code."""

    code: str = Field(min_length=6, max_length=40)


class NewPassword(BaseModel):
    """A password that somebody chooses."""

    password: str = Field(max_length=MAX_PASSWORD)


class Session(BaseModel):
    """A session: `token` also works as `Authorization: Bearer`. `next` is what is still asked for: `code` (`POST
    /login/code`), `enrol` (`POST /login/second-factor`), `password` (`POST /login/password`), or nothing.
    `recovery_codes`: those of a second factor that was just set up, shown this once."""

    token: str
    name: str
    role: str
    next: str = ""
    recovery_codes: list[str] = []


class SecondFactor(BaseModel):
    """A new second factor: for an app as `uri`, drawn as `image` (a data URL), or typed in (`secret`)."""

    secret: str
    uri: str
    image: str


def checks() -> anyio.CapacityLimiter:
    """Return the turnstile of an application's log-ins."""
    return anyio.CapacityLimiter(_CHECKS_AT_ONCE)


async def checked(request: Request, work: Any, *given: Any) -> Any:
    """Do what checks a password, in its turn. Answers 401 where it is wrong, 429 where too many wait."""
    turnstile: anyio.CapacityLimiter = request.app.state.log_in_checks
    if turnstile.statistics().tasks_waiting >= _WAITING:
        raise HTTPException(429, say("api.busy"), {"Retry-After": "5"})
    try:
        return await anyio.to_thread.run_sync(work, *given, limiter=turnstile)
    except LoginRefused as error:
        raise HTTPException(401, str(error)) from error


@router.post("/login")
async def log_in(
    credentials: Annotated[Credentials, Body()], request: Request, response: Response, state: State
) -> Session:
    """Log in; the one route that needs nothing."""
    limit_of(request.app.state.log_ins, address_of(request))
    given = (credentials.name, credentials.password, address_of(request), _settings(request))
    agent = request.headers.get("user-agent", "")
    entered = await checked(request, logins.log_in, state, *given, agent)
    return _session(request, response, entered)


@router.post("/login/code")
async def show_code(code: Annotated[Code, Body()], request: Request, response: Response, state: State) -> Session:
    """Go on with a code of the second factor."""
    given = (state, secret_of(request), code.code, address_of(request), _settings(request))
    return _session(request, response, await checked(request, logins.show_code, *given))


@router.post("/login/second-factor")
async def begin_second_factor(request: Request, state: State) -> SecondFactor:
    """Get a new second factor, where the role needs one and there is none."""
    made = await checked(request, logins.begin_enrolment, state, secret_of(request), _settings(request))
    return SecondFactor(**made)


@router.post("/login/second-factor/confirm")
async def confirm_second_factor(
    code: Annotated[Code, Body()], request: Request, response: Response, state: State
) -> Session:
    """Go on with the first code of the new second factor."""
    given = (state, secret_of(request), code.code, address_of(request), _settings(request))
    entered, codes = await checked(request, logins.enrol, *given)
    return _session(request, response, entered, codes)


@router.post("/login/password")
async def choose_password(
    new: Annotated[NewPassword, Body()], request: Request, response: Response, state: State
) -> Session:
    """Go on with a new password, where one is asked for."""
    given = (state, secret_of(request), new.password, address_of(request), _settings(request))
    return _session(request, response, await checked(request, logins.choose_password, *given))


@router.post("/logout")
def log_out(request: Request, response: Response, state: State, user: Anyone) -> dict[str, str]:
    """End the session."""
    logins.log_out(state, secret_of(request), user, address_of(request))
    secure = request.url.scheme == "https"
    response.delete_cookie(cookie_of(request), httponly=True, samesite="strict", secure=secure)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return {"name": user.name}


@router.get("/me")
def me(request: Request, user: Anyone, state: State) -> dict[str, Any]:
    """Return who is logged in, what they may do, whether a data view hides something from them, whether a second factor
    is set up, and the marks of what changes (`GET /live`) as they are before anything else is asked for."""
    limited = user.sight.is_limited()
    factor = bool(user.session) and second_factor.is_set(state, user.name)
    return {
        "name": user.name,
        "role": user.role,
        "permissions": sorted(user.permissions),
        "limited": limited,
        "second_factor": factor,
        "marks": request.app.state.live.marks_of(user),
    }


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _session(request: Request, response: Response, entered: Entered, codes: list[str] | None = None) -> Session:
    response.set_cookie(
        cookie_of(request), entered.secret, max_age=int(_settings(request).api.session_hours * 3600), httponly=True,
        samesite="strict", secure=request.url.scheme == "https",
    )  # fmt: skip
    user, following = entered.user, entered.steps[0] if entered.steps else ""
    return Session(token=entered.secret, name=user.name, role=user.role, next=following, recovery_codes=codes or [])

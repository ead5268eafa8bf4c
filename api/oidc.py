"""Log-in by the organization's identity provider: a browser goes there, and comes back with a session."""

from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.access import State, address_of, cookie_of, limit_of
from pipeline.identity import logins, oidc
from pipeline.identity.logins import Entered, LoginRefused
from pipeline.messages import say
from pipeline.settings import Settings

router = APIRouter(tags=["log-in"])
#: What a browser must bring back; it comes from another site then, so this cookie goes along with such a visit.
_HELD, _SECURE_HELD = "haidang_oidc", "__Host-haidang_oidc"
#: A page of our own leads on: the session's cookie is not sent with a visit that began elsewhere (SameSite=Strict).
_BACK = '<!DOCTYPE html><html><head><meta http-equiv="refresh" content="0;url=/"><title>Hải Đăng</title></head></html>'


@router.get("/login/oidc", status_code=303)
async def begin(request: Request) -> Response:
    """Send a browser to the identity provider."""
    limit_of(request.app.state.log_ins, address_of(request))
    address, held = await anyio.to_thread.run_sync(oidc.begin, _settings(request))
    response = RedirectResponse(address, 303)
    secure = request.url.scheme == "https"
    response.set_cookie(_held_of(request), held, max_age=oidc.LASTS, httponly=True, samesite="lax", secure=secure)
    return response


@router.get("/login/oidc/back")
async def finish(
    request: Request,
    state: State,
    code: Annotated[str, Query(max_length=4000)] = "",
    given: Annotated[str, Query(alias="state", max_length=200)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Take back who comes from the identity provider; the session is in the cookie."""
    limit_of(request.app.state.log_ins, address_of(request))
    if error or not code:
        raise HTTPException(401, say("oidc.refused", reason=error or "-"))
    settings = _settings(request)
    held = request.cookies.get(_held_of(request), "")[:4000]

    def work() -> Entered:
        person = oidc.finish(settings, held, given, code)
        agent = request.headers.get("user-agent", "")
        return logins.log_in_person(state, person, address_of(request), settings, agent)

    try:
        entered = await anyio.to_thread.run_sync(partial(work))
    except LoginRefused as refused:
        raise HTTPException(401, str(refused)) from refused
    response = HTMLResponse(_BACK)
    secure = request.url.scheme == "https"
    response.delete_cookie(_held_of(request), httponly=True, samesite="lax", secure=secure)
    response.set_cookie(
        cookie_of(request), entered.secret, max_age=int(settings.api.session_hours * 3600), httponly=True,
        samesite="strict", secure=secure,
    )  # fmt: skip
    return response


def _held_of(request: Request) -> str:
    return _SECURE_HELD if request.url.scheme == "https" else _HELD


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings

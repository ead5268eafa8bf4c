"""Log-in by the organization's identity provider: a browser goes there, and comes back with a session."""

from functools import partial
from typing import Annotated
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.access import State, address_of, cookie_of, limit_of
from pipeline.identity import logins, oidc
from pipeline.identity.logins import Entered, LoginRefused
from pipeline.messages import HaidangError
from pipeline.settings import Settings

router = APIRouter(tags=["log-in"])
#: What a browser must bring back; it comes from another site then, so this cookie goes along with such a visit.
_HELD, _SECURE_HELD = "haidang_oidc", "__Host-haidang_oidc"
#: Why somebody was refused, for the page that they are led back to.
REFUSED = "haidang_refused"
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
    """Take back who comes from the identity provider; the session is in the cookie. Who is refused is led back to the
    log-in, which says why."""
    limit_of(request.app.state.log_ins, address_of(request))
    settings = _settings(request)
    held = request.cookies.get(_held_of(request), "")[:4000]

    def work() -> Entered:
        if error or not code:
            raise HaidangError("oidc.refused", reason=error or "-")
        person = oidc.finish(settings, held, given, code)
        agent = request.headers.get("user-agent", "")
        return logins.log_in_person(state, person, address_of(request), settings, agent)

    try:
        entered = await anyio.to_thread.run_sync(partial(work))
    except HaidangError as refused:
        if "text/html" not in request.headers.get("accept", ""):
            if isinstance(refused, LoginRefused):
                raise HTTPException(401, str(refused)) from refused
            raise
        return _refused(request, refused)
    response = HTMLResponse(_BACK)
    secure = request.url.scheme == "https"
    response.delete_cookie(_held_of(request), httponly=True, samesite="lax", secure=secure)
    response.set_cookie(
        cookie_of(request), entered.secret, max_age=int(settings.api.session_hours * 3600), httponly=True,
        samesite="strict", secure=secure,
    )  # fmt: skip
    return response


def _refused(request: Request, refused: HaidangError) -> Response:
    """Lead a browser back to the log-in. The sentence goes along in a cookie of a minute, which the page ends: in
    the address, anybody could put words of their own on our page."""
    response = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    response.delete_cookie(_held_of(request), httponly=True, samesite="lax", secure=secure)
    response.set_cookie(REFUSED, quote(str(refused)[:800]), max_age=60, httponly=True, samesite="lax", secure=secure)
    return response


def _held_of(request: Request) -> str:
    return _SECURE_HELD if request.url.scheme == "https" else _HELD


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings

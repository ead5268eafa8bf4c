"""Who may: a request's cookie or token enters, a user with their rights leaves, or 401 and 403.

A route asks for one permission: `user: Annotated[User, Depends(needs("alerts.read"))]`. Of those that show events, or
what is made of them, it must say that it keeps to the user's data view (`views=True`); else whoever has one is refused.
"""

import base64
from math import ceil
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPBearer
from sqlalchemy import Engine

from api.limits import Limit
from pipeline import access
from pipeline.identity import logins
from pipeline.identity.permissions import OF_EVENTS
from pipeline.identity.users import User
from pipeline.messages import say

#: The session's cookie; over TLS no other host and no plain connection can set it (RFC 6265bis section 4.1.3.2).
COOKIE, SECURE_COOKIE = "haidang_session", "__Host-haidang_session"
#: What a page sends with requests that it makes by itself: they do not keep a session open.
BY_ITSELF = "x-haidang-by-itself"
#: Where tokens are taken as Elasticsearch's clients send them, too. Only there, for nothing is changed there: a browser
#: sends `Basic` by itself.
ELASTIC = "/es"
#: What a page asks for by itself where it can send no header (`EventSource`).
_ALWAYS_BY_ITSELF = "/api/v1/live"
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
#: A secret is never longer than this; what is, is no secret of ours.
_SECRET_LENGTH = 200
_bearer = HTTPBearer(auto_error=False, description="A token of `haidang token create NAME --api ROLE`, or of a log-in")


def engine_of(request: Request) -> Engine:
    """Return the state that the application was made with."""
    engine: Engine = request.app.state.engine
    return engine


def secret_of(request: Request) -> str:
    """Return the session or token of a request, or an empty text."""
    sent = _sent(request)
    return request.cookies.get(cookie_of(request), "")[:_SECRET_LENGTH] if sent is None else sent


def _sent(request: Request) -> str | None:
    """Return the secret that a program sends in the header, or None where it sends none that is looked at here."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip()[:_SECRET_LENGTH]
    if scheme.lower() in ("basic", "apikey") and f"{request.url.path}/".startswith(f"{ELASTIC}/"):
        return _elastic_secret(secret.strip()[: 2 * _SECRET_LENGTH])[:_SECRET_LENGTH]
    return None


def _elastic_secret(given: str) -> str:
    """Return the token out of `user:token` or `id:token` in base64, as Elasticsearch's clients send it, or as it is."""
    try:
        _, colon, secret = base64.b64decode(given, validate=True).decode().partition(":")
    except ValueError:
        return given
    return secret if colon else given


def cookie_of(request: Request) -> str:
    """Return the name that the session's cookie has on this connection."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def same_site(request: Request) -> None:
    """Refuse changes that another site's page asks a browser for. Answers 403.

    A browser says where a request comes from (Fetch Metadata, RFC 6454); one that has our cookie and says nothing is
    refused, too. Who sends a token in a header is no browser that was tricked.
    """
    if request.method in _SAFE_METHODS or _sent(request) is not None:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        good = site == "same-origin"
    elif origin is not None:
        good = urlsplit(origin).netloc == request.headers.get("host", "")
    else:
        good = not request.cookies.keys() & {COOKIE, SECURE_COOKIE}
    if not good:
        raise HTTPException(403, say("api.other_site"))


def address_of(request: Request) -> str:
    """Return the address that asks."""
    return request.client.host if request.client else ""


def user_of(request: Request) -> User | None:
    """Return who asks, or None for nobody. A token of a sender of events is nobody here."""
    secret = secret_of(request)
    if not secret:
        return None
    engine = engine_of(request)
    used = BY_ITSELF not in request.headers and request.url.path != _ALWAYS_BY_ITSELF
    user = logins.user_of(engine, secret, request.app.state.settings, used)
    if user is None:
        holder = access.holder_of(engine, secret)
        if holder is not None and holder.kind == access.API:
            user = User(holder.name, holder.role, holder.permissions, holder.sight)
    return user


def current_user(request: Request, _shown: Annotated[object, Depends(_bearer)] = None) -> User:
    """Return who asks. Answers 401 for nobody."""
    user = user_of(request)
    if user is None:
        if name := access.stale_holder_of(engine_of(request), secret_of(request)):
            noted(request, name, "denied", method=request.method, path=request.url.path[:200], reason="token")
        raise HTTPException(401, say("api.who"), {"WWW-Authenticate": "Bearer"})
    limit_of(request.app.state.requests, user.name)
    return user


def person(user: User) -> str:
    """Return the name of somebody with a session. Answers 400 for a token, which is no person's."""
    if not user.session:
        raise HTTPException(400, say("api.no_person"))
    return user.name


def limit_of(limit: Limit, name: str) -> None:
    """Count a request. Answers 429 with `Retry-After` for one too many."""
    if wait := limit.take(name):
        raise HTTPException(429, say("api.too_often", seconds=ceil(wait)), {"Retry-After": str(ceil(wait))})


def noted(request: Request, who: str, action: str, **detail: object) -> None:
    """Write one row of the audit, in a transaction of its own."""
    with engine_of(request).begin() as connection:
        access.note(connection, who, address_of(request), action, **detail)


class Needs:
    """The dependency that lets in users with a permission. Answers 403 for others, and the audit has it."""

    def __init__(self, permission: str, views: bool) -> None:
        self.permission = permission
        self.views = views or permission not in OF_EVENTS

    def __call__(self, request: Request, user: Annotated[User, Depends(current_user)]) -> User:
        """Return who asks."""
        if self.permission not in user.permissions:
            reason, sentence = "permission", say("api.not_allowed", permission=self.permission, role=user.role)
        elif user.sight.is_limited() and not self.views:
            reason, sentence = "view", say("api.not_in_view", permission=self.permission)
        else:
            return user
        path = request.url.path[:200]
        noted(request, user.name, "denied", method=request.method, path=path, reason=reason, needs=self.permission)
        raise HTTPException(403, sentence)


def needs(permission: str, views: bool = False) -> Needs:
    """Return the dependency of a permission; `views`: the route shows and changes only what is in the user's view."""
    return Needs(permission, views)


Anyone = Annotated[User, Depends(current_user)]
RuleReader = Annotated[User, Depends(needs("rules.read"))]
RuleChanger = Annotated[User, Depends(needs("rules.change"))]
RuleManager = Annotated[User, Depends(needs("rules.manage"))]
State = Annotated[Engine, Depends(engine_of)]

"""Who may: a request's cookie or token enters, a user with their rights leaves, or 401 and 403.

A route asks for one permission: `user: Annotated[User, Depends(needs("alerts.read"))]`. Of those that show events, or
what is made of them, it must say that it keeps to the user's data view (`views=True`); else whoever has one is refused.
"""

from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPBearer
from sqlalchemy import Engine

from pipeline import access, users
from pipeline.messages import say
from pipeline.permissions import OF_EVENTS
from pipeline.users import User

#: The session's cookie.
COOKIE = "haidang_session"
#: A secret is never longer than this; what is, is no secret of ours.
_SECRET_LENGTH = 200
_bearer = HTTPBearer(auto_error=False, description="A token of `haidang token create NAME --api ROLE`, or of a log-in")


def engine_of(request: Request) -> Engine:
    """Return the state that the application was made with."""
    engine: Engine = request.app.state.engine
    return engine


def secret_of(request: Request) -> str:
    """Return the session or token of a request, or an empty text."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip()[:_SECRET_LENGTH]
    return request.cookies.get(COOKIE, "")[:_SECRET_LENGTH]


def address_of(request: Request) -> str:
    """Return the address that asks."""
    return request.client.host if request.client else ""


def user_of(request: Request) -> User | None:
    """Return who asks, or None for nobody. A token of a sender of events is nobody here."""
    secret = secret_of(request)
    if not secret:
        return None
    engine = engine_of(request)
    user = users.user_of(engine, secret)
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
    return user


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
#: For routes that show, change and set what the queue has, without a word on data views: who has one is refused.
Viewer = Annotated[User, Depends(needs("alerts.read"))]
Analyst = Annotated[User, Depends(needs("alerts.change"))]
Administrator = Annotated[User, Depends(needs("settings.change"))]
RuleReader = Annotated[User, Depends(needs("rules.read"))]
RuleChanger = Annotated[User, Depends(needs("rules.change"))]
RuleManager = Annotated[User, Depends(needs("rules.manage"))]
State = Annotated[Engine, Depends(engine_of)]

"""Who may: a request's cookie or token enters, a user with a role leaves, or 401 and 403."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPBearer
from sqlalchemy import Engine

from pipeline import access, users
from pipeline.messages import say
from pipeline.users import ROLES, User

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
        user = User(holder.name, holder.role) if holder is not None and holder.kind == access.API else None
    return user if user is not None and user.role in ROLES else None


def current_user(request: Request, _shown: Annotated[object, Depends(_bearer)] = None) -> User:
    """Return who asks. Answers 401 for nobody."""
    user = user_of(request)
    if user is None:
        raise HTTPException(401, say("api.who"), {"WWW-Authenticate": "Bearer"})
    return user


def needs(role: str) -> Callable[[User], User]:
    """Return the dependency that lets in users of this role or a higher one. Answers 403 for others."""

    def check(user: Annotated[User, Depends(current_user)]) -> User:
        if ROLES.index(user.role) < ROLES.index(role):
            raise HTTPException(403, say("api.not_allowed", role=role))
        return user

    return check


Viewer = Annotated[User, Depends(needs("viewer"))]
Analyst = Annotated[User, Depends(needs("analyst"))]
Administrator = Annotated[User, Depends(needs("administrator"))]
State = Annotated[Engine, Depends(engine_of)]

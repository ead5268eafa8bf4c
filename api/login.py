"""Log-in routes: a name and a password enter, a session leaves."""

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field

from api.access import COOKIE, State, Viewer, secret_of
from pipeline import users
from pipeline.users import LoginRefused

router = APIRouter(tags=["log-in"])


class Credentials(BaseModel):
    """What a person types in."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=1000)


class Session(BaseModel):
    """A session: `token` also works as `Authorization: Bearer`."""

    token: str
    name: str
    role: str


@router.post("/login")
def log_in(credentials: Credentials, request: Request, response: Response, state: State) -> Session:
    """Log in; the one route that needs no right."""
    settings = request.app.state.settings.api
    address = request.client.host if request.client else ""
    try:
        secret, user = users.log_in(state, credentials.name, credentials.password, address, settings)
    except LoginRefused as error:
        raise HTTPException(401, str(error)) from error
    response.set_cookie(
        COOKIE, secret, max_age=int(settings.session_hours * 3600), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return Session(token=secret, name=user.name, role=user.role)


@router.post("/logout")
def log_out(request: Request, response: Response, state: State, user: Viewer) -> dict[str, str]:
    """End the session."""
    users.log_out(state, secret_of(request), user, request.client.host if request.client else "")
    response.delete_cookie(COOKIE)
    return {"name": user.name}


@router.get("/me")
def me(user: Viewer) -> dict[str, str]:
    """Return who is logged in."""
    return {"name": user.name, "role": user.role}

"""Account routes: users, roles, groups and tokens, and what everybody may change of their own account.

Nobody gives rights that they do not have themselves, nor changes a user who has more.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from api.access import Anyone, State, address_of, needs, person
from api.login import Code, SecondFactor, checked
from pipeline import access
from pipeline.identity import logins, permissions, rights, second_factor, users, views
from pipeline.identity.passwords import MAX_PASSWORD
from pipeline.identity.users import User
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.state.tables import groups, roles

router = APIRouter(tags=["accounts"])
UserManager = Annotated[User, Depends(needs("users.manage"))]
TokenManager = Annotated[User, Depends(needs("tokens.manage"))]
_Name = Annotated[str, Path(max_length=100)]
_Short = Annotated[str, Field(max_length=100)]
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DataView(_Body):
    """What may be seen; what is left out is not limited."""

    indices: _Names | None = None
    sources: _Names | None = None
    units: _Names | None = None


class NewUser(_Body):
    """A user; a password is made where none is given, and a new one is asked for at the first log-in."""

    name: _Short
    role: _Short = "analyst"
    password: Annotated[str, Field(max_length=MAX_PASSWORD)] | None = None


class UserChange(_Body):
    """What is to change; what is left out stays."""

    role: _Short | None = None
    disabled: bool | None = None
    groups: Annotated[list[_Short], Field(max_length=100)] | None = None
    view: DataView | None = None


class GivenPassword(_Body):
    """A password for somebody, or none: then one is made."""

    password: Annotated[str, Field(max_length=MAX_PASSWORD)] | None = None


class OwnPassword(_Body):
    """The password as it is, and the new one."""

    current: Annotated[str, Field(max_length=MAX_PASSWORD)]
    password: Annotated[str, Field(max_length=MAX_PASSWORD)]


class Current(_Body):
    """The password as it is."""

    current: Annotated[str, Field(max_length=MAX_PASSWORD)]


class Rights(_Body):
    """What a role or group may do and see."""

    permissions: Annotated[list[_Short], Field(max_length=100)] = []
    view: DataView = DataView()


class NewToken(_Body):
    """A token of the API; `permissions`: no more of the role's than these. It ends after `days`."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    role: _Short
    permissions: Annotated[list[_Short], Field(max_length=100)] | None = None
    view: DataView = DataView()
    days: Annotated[float, Field(gt=0, le=3650)] | None = None


@router.get("/users")
def list_users(state: State, _user: UserManager) -> dict[str, Any]:
    """Return all users, without their secrets; times in seconds since 1970."""
    return {"users": users.listed(state)}


@router.post("/users", status_code=201)
def add_user(request: Request, state: State, user: UserManager, new: NewUser) -> dict[str, str]:
    """Make a user; `password` is shown this once."""
    with state.begin() as connection:
        _may_give(connection, user, rights.known_role(connection, new.role))
        policy = _settings(request).access
        made = users.create_user(connection, new.name, new.role, new.password, must_change=True, policy=policy)
        _note(connection, request, user, "user_add", user=new.name, role=new.role)
    return {"name": new.name, "password": made}


@router.patch("/users/{name}", status_code=204)
def change_user(request: Request, state: State, user: UserManager, name: _Name, change: UserChange) -> None:
    """Change role, groups or view, shut out or let in again; it holds at once."""
    with state.begin() as connection, rights.keeping_a_manager(connection):
        _may_touch(connection, user, name)
        if change.role is not None:
            _may_give(connection, user, rights.known_role(connection, change.role))
            users.set_role(connection, name, change.role)
        if change.groups is not None:
            rights.join(connection, name, change.groups)
        if change.view is not None:
            rights.set_view(connection, name, change.view.model_dump())
        if change.disabled is not None:
            users.set_disabled(connection, name, change.disabled)
        _may_touch(connection, user, name)  # no more than they have, by groups either
        told = change.model_dump(exclude_none=True)
        _note(connection, request, user, "user_change", user=name, **told)


@router.post("/users/{name}/password")
def give_password(
    request: Request, state: State, user: UserManager, name: _Name, new: Annotated[GivenPassword, Body()]
) -> dict[str, str]:
    """Give a user a new password, which they must change at the next log-in; ends their sessions and a lock."""
    with state.begin() as connection:
        _may_touch(connection, user, name)
        policy = _settings(request).access
        made = users.set_password(connection, name, new.password, must_change=True, policy=policy)
        _note(connection, request, user, "user_password", user=name)
    return {"name": name, "password": made}


@router.delete("/users/{name}/second-factor", status_code=204)
def reset_second_factor(request: Request, state: State, user: UserManager, name: _Name) -> None:
    """Forget a user's second factor (a lost telephone); ends their sessions."""
    with state.begin() as connection:
        _may_touch(connection, user, name)
        users.reset_second_factor(connection, name)
        _note(connection, request, user, "second_factor_reset", user=name)


@router.delete("/users/{name}/sessions")
def force_log_out(request: Request, state: State, user: UserManager, name: _Name) -> dict[str, int]:
    """End all sessions of a user now."""
    with state.begin() as connection:
        _may_touch(connection, user, name)
        ended = users.end_sessions(connection, name)
        _note(connection, request, user, "sessions_ended", user=name, count=ended)
    return {"ended": ended}


@router.get("/roles")
def list_roles(state: State, _user: UserManager) -> dict[str, Any]:
    """Return all roles and groups with what they may do and see, and all permissions that there are."""
    ours = [
        {"name": name, "permissions": permissions.checked(of), "view": None} for name, of in permissions.ROLES.items()
    ]
    with state.connect().execution_options(read_only=True) as connection:
        own, found = (
            [{"name": row.name, "permissions": row.permissions, "view": row.view} for row in connection.execute(query)]
            for query in (select(roles).order_by(roles.c.name), select(groups).order_by(groups.c.name))
        )
    return {"roles": ours, "own_roles": own, "groups": found, "permissions": permissions.PERMISSIONS}


@router.put("/roles/{name}", status_code=204)
def put_role(request: Request, state: State, user: UserManager, name: _Name, given: Rights) -> None:
    """Make a role of the site's own, or change it."""
    with state.begin() as connection, rights.keeping_a_manager(connection):
        _may_have(user, given.permissions)
        rights.set_role(connection, name, given.permissions, given.view.model_dump())
        _note(connection, request, user, "role_set", role=name, **given.model_dump(exclude_none=True))


@router.delete("/roles/{name}", status_code=204)
def delete_role(request: Request, state: State, user: UserManager, name: _Name) -> None:
    """Remove a role that nobody has."""
    with state.begin() as connection:
        rights.remove_role(connection, name)
        _note(connection, request, user, "role_remove", role=name)


@router.put("/groups/{name}", status_code=204)
def put_group(request: Request, state: State, user: UserManager, name: _Name, given: Rights) -> None:
    """Make a group, or change it."""
    with state.begin() as connection, rights.keeping_a_manager(connection):
        _may_have(user, given.permissions)
        rights.set_group(connection, name, given.permissions, given.view.model_dump())
        _note(connection, request, user, "group_set", group=name, **given.model_dump(exclude_none=True))


@router.delete("/groups/{name}", status_code=204)
def delete_group(request: Request, state: State, user: UserManager, name: _Name) -> None:
    """Remove a group that nobody is in."""
    with state.begin() as connection:
        rights.remove_group(connection, name)
        _note(connection, request, user, "group_remove", group=name)


@router.get("/tokens")
def list_tokens(state: State, _user: TokenManager) -> dict[str, Any]:
    """Return all tokens; what they are made of is kept nowhere. Times in seconds since 1970."""
    return {"tokens": access.listed(state)}


@router.post("/tokens", status_code=201)
def add_token(request: Request, state: State, user: TokenManager, new: NewToken) -> dict[str, Any]:
    """Make a token of the API; `token` is shown this once."""
    days = new.days or _settings(request).access.token_days
    with state.begin() as connection:
        role = rights.known_role(connection, new.role)
        given, _ = rights.rights_of(connection, role, None, [])
        _may_have(user, given if new.permissions is None else given & set(permissions.checked(new.permissions)))
        view = new.view.model_dump()
        secret = access.create_token(connection, new.name, access.API, role, view, new.permissions, days, user.name)
        _note(connection, request, user, "token_create", token=new.name, role=role, days=days, view=views.checked(view))
    return {"name": new.name, "token": secret, "days": days}


@router.delete("/tokens/{name}", status_code=204)
def revoke_token(request: Request, state: State, user: TokenManager, name: _Name) -> None:
    """Make a token useless now."""
    with state.begin() as connection:
        access.revoke_token(connection, name.replace("\x00", ""))
        _note(connection, request, user, "token_revoke", token=name)


@router.get("/me/sessions")
def own_sessions(state: State, user: Anyone) -> dict[str, Any]:
    """Return one's open sessions: since when, from where, with what; `id` ends one."""
    return {"sessions": logins.sessions_of(state, person(user)), "this": user.session}


@router.delete("/me/sessions/{identifier}", status_code=204)
def end_own_session(request: Request, state: State, user: Anyone, identifier: _Name) -> None:
    """End one of one's sessions."""
    with state.begin() as connection:
        logins.end_session(connection, person(user), identifier.replace("\x00", ""))
        _note(connection, request, user, "session_ended", session=identifier)


@router.post("/me/password", status_code=204)
async def change_own_password(request: Request, state: State, user: Anyone, new: OwnPassword) -> Response:
    """Change one's password; ends all other sessions."""

    def work() -> None:
        _prove(request, user, new.current)
        with state.begin() as connection:
            policy = _settings(request).access
            users.set_password(connection, user.name, new.password, policy=policy, keep=user.session)
            _note(connection, request, user, "password_changed")

    await checked(request, work)
    return Response(status_code=204)


@router.post("/me/second-factor")
async def begin_own_second_factor(request: Request, state: State, user: Anyone, proof: Current) -> SecondFactor:
    """Get a new second factor; it counts once a code of it was shown, and replaces one that there is."""

    def work() -> dict[str, str]:
        _prove(request, user, proof.current)
        with state.begin() as connection:
            return second_factor.begin(connection, _settings(request), user.name)

    return SecondFactor(**await checked(request, work))


@router.post("/me/second-factor/confirm")
async def confirm_own_second_factor(request: Request, state: State, user: Anyone, code: Code) -> dict[str, Any]:
    """Let the new second factor count; `recovery_codes` are shown this once."""

    def work() -> list[str]:
        with state.begin() as connection:
            codes = second_factor.confirm(connection, _settings(request), person(user), code.code)
            _note(connection, request, user, "second_factor_set")
        return codes

    return {"recovery_codes": await run_in_threadpool(work)}


@router.delete("/me/second-factor", status_code=204)
async def take_own_second_factor_away(request: Request, state: State, user: Anyone, proof: Current) -> Response:
    """Go without a second factor; where the role needs one, another is set up at the next log-in."""

    def work() -> None:
        _prove(request, user, proof.current)
        with state.begin() as connection:
            second_factor.take_away(connection, user.name)
            _note(connection, request, user, "second_factor_removed")

    await checked(request, work)
    return Response(status_code=204)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _note(connection: Connection, request: Request, by: User, action: str, /, **detail: Any) -> None:
    access.note(connection, by.name, address_of(request), action, **detail)


def _prove(request: Request, user: User, password: str) -> None:
    """Check the password of who is logged in: a session that was left open changes none of it."""
    logins.prove(request.app.state.engine, person(user), password, address_of(request), _settings(request))


def _may_have(user: User, given: Any) -> None:
    """Refuse to give more than one has: permissions, or, with a data view, any rights at all."""
    lacking = set(permissions.checked(given)) - user.permissions
    if lacking or user.sight.is_limited():
        raise HaidangError("rights.too_much", permission=min(lacking, default="-"))


def _may_give(connection: Connection, user: User, role: str) -> None:
    _may_have(user, rights.rights_of(connection, role, None, [])[0])


def _may_touch(connection: Connection, user: User, name: str) -> None:
    row = users.known(connection, name)
    _may_have(user, rights.rights_of(connection, row.role, row.name, [])[0])

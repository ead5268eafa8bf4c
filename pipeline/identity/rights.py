"""What somebody may do and see: roles, groups and views of the state enter, permissions and a sight leave."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from pipeline.identity import names, permissions, views
from pipeline.identity.permissions import ROLES
from pipeline.identity.views import Sight
from pipeline.messages import HaidangError
from pipeline.state import upsert
from pipeline.state.tables import group_members, groups, roles, tokens, users

_MANAGES = "users.manage"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,19}")


def rights_of(connection: Connection, role: str, user: str | None, own: Sequence[Any]) -> tuple[frozenset[str], Sight]:
    """Return the permissions and the sight of a role, with those of the groups of a user, narrowed by `own` views.

    A role that is not there has no permission.
    """
    made = ROLES.get(role)
    view: Any = None
    if made is None:
        row = connection.execute(select(roles).where(roles.c.name == role)).first()
        made, view = (frozenset(row.permissions), row.view) if row else (frozenset(), None)
    joined: Sequence[Any] = ()
    if user is not None:
        query = select(groups).join(group_members, group_members.c.group == groups.c.name)
        joined = connection.execute(query.where(group_members.c.user == user)).all()
    given = made.union(*(row.permissions for row in joined))
    return given.intersection(permissions.PERMISSIONS), views.sight([view, *own], [row.view for row in joined])


def managers(connection: Connection) -> set[str]:
    """Return who may manage users, by role or group, and is not disabled."""

    def managing(table: Any) -> list[str]:
        return [row.name for row in connection.execute(select(table)) if _MANAGES in row.permissions]

    by_role = [*(name for name, given in ROLES.items() if _MANAGES in given), *managing(roles)]
    by_group = select(group_members.c.user).where(group_members.c.group.in_(managing(groups)))
    query = select(users.c.name).where(users.c.role.in_(by_role) | users.c.name.in_(by_group))
    return set(connection.scalars(query.where(users.c.disabled.is_(False))))


@contextmanager
def keeping_a_manager(connection: Connection) -> Iterator[None]:
    """Refuse what is done within the block where nobody who may manage users would be left by it.

    Two that take the right from each other at the same time come one after the other.

    Raises:
        HaidangError: nobody would be left.
    """
    names.lock(connection)
    before = managers(connection)
    yield
    if before and not managers(connection):
        raise HaidangError("user.last_manager", name=", ".join(sorted(before))[:200])


def known_role(connection: Connection, name: str) -> str:
    """Return the name of a role as it is now.

    Raises:
        HaidangError: there is none.
    """
    found = permissions.role_named(name)
    own = connection.scalars(select(roles.c.name).order_by(roles.c.name)).all()
    if found not in ROLES and found not in own:
        raise HaidangError("user.unknown_role", role=name[:100], known=", ".join((*ROLES, *own)))
    return found


def set_role(connection: Connection, name: str, given: Iterable[str], view: Mapping[str, Any]) -> None:
    """Make a role of the site's own, or change it.

    Raises:
        HaidangError: a name that is ours or none, a permission or view that is none, or no permission at all.
    """
    if not _NAME.fullmatch(name) or name in ROLES or name in permissions.FORMER:
        raise HaidangError("rights.bad_name", name=name[:100], taken=", ".join((*ROLES, *permissions.FORMER)))
    given = permissions.checked(given)
    _set(connection, roles, name, given, view)
    if not given:
        raise HaidangError("rights.no_permissions", name=name)


def set_group(connection: Connection, name: str, given: Iterable[str], view: Mapping[str, Any]) -> None:
    """Make a group, or change it; its members have its permissions beside their role's.

    Raises:
        HaidangError: a name, permission or view that is none.
    """
    if not _NAME.fullmatch(name):
        raise HaidangError("rights.bad_name", name=name[:100], taken="-")
    _set(connection, groups, name, given, view)


def remove_role(connection: Connection, name: str) -> None:
    """Remove a role that nobody has.

    Raises:
        HaidangError: there is none, or somebody has it.
    """
    for table in (users, tokens):
        if holder := connection.scalar(select(table.c.name).where(table.c.role == name).limit(1)):
            raise HaidangError("rights.in_use", name=name[:100], holder=holder)
    if not connection.execute(delete(roles).where(roles.c.name == name)).rowcount:
        raise HaidangError("rights.none", name=name[:100])


def remove_group(connection: Connection, name: str) -> None:
    """Remove a group; its members have what their roles and other groups give.

    Raises:
        HaidangError: there is none. A group that narrows what its members see is emptied first: they would see more.
    """
    if holder := connection.scalar(select(group_members.c.user).where(group_members.c.group == name).limit(1)):
        raise HaidangError("rights.in_use", name=name[:100], holder=holder)
    if not connection.execute(delete(groups).where(groups.c.name == name)).rowcount:
        raise HaidangError("rights.none", name=name[:100])


def join(connection: Connection, user: str, names: Iterable[str]) -> None:
    """Let a user be in these groups and no others.

    Raises:
        HaidangError: there is no such user or group.
    """
    wanted = sorted(set(names))
    if not connection.scalar(select(func.count()).select_from(users).where(users.c.name == user)):
        raise HaidangError("user.unknown", name=user[:100])
    there = connection.scalars(select(groups.c.name).where(groups.c.name.in_(wanted))).all()
    if missing := sorted(set(wanted) - set(there)):
        raise HaidangError("rights.none", name=missing[0][:100])
    connection.execute(delete(group_members).where(group_members.c.user == user))
    if wanted:
        connection.execute(group_members.insert(), [{"group": name, "user": user} for name in wanted])


def set_view(connection: Connection, user: str, view: Mapping[str, Any]) -> None:
    """Give a user a data view of their own; an empty one limits nothing.

    Raises:
        HaidangError: there is no such user, or it is no view.
    """
    change = update(users).where(users.c.name == user).values(view=views.checked(view))
    if not connection.execute(change).rowcount:
        raise HaidangError("user.unknown", name=user[:100])


def _set(connection: Connection, table: Any, name: str, given: Iterable[str], view: Mapping[str, Any]) -> None:
    row = {
        "name": name, "permissions": permissions.checked(given), "view": views.checked(view), "created": time.time(),
    }  # fmt: skip
    upsert(connection, table, [row], ["name"])

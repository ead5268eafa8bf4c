"""`haidang user add|password|role|groups|view|list`: users of the API and its pages."""

import argparse
import getpass
import sys
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from pipeline import rights, views
from pipeline.access import note
from pipeline.command import show
from pipeline.command.rights import add_view, tell_former, told, view_of
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.permissions import ROLES
from pipeline.state import open_state
from pipeline.state.tables import group_members, users
from pipeline.users import create_user, set_password

_ACTIONS = ("add", "password", "role", "groups", "view", "list")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=_ACTIONS, help=say("command.user.action"))
    parser.add_argument("name", nargs="?", help=say("command.user.name"))
    parser.add_argument("--role", default="analyst", help=say("command.user.role", roles=", ".join(ROLES)))
    parser.add_argument("--ask", action="store_true", help=say("command.user.ask"))
    parser.add_argument("--group", action="append", default=[], help=say("command.user.group"))
    add_view(parser)


def run(chosen: argparse.Namespace) -> int:
    """Make or change a user, or list the users; a password that was made is printed."""
    settings = site_settings(must_be_there=chosen.action == "list")
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        _list(engine)
        return 0
    if not chosen.name:
        raise HaidangError("command.user.no_name")
    asked = chosen.action in ("add", "password") and chosen.ask
    password = getpass.getpass(say("command.user.prompt")) if asked else None
    with engine.begin() as connection:
        made, changed = _change(connection, chosen, password)
        note(connection, getpass.getuser(), "command", f"user_{chosen.action}", user=chosen.name, **changed)
    if made and password is None:
        sys.stdout.write(say("command.user.made", name=chosen.name, password=made) + "\n")
    return 0


def _change(connection: Connection, chosen: argparse.Namespace, password: str | None) -> tuple[str, dict[str, Any]]:
    """Do it; return a password that was made, and what the audit says of it."""
    if chosen.action == "password":
        return set_password(connection, chosen.name, password), {}
    if chosen.action == "view":
        rights.set_view(connection, chosen.name, view_of(chosen))
        return "", {"view": views.checked(view_of(chosen))}
    if chosen.action == "groups":
        rights.join(connection, chosen.name, chosen.group)
        return "", {"groups": chosen.group}
    tell_former(chosen.role)
    role = rights.known_role(connection, chosen.role)
    if chosen.action == "add":
        return create_user(connection, chosen.name, role, password), {"role": role}
    if not connection.execute(update(users).where(users.c.name == chosen.name).values(role=role)).rowcount:
        raise HaidangError("user.unknown", name=chosen.name)
    return "", {"role": role}


def _list(engine: Engine) -> None:
    with engine.connect().execution_options(read_only=True) as connection:
        of_user: dict[str, list[str]] = {}
        for user, group in connection.execute(select(group_members.c.user, group_members.c.group)):
            of_user.setdefault(user, []).append(group)
        found = connection.execute(select(users.c.name, users.c.role, users.c.view).order_by(users.c.name)).all()
    rows = [(name, role, ", ".join(sorted(of_user.get(name, []))), told(view)) for name, role, view in found]
    show.table("", [say("show.user"), say("show.role"), say("show.groups"), say("show.view")], rows)

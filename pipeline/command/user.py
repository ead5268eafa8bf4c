"""`haidang user add|password|list|…`: users of the API and its pages."""

import argparse
import getpass
import sys
from typing import Any

from sqlalchemy import Connection, Engine

from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.rights import add_view, tell_former, told, view_of
from pipeline.command.site import site_settings
from pipeline.event import from_micros
from pipeline.identity import rights, users, views
from pipeline.identity.permissions import ROLES
from pipeline.messages import HaidangError, say
from pipeline.settings import Access
from pipeline.state import open_state

_ACTIONS = ("add", "password", "role", "groups", "view", "disable", "enable", "reset-factor", "log-out", "list")


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
    with engine.begin() as connection, rights.keeping_a_manager(connection):
        made, changed = _change(connection, chosen, password, settings.access)
        action = f"user_{chosen.action.replace('-', '_')}"
        note(connection, person(), "command", action, user=chosen.name, **changed)
    if made and password is None:
        sys.stdout.write(say("command.user.made", name=chosen.name, password=made) + "\n")
    return 0


def _change(
    connection: Connection, chosen: argparse.Namespace, password: str | None, policy: Access
) -> tuple[str, dict[str, Any]]:
    """Do it; return a password that was made, and what the audit says of it."""
    if chosen.action == "password":
        return users.set_password(connection, chosen.name, password, must_change=True, policy=policy), {}
    if chosen.action in ("disable", "enable"):
        users.set_disabled(connection, chosen.name, chosen.action == "disable")
        return "", {}
    if chosen.action == "reset-factor":
        users.reset_second_factor(connection, chosen.name)
        return "", {}
    if chosen.action == "log-out":
        users.known(connection, chosen.name)
        return "", {"sessions": users.end_sessions(connection, chosen.name)}
    if chosen.action == "view":
        rights.set_view(connection, chosen.name, view_of(chosen))
        return "", {"view": views.checked(view_of(chosen))}
    if chosen.action == "groups":
        rights.join(connection, chosen.name, chosen.group)
        return "", {"groups": chosen.group}
    tell_former(chosen.role)
    role = rights.known_role(connection, chosen.role)
    if chosen.action == "role":
        return "", {"role": users.set_role(connection, chosen.name, role)}
    made = users.create_user(connection, chosen.name, role, password, must_change=True, policy=policy)
    return made, {"role": role}


def _list(engine: Engine) -> None:
    rows = [
        (each["name"], each["role"], ", ".join(each["groups"]), told(each["view"]), _state(each),
         show.local_time(from_micros(round(each["seen"] * 1_000_000))) if each["seen"] else say("show.never"))
        for each in users.listed(engine)
    ]  # fmt: skip
    show.table("", [say(f"show.{name}") for name in ("user", "role", "groups", "view", "state", "seen")], rows)


def _state(user: dict[str, Any]) -> str:
    return ", ".join(
        say(f"show.user_{name}") for name in ("disabled", "locked", "must_change", "second_factor") if user[name]
    )

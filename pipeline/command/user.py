"""`haidang user add|password|list`: users of the API and its pages."""

import argparse
import getpass
import sys

from sqlalchemy import select

from pipeline.access import note
from pipeline.command import show
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.state import open_state
from pipeline.state.tables import users
from pipeline.users import ROLES, create_user, set_password


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["add", "password", "list"], help=say("command.user.action"))
    parser.add_argument("name", nargs="?", help=say("command.user.name"))
    parser.add_argument("--role", choices=ROLES, default="analyst", help=say("command.user.role"))
    parser.add_argument("--ask", action="store_true", help=say("command.user.ask"))


def run(chosen: argparse.Namespace) -> int:
    """Make a user or a new password and print it, or list the users."""
    settings = site_settings(must_be_there=chosen.action == "list")
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        with engine.connect().execution_options(read_only=True) as connection:
            rows = connection.execute(select(users.c.name, users.c.role).order_by(users.c.name)).all()
        show.table("", [say("show.user"), say("show.role")], rows)
        return 0
    if not chosen.name:
        raise HaidangError("command.user.no_name")
    password = getpass.getpass(say("command.user.prompt")) if chosen.ask else None
    with engine.begin() as connection:
        if chosen.action == "add":
            made = create_user(connection, chosen.name, chosen.role, password)
        else:
            made = set_password(connection, chosen.name, password)
        note(connection, getpass.getuser(), "command", f"user_{chosen.action}", user=chosen.name)
    if password is None:
        sys.stdout.write(say("command.user.made", name=chosen.name, password=made) + "\n")
    return 0

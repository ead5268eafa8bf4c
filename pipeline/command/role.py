"""`haidang role list|set|remove`: roles of the site's own, and groups of users, with what they may do and see."""

import argparse

from sqlalchemy import Engine, select

from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.rights import add_view, told, view_of
from pipeline.command.site import site_settings
from pipeline.identity import permissions, rights, views
from pipeline.identity.permissions import PERMISSIONS, ROLES
from pipeline.messages import HaidangError, say
from pipeline.state import open_state
from pipeline.state.tables import groups, roles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["list", "set", "remove"], help=say("command.role.action"))
    parser.add_argument("name", nargs="?", help=say("command.role.name"))
    parser.add_argument("--group", action="store_true", help=say("command.role.group"))
    permission = say("command.role.permission", permissions=", ".join(PERMISSIONS))
    parser.add_argument("--permission", action="append", default=[], metavar="PERMISSION", help=permission)
    add_view(parser)


def run(chosen: argparse.Namespace) -> int:
    """Show all roles and groups, or change one."""
    settings = site_settings(must_be_there=chosen.action == "list")
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        _list(engine)
        return 0
    if not chosen.name:
        raise HaidangError("command.role.no_name")
    what = "group" if chosen.group else "role"
    with engine.begin() as connection, rights.keeping_a_manager(connection):
        if chosen.action == "remove":
            (rights.remove_group if chosen.group else rights.remove_role)(connection, chosen.name)
            note(connection, person(), "command", f"{what}_remove", **{what: chosen.name})
            return 0
        given, view = permissions.checked(chosen.permission), views.checked(view_of(chosen))
        (rights.set_group if chosen.group else rights.set_role)(connection, chosen.name, given, view or {})
        told_of = {what: chosen.name, "permissions": given, "view": view}
        note(connection, person(), "command", f"{what}_set", **told_of)
    return 0


def _list(engine: Engine) -> None:
    ours = [(name, "", "", ", ".join(permissions.checked(given))) for name, given in ROLES.items()]
    with engine.connect().execution_options(read_only=True) as connection:
        of_site = [
            (row.name, say(f"show.{what}"), told(row.view), ", ".join(row.permissions))
            for what, table in (("role", roles), ("group", groups))
            for row in connection.execute(select(table).order_by(table.c.name))
        ]
    head = [say("show.name"), say("show.kind"), say("show.view"), say("show.permissions")]
    show.table("", head, [*ours, *of_site])

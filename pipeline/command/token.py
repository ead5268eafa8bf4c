"""`haidang token create|revoke|list`: tokens of senders and of programs that read the API."""

import argparse
import getpass

from sqlalchemy import select

from pipeline.access import API, SOURCE, create_token, note, revoke_token
from pipeline.command import show
from pipeline.command.rights import add_view, tell_former, told, view_of
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.permissions import ROLES
from pipeline.state import open_state
from pipeline.state.tables import tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["create", "revoke", "list"], help=say("command.token.action"))
    parser.add_argument("name", nargs="?", help=say("command.token.name"))
    parser.add_argument("--api", metavar="ROLE", help=say("command.token.api", roles=", ".join(ROLES)))
    add_view(parser)


def run(chosen: argparse.Namespace) -> int:
    """Make, revoke or list tokens; a token is printed once, when it is made."""
    settings = site_settings(must_be_there=chosen.action == "list")
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        query = select(tokens.c.name, tokens.c.kind, tokens.c.role, tokens.c.view, tokens.c.revoked).order_by(
            tokens.c.name
        )
        with engine.connect().execution_options(read_only=True) as connection:
            rows = [
                (name, kind, role, told(view), say("show.revoked") if gone else "")
                for name, kind, role, view, gone in connection.execute(query)
            ]
        show.table("", [say("show.token"), say("show.kind"), say("show.role"), say("show.view"), ""], rows)
        return 0
    if not chosen.name:
        raise HaidangError("command.token.no_name")
    with engine.begin() as connection:
        note(connection, getpass.getuser(), "command", f"token_{chosen.action}", token=chosen.name)
        if chosen.action == "revoke":
            revoke_token(connection, chosen.name)
            return 0
        tell_former(chosen.api or "")
        kind = API if chosen.api else SOURCE
        secret = create_token(connection, chosen.name, kind, chosen.api or "", view_of(chosen))
    show.line(secret)
    return 0

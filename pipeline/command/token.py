"""`haidang token create|revoke|list`: tokens of senders and of programs that read the API."""

import argparse
import getpass

from sqlalchemy import select

from pipeline.access import API, SOURCE, create_token, note, revoke_token
from pipeline.command import show
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.state import open_state
from pipeline.state.tables import tokens
from pipeline.users import ROLES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["create", "revoke", "list"], help=say("command.token.action"))
    parser.add_argument("name", nargs="?", help=say("command.token.name"))
    parser.add_argument("--api", choices=ROLES, metavar="ROLE", help=say("command.token.api", roles=", ".join(ROLES)))


def run(chosen: argparse.Namespace) -> int:
    """Make, revoke or list tokens; a token is printed once, when it is made."""
    settings = site_settings(must_be_there=chosen.action == "list")
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        query = select(tokens.c.name, tokens.c.kind, tokens.c.role, tokens.c.revoked).order_by(tokens.c.name)
        with engine.connect().execution_options(read_only=True) as connection:
            rows = [
                (name, kind, role, say("show.revoked") if gone else "")
                for name, kind, role, gone in connection.execute(query)
            ]
        show.table("", [say("show.token"), say("show.kind"), say("show.role"), ""], rows)
        return 0
    if not chosen.name:
        raise HaidangError("command.token.no_name")
    with engine.begin() as connection:
        note(connection, getpass.getuser(), "command", f"token_{chosen.action}", token=chosen.name)
        if chosen.action == "revoke":
            revoke_token(connection, chosen.name)
            return 0
        secret = create_token(connection, chosen.name, API if chosen.api else SOURCE, chosen.api or "")
    show.line(secret)
    return 0

"""`haidang token create|revoke|list`: tokens of senders and of programs that read the API."""

import argparse

from pipeline.access import API, SOURCE, create_token, listed, note, revoke_token
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.rights import add_view, tell_former, told, view_of
from pipeline.command.site import site_settings
from pipeline.event import from_micros
from pipeline.identity.permissions import ROLES
from pipeline.messages import HaidangError, say
from pipeline.state import open_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["create", "revoke", "list"], help=say("command.token.action"))
    parser.add_argument("name", nargs="?", help=say("command.token.name"))
    parser.add_argument("--api", metavar="ROLE", help=say("command.token.api", roles=", ".join(ROLES)))
    parser.add_argument("--days", type=float, help=say("command.token.days"))
    permission = say("command.token.permission")
    parser.add_argument("--permission", action="append", default=[], metavar="PERMISSION", help=permission)
    add_view(parser)


def run(chosen: argparse.Namespace) -> int:
    """Make, revoke or list tokens; a token is printed once, when it is made."""
    settings = site_settings(must_be_there=chosen.action == "list")
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        rows = [
            (each["name"], each["kind"], each["role"], told(each["view"]), _day(each["expires"]), _day(each["used"]),
             say("show.revoked") if each["revoked"] else "")
            for each in listed(engine)
        ]  # fmt: skip
        head = ("token", "kind", "role", "view", "expires", "used")
        show.table("", [*(say(f"show.{name}") for name in head), ""], rows)
        return 0
    if not chosen.name:
        raise HaidangError("command.token.no_name")
    with engine.begin() as connection:
        note(connection, person(), "command", f"token_{chosen.action}", token=chosen.name)
        if chosen.action == "revoke":
            revoke_token(connection, chosen.name)
            return 0
        tell_former(chosen.api or "")
        kind = API if chosen.api else SOURCE
        days = (chosen.days or settings.access.token_days) if kind == API else chosen.days
        given = chosen.permission or None
        who = person()
        secret = create_token(connection, chosen.name, kind, chosen.api or "", view_of(chosen), given, days, who)
    show.line(secret)
    return 0


def _day(when: float | None) -> str:
    return "" if when is None else show.local_time(from_micros(round(when * 1_000_000)))

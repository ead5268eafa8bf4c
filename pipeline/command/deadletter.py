"""`haidang deadletter list|retry|drop`: lines that no stage could do anything with."""

import argparse
from datetime import UTC, datetime

from sqlalchemy import Engine

from pipeline import deadletters
from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.event import format_time
from pipeline.messages import HaidangError, say
from pipeline.retrying import bring_back
from pipeline.state import open_state

_SHOWN_LINE = 200
#: So many ids of those that were named stand in the audit.
_MOST_NOTED = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["list", "retry", "drop"], help=say("command.deadletter.action"))
    parser.add_argument("id", nargs="*", help=say("command.deadletter.id"))
    parser.add_argument("--all", action="store_true", help=say("command.deadletter.all"))
    parser.add_argument("--source", help=say("command.deadletter.source"))
    parser.add_argument("--reason", help=say("command.deadletter.reason"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """List, retry or drop; 1 where an id that was named is not there."""
    settings = site_settings()
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "list":
        with engine.begin() as connection:
            note(connection, person(), "command", deadletters.READ, source=chosen.source, limit=chosen.limit)
        _list(chosen, engine)
        return 0
    if not (chosen.id or chosen.all or chosen.source or chosen.reason):
        raise HaidangError("command.deadletter.which", action=chosen.action)
    letters = deadletters.listed(engine, chosen.id, chosen.source, chosen.reason)
    done = bring_back(settings, engine, letters) if chosen.action == "retry" else deadletters.drop(engine, letters)
    named = {"ids": chosen.id[:_MOST_NOTED], "source": chosen.source, "reason": chosen.reason}
    asked = {name: value for name, value in named.items() if value}
    action = deadletters.RETRIED if chosen.action == "retry" else deadletters.DROPPED
    with engine.begin() as connection:
        note(connection, person(), "command", action, **asked, letters=done)
    show.line(say(f"command.deadletter.{chosen.action}_done", count=show.number(done)))
    missing = set(chosen.id) - {letter["id"] for letter in letters}
    if missing:
        show.line(say("command.deadletter.not_there", ids=", ".join(sorted(missing))))
    return 1 if missing else 0


def _list(chosen: argparse.Namespace, engine: Engine) -> None:
    letters = deadletters.listed(engine, chosen.id, chosen.source, chosen.reason, max(chosen.limit, 0))
    if chosen.json:
        for letter in letters:
            show.json_line({**letter, "line": deadletters.text_of(letter["line"])})
        return
    held = deadletters.summary(engine)
    if letters:
        names = ("id", "time", "stage", "source", "reason", "line")
        rows = [
            (
                letter["id"], show.local_time(format_time(datetime.fromtimestamp(letter["time"], UTC))),
                letter["stage"], letter["source"], f"{letter['reason']}: {letter['detail']}"[:_SHOWN_LINE],
                deadletters.text_of(letter["line"])[:_SHOWN_LINE],
            )
            for letter in letters
        ]  # fmt: skip
        show.table("", [say(f"command.deadletter.head.{name}") for name in names], rows)
    show.line(
        say("command.deadletter.held", count=show.number(held["count"]), megabytes=f"{held['bytes'] / 1_000_000:.1f}")
    )

"""`haidang sources`: the ledger leaves: for each source what came in, what is stored, what was dropped and why."""

import argparse

from sqlalchemy import Engine

from pipeline import bus
from pipeline.balance import balances
from pipeline.bus import open_bus
from pipeline.command import show
from pipeline.messages import choose_language, say
from pipeline.settings import Settings, load_settings
from pipeline.state import is_there, open_state, positions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Print the ledger."""
    settings = load_settings()
    choose_language(settings.language)
    if not is_there(settings.data_dir, settings.state):
        return show.nothing_here(settings.data_dir)
    engine = open_state(settings.data_dir, settings.state)
    rows = balances(engine)
    if chosen.json:
        for row in rows:
            show.json_line(row)
        return 0
    if not rows:
        show.line(say("command.sources.none"))
        return 0
    names = ("received", "stored", "already_stored", "dropped", "examined", "alerts")
    head = [say("show.source"), *(say(f"show.{name}") for name in names), say("show.last"), say("show.reasons")]
    cells = [
        (
            row["source"], *(show.number(row[name]) for name in names), show.minute(row["last_minute"]),
            ", ".join(f"{reason}: {show.number(count)}" for reason, count in row["reasons"].items()),
        )
        for row in rows
    ]  # fmt: skip
    show.table("", head, cells, right=range(1, len(names) + 1))
    show.line(say("command.sources.waiting", events=show.number(_waiting(settings, engine))))
    return 0


def _waiting(settings: Settings, engine: Engine) -> int:
    queue = open_bus(settings.data_dir, settings.bus)
    waiting = queue.backlog(bus.EVENTS, positions.load(engine, "store", bus.EVENTS))[0]
    queue.close()
    return waiting

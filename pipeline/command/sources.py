"""`haidang sources`: the ledger leaves: for each source what came in, what is stored, what was dropped and why."""

import argparse
import time
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from pipeline import bus, clocks
from pipeline.balance import accounts, balances, by_minute
from pipeline.books import settle
from pipeline.bus import open_bus
from pipeline.command import show
from pipeline.command.site import site_settings
from pipeline.ledger import KEEP_MINUTES
from pipeline.messages import say
from pipeline.settings import Settings
from pipeline.state import open_state, positions

#: How often, and how far apart in seconds, a balance is looked at that does not add up: counts come a second late.
_LOOKS, _LOOK_SECONDS = 4, 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help=say("command.json"))
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--check", action="store_true", help=say("command.sources.check"))
    chosen.add_argument("--clocks", action="store_true", help=say("command.sources.clocks"))
    chosen.add_argument("--minutes", type=minutes, nargs="?", const=60, help=say("command.sources.minutes"))
    parser.add_argument("--source", help=say("command.sources.source"))


def run(chosen: argparse.Namespace) -> int:
    """Print the ledger."""
    settings = site_settings()
    engine = open_state(settings.data_dir, settings.state)
    if chosen.check:
        return _check(chosen, settings, engine)
    if chosen.clocks:
        return _clocks(chosen, engine)
    rows = [row for row in balances(engine) if chosen.source in (None, row["source"])]
    if chosen.minutes:
        for row in rows:
            _by_minute(chosen, engine, row["source"])
        return 0
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


def _check(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    """Print whether received + retried = stored + held + dropped for each source; 1 where not, looked at twice."""
    queue = open_bus(settings.data_dir, settings.bus)
    settle(settings, engine, queue)
    for look in range(_LOOKS):
        found = accounts(engine, queue)
        if all(account.adds_up for account in found):
            break
        if look + 1 < _LOOKS:
            time.sleep(_LOOK_SECONDS)  # what moves is not counted everywhere yet
    queue.close()
    wrong = [account for account in found if not account.adds_up]
    if chosen.json:
        for account in found:
            show.json_line({**asdict(account), "missing": account.missing, "adds_up": account.adds_up})
        return 1 if wrong else 0
    names = ("received", "retried", "held", "stored", "already_stored", "dropped", "missing")
    head = [say("show.source"), *(say(f"show.{name}") for name in names), ""]
    cells = [
        (
            account.source,
            *map(show.number, (
                account.received, account.retried, account.buffered + account.held, account.stored,
                account.already_stored, account.lost + account.dropped, account.missing,
            )),
            say("command.sources.adds_up" if account.adds_up else "command.sources.wrong"),
        )
        for account in found
    ]  # fmt: skip
    if cells:
        show.table("", head, cells, right=range(1, len(names) + 1))
    text = "command.sources.all_add_up" if not wrong else "command.sources.some_do_not"
    show.line(say(text, sources=", ".join(show.plain(account.source) for account in wrong)))
    return 1 if wrong else 0


def _clocks(chosen: argparse.Namespace, engine: Engine) -> int:
    """Print how far each host's clock is off; 1 where one is an alert."""
    rows = [row for row in clocks.listed(engine) if chosen.source in (None, row["source"])]
    if chosen.json:
        for row in rows:
            show.json_line(row)
    elif rows:
        head = [say(f"show.{name}") for name in ("source", "host", "behind", "seen", "state")]
        cells = [
            (row["source"], row["host"], show.number(row["behind"]), show.local_time(row["seen"]), _clock_state(row))
            for row in rows
        ]
        show.table("", head, cells, right=(2,))
    else:
        show.line(say("command.sources.no_clocks"))
    return 1 if any(row["off"] for row in rows) else 0


def _clock_state(row: dict[str, Any]) -> str:
    if not row["steady"]:
        return say("command.sources.unsure")
    if not row["off"]:
        return say("command.sources.clock_good")
    return say("command.sources.clock_zone" if row["zone"] else "command.sources.clock_off")


def _by_minute(chosen: argparse.Namespace, engine: Engine, source: str) -> None:
    """Print each of a source's last minutes, after its sums before them."""
    before, each = by_minute(engine, source, chosen.minutes)
    if chosen.json:
        for minute in (before, *each):
            show.json_line({"source": source, "before": minute is before, **asdict(minute)})
        return
    names = ("received", "stored", "already_stored", "dropped", "held")
    head = [say("show.minute"), *(say(f"show.{name}") for name in names), say("show.reasons")]
    cells = [
        (
            say("command.sources.before") if minute is before else show.minute(minute.minute),
            *(show.number(getattr(minute, name)) for name in names),
            ", ".join(f"{reason}: {show.number(count)}" for reason, count in minute.reasons.items()),
        )
        for minute in (before, *each)
    ]  # fmt: skip
    show.table(source, head, cells, right=range(1, len(names) + 1))


def minutes(text: str) -> int:
    """Read how many minutes; the ledger keeps so many apart."""
    if not 1 <= int(text) <= KEEP_MINUTES:
        raise ValueError(text)
    return int(text)


def _waiting(settings: Settings, engine: Engine) -> int:
    queue = open_bus(settings.data_dir, settings.bus)
    waiting = queue.backlog(bus.EVENTS, positions.load(engine, "store", bus.EVENTS))[0]
    queue.close()
    return waiting

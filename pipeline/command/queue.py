"""`haidang queue ACTION`: what waits, and what becomes of alerts: taken, judged, given back, kept out of the queue."""

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Engine

from pipeline.access import note
from pipeline.command import queue_pages, show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.search import micros
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.queue import ACKNOWLEDGED, FALSE_POSITIVE, NEW, TRUE_POSITIVE, life, suppressions
from pipeline.queue.risk import POINTS
from pipeline.state import open_state

#: What the audit says of a look at it.
_ASKED = ("group", "rule", "level", "status", "entity", "owner", "start", "end", "limit")
#: The actions that give alerts a status.
_GIVEN = {"take": ACKNOWLEDGED, "true": TRUE_POSITIVE, "false": FALSE_POSITIVE, "reopen": NEW}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    adding = {name: add for name, (add, _) in (*queue_pages.ACTIONS.items(), *_COMMANDS.items())}
    declare(parser, "queue", adding)


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    settings = site_settings()
    if chosen.action in queue_pages.ACTIONS:
        engine = open_state(settings.data_dir, settings.state)
        if chosen.action in ("list", "show"):  # both show alerts; who looked is in the audit
            shown = {name: value for name, value in vars(chosen).items() if name in _ASKED and value}
            with engine.begin() as connection:
                note(connection, person(), "command", f"queue_{chosen.action}", **shown)
        with engine.connect().execution_options(read_only=True) as connection:
            queue_pages.ACTIONS[chosen.action][1](chosen, connection, settings)
        return 0
    return _COMMANDS[chosen.action][1](chosen, open_state(settings.data_dir, settings.state))


def _add_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alerts", nargs="*", metavar="ALERT", help=say("command.queue.alerts"))
    parser.add_argument("--note", default="", help=say("command.queue.note"))
    parser.add_argument("--all", action="store_true", help=say("command.queue.all"))
    parser.add_argument("--rule", default="", help=say("command.alerts.rule"))
    parser.add_argument("--level", default="", choices=[*POINTS], help=say("command.queue.level"))
    parser.add_argument("--status", default="open", help=say("command.queue.status"))
    parser.add_argument("--from", dest="start", help=say("command.from"))
    parser.add_argument("--to", dest="end", help=say("command.to"))


def _change(chosen: argparse.Namespace, engine: Engine) -> int:
    if bool(chosen.alerts) == chosen.all:
        raise HaidangError("queue.which")
    since, until = (micros(each) if each else None for each in (chosen.start, chosen.end))
    fits = life.Fits(chosen.alerts, chosen.level, chosen.rule, life.statuses_of(chosen.status), since, until)
    count = life.change(engine, fits, _GIVEN[chosen.action], chosen.note, person(), "command")
    show.line(say("command.queue.changed", count=show.number(count)))
    return 0


def _add_suppress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", help=say("command.queue.suppress_rule"))
    parser.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE", help=say("command.queue.where"))
    parser.add_argument("--reason", required=True, help=say("command.queue.reason"))
    parser.add_argument("--days", type=float, default=suppressions.DAYS, help=say("command.queue.days"))


def _suppress(chosen: argparse.Namespace, engine: Engine) -> int:
    where = {}
    for each in chosen.where:
        name, is_there, value = each.partition("=")
        if not is_there:
            raise HaidangError("suppressions.no_pair", value=each[:100])
        where[name] = value
    made = suppressions.add(engine, chosen.rule, where, chosen.reason, chosen.days, person(), "command")
    show.line(made)
    count, of = suppressions.would_have(engine, made)
    words = {"count": show.number(count), "of": show.number(of)}
    sys.stderr.write(say("command.queue.would_have" if count else "command.queue.would_have_none", **words) + "\n")
    return 0


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help=say("command.queue.id"))


def _unsuppress(chosen: argparse.Namespace, engine: Engine) -> int:
    suppressions.remove(engine, chosen.id, person(), "command")
    return 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _suppressions(chosen: argparse.Namespace, engine: Engine) -> int:
    found = suppressions.listed(engine)
    if chosen.json:
        for each in found:
            show.json_line(each)
        return 0
    heads = ("rule", "where", "until", "kept_out", "reason", "by", "id")
    rows = [
        (
            each["rule"], ", ".join(f"{name}={value}" for name, value in each["where"].items()), _until(each),
            show.number(each["count"]), each["reason"], each["who"], each["id"],
        )
        for each in found
    ]  # fmt: skip
    if rows:
        show.table("", [say(f"queue.head.{name}") for name in heads], rows, right=(3,))
    else:
        show.line(say("command.queue.no_suppressions"))
    return 0


def _until(row: Mapping[str, float]) -> str:
    if not row["holds"]:
        return say("queue.over")
    return datetime.fromtimestamp(row["expires"]).astimezone().strftime("%d/%m/%Y")


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Engine], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    **dict.fromkeys(_GIVEN, (_add_change, _change)),
    "suppress": (_add_suppress, _suppress),
    "unsuppress": (_add_id, _unsuppress),
    "suppressions": (_add_list, _suppressions),
}

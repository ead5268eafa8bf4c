"""What `haidang queue` shows: the groups that wait, one of them, the entities with the highest risk, the budget."""

import argparse
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.command import show
from pipeline.command.search import micros
from pipeline.messages import HaidangError, say
from pipeline.queue import budget, groups, life, risk
from pipeline.settings import Settings

_MOST_PARTS = 4


def add_list(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `list`."""
    parser.add_argument("--rule", default="", help=say("command.alerts.rule"))
    parser.add_argument("--level", default="", choices=[*risk.POINTS], help=say("command.queue.level"))
    parser.add_argument("--status", default="open", help=say("command.queue.status"))
    parser.add_argument("--entity", default="", help=say("command.queue.entity"))
    parser.add_argument("--owner", default="", help=say("command.queue.owner"))
    parser.add_argument("--sort", default="risk", choices=groups.SORTS, help=say("command.queue.sort"))
    parser.add_argument("--from", dest="start", help=say("command.from"))
    parser.add_argument("--to", dest="end", help=say("command.to"))
    parser.add_argument("--limit", type=int, default=50, help=say("command.queue.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def list_groups(chosen: argparse.Namespace, connection: Connection, _settings: Settings) -> None:
    """Print groups, the riskiest first."""
    since, until = (micros(each) if each else None for each in (chosen.start, chosen.end))
    found = groups.page(connection, groups.Asked(
        life.statuses_of(chosen.status), chosen.level, chosen.rule, chosen.entity, chosen.owner, since, until,
        chosen.sort, _count(chosen.limit),
    ))  # fmt: skip
    if chosen.json:
        for each in found["groups"]:
            show.json_line(each)
        return
    heads = ("risk", "level", "rule", "entity", "alerts", "last", "status", "id")
    if found["groups"]:
        show.table("", _heads(heads), [_row(each) for each in found["groups"]], right=(0, 4))
    words = {"shown": len(found["groups"]), "total": show.number(found["total"])}
    show.line(say("command.queue.found", **words, kept_out=show.number(found["kept_out"])))


def add_show(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `show`."""
    parser.add_argument("group", help=say("command.queue.group"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def show_group(chosen: argparse.Namespace, connection: Connection, _settings: Settings) -> None:
    """Print one group: what it is about, its history, its newest alerts, and what the risk is made of.

    Raises:
        HaidangError: there is none.
    """
    found = groups.one(connection, chosen.group)
    if found is None:
        raise HaidangError("queue.no_group", id=chosen.group[:100])
    if chosen.json:
        show.json_line(found)
        return
    facts = [
        (say("queue.head.rule"), show.rule_name(found)), (say("queue.head.entity"), found["entity"]),
        (say("queue.head.level"), show.level(found["level"])), (say("queue.head.status"), _status(found)),
        (say("queue.head.note"), found["note"]), (say("queue.head.alerts"), show.number(found["count"])),
        (say("queue.head.first"), show.local_time(found["first"])),
        (say("queue.head.last"), show.local_time(found["last"])),
        (say("queue.head.reopened"), show.number(found["reopened"])),
        (say("show.what_first"), show.first_step(found) or ""),
    ]  # fmt: skip
    show.table("", [say("show.figure"), say("show.value")], [(name, value) for name, value in facts if value])
    _print_risks([found["risk"]])
    history = [
        (show.local_time(each["time"]), say(f"queue.did.{each['action']}"), each["who"] or "haidang", each["from"],
         show.number(each["alerts"]), each["note"])
        for each in found["history"]
    ]  # fmt: skip
    heads = _heads(("time", "what", "by", "from", "alerts", "note"))
    show.table(say("command.queue.history"), heads, history, right=(4,))
    newest = [
        (
            show.local_time(each["@timestamp"]),
            show.level(each["rule.level"]),
            say(f"queue.status.{each['alert.status']}"),
            each["event.id"],
        )
        for each in found["alerts"]
    ]
    show.table(say("command.queue.newest"), _heads(("time", "level", "status", "id")), newest)


def add_entities(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `entities`."""
    parser.add_argument("--limit", type=int, default=20, help=say("command.queue.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def list_entities(chosen: argparse.Namespace, connection: Connection, _settings: Settings) -> None:
    """Print the entities with the highest risk of the last 24 hours."""
    found = risk.highest(connection, time.time_ns() // 1000, _count(chosen.limit))
    told = groups.shown_risks(connection, found)
    if chosen.json:
        for each in told:
            show.json_line(each)
    elif told:
        _print_risks(told)
    else:
        show.line(say("command.queue.no_risk"))


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `budget`."""
    parser.add_argument("--day", help=say("command.queue.day"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def show_budget(chosen: argparse.Namespace, connection: Connection, settings: Settings) -> None:
    """Print how many groups came into the queue on a day, and what went past the budget.

    Raises:
        HaidangError: no date.
    """
    try:
        day = date.fromisoformat(chosen.day) if chosen.day else datetime.now().astimezone().date()
    except ValueError as error:
        raise HaidangError("queue.no_day", value=chosen.day[:50]) from error
    found = budget.spent(connection, day, settings.queue)
    if chosen.json:
        show.json_line(found)
        return
    rows = [(each["rule.name"], show.number(each["came"]), show.number(each["past"])) for each in found["rules"]]
    if rows:
        show.table("", _heads(("rule", "came", "past")), rows, right=(1, 2))
    words = {name: show.number(found[name]) for name in ("budget", "came", "past", "analysts")}
    show.line(say("command.queue.spent", day=day.strftime("%d/%m/%Y"), **words))


def _count(limit: int) -> int:
    """Return a number of rows.

    Raises:
        HaidangError: it is none.
    """
    if limit < 0:
        raise HaidangError("queue.no_limit", value=limit)
    return limit


def _row(group: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        show.number(group["risk"]), show.level(group["level"]), show.rule_name(group), group["entity"],
        show.number(group["count"]), show.local_time(group["last"]), _status(group), group["id"],
    )  # fmt: skip


def _status(group: Mapping[str, Any]) -> str:
    status = say(f"queue.status.{group['status']}")
    return f"{status} ({group['owner']})" if group["owner"] else status


def _print_risks(found: list[dict[str, Any]]) -> None:
    rows = [
        (
            show.number(each["risk"]),
            each["entity"],
            ", ".join(say(f"queue.tactic.{tactic}") for tactic in each["tactics"]),
            "; ".join(_part(part) for part in each["parts"][:_MOST_PARTS]),
        )
        for each in found
    ]
    show.table(say("command.queue.risks"), _heads(("risk", "entity", "tactics", "made_of")), rows, right=(0,))


def _part(part: Mapping[str, Any]) -> str:
    return f"{show.rule_name(part)} ×{part['alerts']}: {part['points']}"


def _heads(names: tuple[str, ...]) -> list[str]:
    return [say(f"queue.head.{name}") for name in names]


#: What each action has: its arguments, and what it does.
ACTIONS: Mapping[
    str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace, Connection, Settings], None]]
] = {
    "list": (add_list, list_groups),
    "show": (add_show, show_group),
    "entities": (add_entities, list_entities),
    "budget": (add_budget, show_budget),
}

"""`haidang systems ACTION`: information systems with their levels, and the shares that the law asks for."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Engine

from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.delivery.routing import zone_of
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.state import open_state
from pipeline.store import open_reader
from pipeline.systems import register, shares

_LARGEST = 5_000_001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "systems", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    settings = site_settings()
    return _COMMANDS[chosen.action][1](chosen, settings, open_state(settings.data_dir, settings.state))


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _list(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    with engine.connect().execution_options(read_only=True) as connection:
        found = shares.standing(connection)["systems"]
    heads = ("code", "name", "level", "unit", "plan_approved", "monitored", "portal")
    if chosen.json:
        for each in found:
            show.json_line(each)
    elif found:
        names = [say(f"systems.head.{name}") for name in heads]
        rows = [{**each, "plan_approved": _day(each["plan_approved"])} for each in found]
        show.table("", names, [[_cell(each[name]) for name in heads] for each in rows], right=(2,))
    else:
        show.line(say("command.systems.none"))
    return 0


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return say("cases.yes" if value else "cases.no")
    if isinstance(value, float):
        return str(value).replace(".", say("show.decimal"))
    return str(value)


def _day(text: str) -> str:
    return f"{date.fromisoformat(text):%d/%m/%Y}" if text else ""


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.systems.file"))
    parser.add_argument("--only", action="store_true", help=say("command.systems.only"))
    parser.add_argument("--dry-run", action="store_true", help=say("command.systems.dry_run"))


def _import(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    try:
        with chosen.file.open("rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        raise HaidangError("systems.unreadable", file=chosen.file, fault=error.strerror or error) from error
    found, faults = register.read(data, datetime.now(zone_of(settings)).date())
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if faults and chosen.only:
        raise HaidangError("systems.only_whole", count=len(faults))
    if chosen.dry_run:
        show.line(say("command.systems.would_import", count=len(found), faults=len(faults)))
        return 1 if faults else 0
    gone = register.put(engine, found, person(), "command", chosen.only)
    reader = open_reader(settings.data_dir, settings.store)
    try:
        shares.listen(engine, reader, time.time())
    except HaidangError as error:  # the register is put in: it is looked again by itself
        sys.stderr.write(say("systems.not_heard", fault=error) + "\n")
    finally:
        reader.close()
    show.line(say("command.systems.imported", count=len(found), gone=gone, faults=len(faults)))
    return 1 if faults else 0


def _add_code(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", help=say("command.systems.code"))


def _remove(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    register.remove(engine, chosen.code, person(), "command")
    show.line(say("command.systems.removed", code=chosen.code))
    return 0


def _add_shares(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=0, help=say("command.systems.days"))
    parser.add_argument("--unit", default="", help=say("command.systems.unit"))
    _add_json(parser)


def _shares(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    with engine.connect().execution_options(read_only=True) as connection:
        if chosen.days > 0:
            since = (datetime.now(zone_of(settings)) - timedelta(days=min(chosen.days, 36_500))).date().isoformat()
            rows = shares.days(connection, chosen.unit, since)
            first = "day"
        else:
            standing = shares.standing(connection)
            rows = [{"unit": say("systems.all"), **standing["all"]}, *standing["units"]]
            rows = [row for row in rows if not chosen.unit or row["unit"] == chosen.unit]
            first = "unit"
    if chosen.json:
        for row in rows:
            show.json_line(row)
        return 0
    heads = (first, "systems", "approved", "monitored", "both", "both_percent", "portals", "portals_monitored",
             "portals_percent")  # fmt: skip
    names = [say(f"systems.head.{name}") for name in heads]
    told = [{**row, "day": _day(row["day"])} if first == "day" else row for row in rows]
    cells = [[_cell(row[name]) for name in heads] for row in told]
    show.table("", names, cells, right=tuple(range(1, len(heads))))
    return 0


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Settings, Engine], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "list": (_add_json, _list),
    "import": (_add_import, _import),
    "remove": (_add_code, _remove),
    "shares": (_add_shares, _shares),
}

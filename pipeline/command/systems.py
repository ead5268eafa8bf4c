"""`haidang systems ACTION`: information systems with their levels, and the shares that the law asks for."""

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Engine

from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.state import open_state
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
        show.table("", names, [[_cell(each[name]) for name in heads] for each in found], right=(2,))
    else:
        show.line(say("command.systems.none"))
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return say("cases.yes" if value else "cases.no")
    return str(value) or "-"


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.systems.file"))
    parser.add_argument("--only", action="store_true", help=say("command.systems.only"))
    parser.add_argument("--dry-run", action="store_true", help=say("command.systems.dry_run"))


def _import(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    try:
        with chosen.file.open("rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        raise HaidangError("systems.unreadable", file=chosen.file, fault=error.strerror or error) from error
    found, faults = register.read(data)
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if faults and chosen.only:
        raise HaidangError("systems.only_whole", count=len(faults))
    if chosen.dry_run:
        show.line(say("command.systems.would_import", count=len(found), faults=len(faults)))
        return 1 if faults else 0
    gone = register.put(engine, found, person(), "command", chosen.only)
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


def _shares(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    with engine.connect().execution_options(read_only=True) as connection:
        if chosen.days > 0:
            since = (datetime.now(UTC) - timedelta(days=min(chosen.days, 36_500))).date().isoformat()
            rows = shares.days(connection, chosen.unit, since)
            first = "day"
        else:
            told = shares.standing(connection)
            rows = [{"unit": say("systems.all"), **told["all"]}, *told["units"]]
            rows = [row for row in rows if not chosen.unit or row["unit"] == chosen.unit]
            first = "unit"
    if chosen.json:
        for row in rows:
            show.json_line(row)
        return 0
    heads = (first, "systems", "approved", "monitored", "both", "both_percent", "portals", "portals_monitored",
             "portals_percent")  # fmt: skip
    names = [say(f"systems.head.{name}") for name in heads]
    cells = [["-" if row[name] is None else str(row[name]) for name in heads] for row in rows]
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

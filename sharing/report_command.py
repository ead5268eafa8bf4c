"""`haidang report ACTION`: daily, weekly and half-yearly reports, made now or kept from before."""

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Engine

from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.delivery.routing import zone_of
from pipeline.event import parse_time
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.state import open_state
from sharing.documents.files import DOCX, ending_of, save
from sharing.documents.frame import moment
from sharing.reports import KINDS
from sharing.reports.book import listed, make, now_in, one
from sharing.reports.period import wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "report", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    settings = site_settings()
    return _COMMANDS[chosen.action][1](chosen, settings, open_state(settings.data_dir, settings.state))


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", default="", choices=KINDS, help=say("command.report.only_kind"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _list(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    found = listed(engine, chosen.kind, max(chosen.limit, 0))
    if chosen.json:
        for each in found:
            show.json_line(each)
    elif found:
        heads, zone = ("id", "kind", "days", "made", "who"), zone_of(settings)
        rows = [
            [
                each["id"],
                say(f"reports.kind_{each['kind']}"),
                _days(each, zone),
                moment(each["made"], zone),
                each["who"],
            ]
            for each in found
        ]
        show.table("", [say(f"reports.column_{name}") for name in heads], rows)
    else:
        show.line(say("command.report.none"))
    return 0


def _days(row: Mapping[str, Any], zone: tzinfo | None) -> str:
    """Return the days that a report is about."""
    first, end = (parse_time(row[name]).astimezone(zone) for name in ("since", "until"))
    days = (f"{first:%d/%m/%Y}", f"{end - timedelta(seconds=1):%d/%m/%Y}")
    return " – ".join(dict.fromkeys(days))


def _add_make(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, help=say("command.report.kind"))
    parser.add_argument("--from", dest="since", type=_day, help=say("command.report.from"))
    parser.add_argument("--to", dest="until", type=_day, help=say("command.report.to"))
    parser.add_argument("--output", type=Path, help=say("command.report.output"))


def _day(text: str) -> date:
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        with suppress(ValueError):
            return datetime.strptime(text, form).date()  # noqa: DTZ007  # a day alone has no zone
    raise HaidangError("reports.no_day", value=text[:50])


def _make(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    if chosen.output is not None:
        ending_of(chosen.output)
    period = wanted(chosen.kind, chosen.since, chosen.until, now_in(settings))
    identifier = make(engine, settings, period, person(), "command")
    show.line(say("command.report.made", id=identifier))
    if chosen.output is not None:
        _write(engine, identifier, chosen.output)
    return 0


def _add_get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help=say("command.report.id"))
    parser.add_argument("--output", type=Path, help=say("command.report.output"))


def _get(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    if chosen.output is None:
        show.json_line(one(engine, chosen.id).figures)
        sys.stdout.flush()
        return 0
    _write(engine, chosen.id, chosen.output)
    return 0


def _write(engine: Engine, identifier: str, file: Path) -> None:
    ending, row = ending_of(file), one(engine, identifier)
    save(file, bytes(row.docx if ending == DOCX else row.pdf))
    show.line(say("command.sharing.wrote", file=file))


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Settings, Engine], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "list": (_add_list, _list),
    "make": (_add_make, _make),
    "get": (_add_get, _get),
}

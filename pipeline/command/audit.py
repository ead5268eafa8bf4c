"""`haidang audit verify|list|export`: who did what; whether a row of it was changed, taken out or cut off."""

import argparse
from typing import Any

from sqlalchemy import ColumnElement

from pipeline import audit
from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.search import micros
from pipeline.command.site import site_settings
from pipeline.event import from_micros
from pipeline.logs import remembered
from pipeline.messages import say
from pipeline.state import open_state
from pipeline.state.tables import audit as rows_of

#: Rows that `list` shows where it is not told how many.
_LISTED = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["verify", "list", "export"], help=say("command.audit.action"))
    parser.add_argument("--head", action="append", default=[], metavar="HASH", help=say("command.audit.head"))
    parser.add_argument("--who", help=say("command.audit.who"))
    parser.add_argument("--what", metavar="ACTION", help=say("command.audit.what"))
    parser.add_argument("--from", dest="start", help=say("command.from"))
    parser.add_argument("--to", dest="end", help=say("command.to"))
    parser.add_argument("--limit", type=int, help=say("command.audit.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Look at the chain (1 where something is wrong), or print rows."""
    settings = site_settings()
    engine = open_state(settings.data_dir, settings.state)
    if chosen.action == "verify":
        logged = remembered(settings.data_dir, "audit_head", "digest")
        found = audit.verify(engine, [*chosen.head, *logged])
        _tell(found, len(logged), chosen.json)
        return 0 if found.whole else 1
    fits = _fits(chosen)
    if chosen.action == "list":
        rows = audit.listed(engine, fits, _LISTED if chosen.limit is None else max(chosen.limit, 0))
        if not chosen.json:
            head = [say(f"show.{name}") for name in ("number", "time", "who", "address", "action", "detail")]
            show.table("", head, [_cells(row) for row in rows])
            return 0
    else:
        limit = None if chosen.limit is None else max(chosen.limit, 0)
        with engine.begin() as connection:
            asked = {
                name: value
                for name in ("who", "what", "start", "end", "limit")
                if (value := getattr(chosen, name)) is not None
            }
            note(connection, person(), "command", "audit_export", **asked)
        rows = audit.all_rows(engine, fits, limit)  # type: ignore[assignment]  # one after the other, however many
    for row in rows:
        show.json_line(row)
    return 0


def _fits(chosen: argparse.Namespace) -> list[ColumnElement[bool]]:
    columns = rows_of.c
    fits: list[ColumnElement[bool]] = []
    if chosen.who:
        fits.append(columns.who == chosen.who)
    if chosen.what:
        fits.append(columns.action == chosen.what)
    if chosen.start:
        fits.append(columns.time >= micros(chosen.start) / 1_000_000)
    if chosen.end:
        fits.append(columns.time <= micros(chosen.end) / 1_000_000)
    return fits


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    filled = {name: value for name, value in row["detail"].items() if value not in (None, "", [], {})}
    detail = " ".join(f"{name}={_said(value)}" for name, value in filled.items())[:300]
    when = show.local_time(from_micros(round(row["time"] * 1_000_000)))
    return row["id"], when, row["who"], row["address"], row["action"], detail


def _said(value: Any) -> str:
    """Write a value of a detail as people write it."""
    if isinstance(value, list):
        return ",".join(map(_said, value))
    if isinstance(value, dict):
        return "(" + " ".join(f"{name}={_said(each)}" for name, each in value.items() if each is not None) + ")"
    return say("audit.yes" if value else "audit.no") if isinstance(value, bool) else str(value)


def _tell(found: audit.Verdict, logged: int, as_json: bool) -> None:
    if as_json:
        told = {"rows": found.rows, "head": found.head, "broken": found.broken, "cut": found.cut, "lost": found.lost}
        show.json_line({**told, "unguarded": found.unguarded, "gone": found.gone, "heads_in_log": logged})
        return
    if found.gone:
        show.line(say("audit.gone", table=", ".join(found.gone)))
    if found.broken is not None:
        show.line(say("audit.broken", row=found.broken, rows=found.rows))
    if found.cut:
        show.line(say("audit.cut", rows=found.rows))
    for digest in found.lost:
        show.line(say("audit.lost", head=digest))
    if found.unguarded:
        show.line(say("audit.unguarded", triggers=", ".join(found.unguarded)))
    if found.whole:
        show.line(say("audit.whole", rows=found.rows, head=found.head, logged=logged))

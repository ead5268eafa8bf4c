"""`haidang cases ACTION`: cases are listed, shown, opened, written to, closed, exported; a bundle is verified."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Engine

from pipeline.access import note
from pipeline.cases import LEVELS, PAP, TLP, bundle, entries, life, showing
from pipeline.cases.entries import By
from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.event import parse_time
from pipeline.messages import HaidangError, say
from pipeline.settings import Cases
from pipeline.state import open_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "cases", {**{name: add for name, (add, _) in _COMMANDS.items()}, "verify": _add_verify})


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.cases.bundle"))


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    if chosen.action == "verify":  # needs no site: who gets a bundle may have none
        try:
            manifest, digest = bundle.verify(chosen.file)
        except HaidangError as error:
            show.line(show.plain(str(error)))
            return 1
        words = {name: show.plain(str(manifest.get(name, "-"))) for name in ("case", "title", "made", "by")}
        show.line(say("command.cases.verified", **words, files=len(manifest["files"]), digest=digest))
        return 0
    settings = site_settings()
    _COMMANDS[chosen.action][1](chosen, open_state(settings.data_dir, settings.state), settings.cases)
    return 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=["open", "closed", "all"], default="open", help=say("command.cases.status"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _list(chosen: argparse.Namespace, engine: Engine, settings: Cases) -> None:
    status = "" if chosen.status == "all" else chosen.status
    with engine.connect().execution_options(read_only=True) as connection:
        found = showing.listed(connection, settings, status, "", 1000, 0)["cases"]
    if chosen.json:
        for each in found:
            show.json_line(each)
        return
    rows = [
        (str(each["id"]), show.level(each["level"]), each["title"], each["owner"], each["status"], _due(each))
        for each in found
    ]
    if rows:
        heads = ("number", "level", "title", "owner", "status", "due")
        show.table("", [say(f"cases.head.{name}") for name in heads], rows, right=(0,))
    else:
        show.line(say("command.cases.none"))


def _due(case: Mapping[str, object]) -> str:
    clocks = case["clocks"]
    assert isinstance(clocks, list)
    open_ones = [each for each in clocks if each["done"] is None]
    if case["status"] != "open" or not open_ones:
        return ""
    first = min(open_ones, key=lambda each: str(each["due"]))
    clock, late = first["clock"], f" ({say('cases.late')})" if first["state"] == "late" else ""
    return f"{say(f'cases.clock.{clock}')}: {show.local_time(first['due'])}{late}"


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _show(chosen: argparse.Namespace, engine: Engine, settings: Cases) -> None:
    with engine.connect().execution_options(read_only=True) as connection:
        case = showing.one(connection, chosen.case, settings)
    with engine.begin() as connection:
        note(connection, person(), "command", "case_read", case=chosen.case)
    if chosen.json:
        show.json_line(case)
        return
    facts = [
        ("title", case["title"]), ("level", show.level(case["level"])), ("status", case["status"]),
        ("owner", case["owner"]), ("tlp", f"TLP:{case['tlp'].upper()}, PAP:{case['pap'].upper()}"),
        ("detected", show.local_time(case["detected"])), ("due", _due(case)),
        ("verdict", case["verdict"]), ("summary", case["summary"]),
    ]  # fmt: skip
    named = [(say(f"cases.head.{name}"), value) for name, value in facts if value]
    show.table("", [say("show.figure"), say("show.value")], named)
    timeline = [
        (show.local_time(each["at"]), str(each["number"]), say(f"cases.kind.{each['kind']}"), each["who"],
         each["what"] + (f" ({say('cases.removed')})" if each["removed"] else ""))
        for each in case["timeline"]
    ]  # fmt: skip
    heads = [say(f"cases.head.{name}") for name in ("time", "number", "kind", "by", "what")]
    show.table(say("command.cases.timeline"), heads, timeline, right=(1,))


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alerts", nargs="*", metavar="ALERT", help=say("command.queue.alerts"))
    parser.add_argument("--title", default="", help=say("command.cases.title"))
    parser.add_argument("--level", default="", choices=LEVELS, help=say("command.cases.level"))
    parser.add_argument("--not-reportable", action="store_true", help=say("command.cases.not_reportable"))


def _open(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    wanted = life.Wanted(chosen.title, chosen.level, reportable=not chosen.not_reportable, alerts=chosen.alerts)
    show.line(say("command.cases.opened", case=life.open_case(engine, wanted, _by())))


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("alerts", nargs="*", metavar="ALERT", help=say("command.queue.alerts"))
    parser.add_argument("--note", help=say("command.cases.note"))
    parser.add_argument("--task", help=say("command.cases.task"))
    parser.add_argument("--file", type=Path, help=say("command.cases.file"))
    parser.add_argument("--observable", metavar="KIND=VALUE", help=say("command.cases.observable"))


def _add(chosen: argparse.Namespace, engine: Engine, settings: Cases) -> None:
    if not (chosen.alerts or chosen.note or chosen.task or chosen.file or chosen.observable):
        raise HaidangError("cases.nothing")
    if chosen.observable:
        kind, _, value = chosen.observable.partition("=")
        entries.add_observable(engine, chosen.case, kind, value, "amber", "", _by())
    if chosen.alerts:
        life.add_alerts(engine, chosen.case, chosen.alerts, _by())
    if chosen.note:
        entries.add_note(engine, chosen.case, chosen.note, _by())
    if chosen.task:
        entries.add_task(engine, chosen.case, chosen.task, "", _by())
    if chosen.file:
        limit = settings.file_mb * 1_000_000
        try:
            with chosen.file.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise HaidangError("cases.no_file", file=chosen.file, fault=error.strerror or error) from error
        entries.add_file(engine, chosen.case, chosen.file.name, data, limit, _by())


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("--title", help=say("command.cases.title"))
    parser.add_argument("--level", choices=LEVELS, help=say("command.cases.level"))
    parser.add_argument("--tlp", choices=TLP, help=say("command.cases.tlp"))
    parser.add_argument("--pap", choices=PAP, help=say("command.cases.pap"))
    parser.add_argument("--owner", help=say("command.cases.owner"))
    parser.add_argument("--reportable", choices=["yes", "no"], help=say("command.cases.reportable"))


def _set(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    changes = {name: getattr(chosen, name) for name in ("title", "level", "tlp", "pap", "owner")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if chosen.reportable:
        changes["reportable"] = chosen.reportable == "yes"
    life.change(engine, chosen.case, changes, _by())


def _add_entry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("entry", type=int, help=say("command.cases.entry"))


def _add_done(parser: argparse.ArgumentParser) -> None:
    _add_entry(parser)
    parser.add_argument("--not-yet", action="store_true", help=say("command.cases.not_yet"))


def _done(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    entries.set_task(engine, chosen.case, chosen.entry, not chosen.not_yet, None, _by())


def _add_remove(parser: argparse.ArgumentParser) -> None:
    _add_entry(parser)
    parser.add_argument("--reason", required=True, help=say("command.queue.reason"))


def _remove(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    entries.remove(engine, chosen.case, chosen.entry, chosen.reason, _by())


def _add_get(parser: argparse.ArgumentParser) -> None:
    _add_entry(parser)
    parser.add_argument("--output", type=Path, required=True, help=say("command.cases.output"))


def _get(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    with engine.connect().execution_options(read_only=True) as connection:
        body, data = entries.file_of(connection, chosen.case, chosen.entry)
    try:
        with chosen.output.open("xb") as target:
            target.write(data)
    except OSError as error:
        raise HaidangError("cases.no_file", file=chosen.output, fault=error.strerror or error) from error
    with engine.begin() as connection:
        note(connection, _by().who, _by().address, "case_file_read", case=chosen.case, sha256=body["sha256"])


def _add_mark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("what", choices=["notified", "reported"], help=say("command.cases.what"))
    parser.add_argument("when", help=say("command.cases.when"))


def _mark(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    try:
        moment = None if chosen.when == "-" else parse_time(chosen.when).timestamp()
    except (ValueError, OverflowError) as error:
        raise HaidangError("cases.no_time", value=chosen.when[:50]) from error
    life.change(engine, chosen.case, {chosen.what: moment}, _by())


def _add_close(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("verdict", choices=life.VERDICTS, help=say("command.cases.verdict"))
    parser.add_argument("--summary", required=True, help=say("command.cases.summary"))


def _close(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    life.close(engine, chosen.case, chosen.verdict, chosen.summary, _by())


def _add_reopen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("--reason", required=True, help=say("command.queue.reason"))


def _reopen(chosen: argparse.Namespace, engine: Engine, _settings: Cases) -> None:
    life.reopen(engine, chosen.case, chosen.reason, _by())


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.cases.number"))
    parser.add_argument("--output", type=Path, required=True, help=say("command.cases.output"))


def _export(chosen: argparse.Namespace, engine: Engine, settings: Cases) -> None:
    try:
        with chosen.output.open("xb") as target:
            digest = bundle.export(engine, chosen.case, settings, target, _by())
    except OSError as error:
        raise HaidangError("cases.no_file", file=chosen.output, fault=error.strerror or error) from error
    except BaseException:
        chosen.output.unlink(missing_ok=True)
        raise
    show.line(say("command.cases.exported", file=chosen.output, digest=digest))


def _by() -> By:
    return By(person(), "command")


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Engine, Cases], None]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "list": (_add_list, _list),
    "show": (_add_show, _show),
    "open": (_add_open, _open),
    "add": (_add_add, _add),
    "set": (_add_set, _set),
    "done": (_add_done, _done),
    "remove": (_add_remove, _remove),
    "get": (_add_get, _get),
    "mark": (_add_mark, _mark),
    "close": (_add_close, _close),
    "reopen": (_add_reopen, _reopen),
    "export": (_add_export, _export),
}

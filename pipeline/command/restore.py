"""`haidang restore`: a backup enters, a site in an empty data directory leaves, ready to be started."""

import argparse
import signal
import sys
from pathlib import Path

from pipeline.access import note
from pipeline.backup import Header
from pipeline.backup.archive import Contents
from pipeline.backup.restore import Restored, check, restore
from pipeline.command import show
from pipeline.command.person import person
from pipeline.messages import say
from pipeline.settings import default_data_dir, load_settings
from pipeline.state import open_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help=say("command.restore.file"))
    parser.add_argument("--check", action="store_true", help=say("command.restore.check"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Restore, or only check the file."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what lies half written goes
    data_dir = default_data_dir()
    if chosen.check:
        _print_contents(chosen, check(chosen.file, data_dir))
    else:
        restored = restore(chosen.file, data_dir)
        _note(chosen.file, restored.header)
        _print_restored(chosen, restored, data_dir)
    return 0


def _note(file: Path, header: Header) -> None:
    """Write into the audit that was brought back that it was, and from when it is."""
    settings = load_settings()
    engine = open_state(settings.data_dir, settings.state)
    with engine.begin() as connection:
        told = {"file": str(file), "of": header.instance, "time": header.time}
        note(connection, person(), "command", "restore", **told)
    engine.dispose()


def _print_contents(chosen: argparse.Namespace, contents: Contents) -> None:
    header = contents.header
    if chosen.json:
        show.json_line({**header.model_dump(mode="json"), "parts": len(contents.parts), "bytes": contents.size})
        return
    events = say("command.restore.with_events" if header.events else "command.restore.without_events")
    show.line(
        say(
            "command.restore.good", file=chosen.file, instance=header.instance, time=header.time,
            program=header.program, revision=header.revision, events=events, size=show.size(contents.size),
        )
    )  # fmt: skip


def _print_restored(chosen: argparse.Namespace, restored: Restored, data_dir: Path) -> None:
    header = restored.header
    if chosen.json:
        show.json_line(
            {
                "data_dir": str(data_dir), "time": header.time, "instance": header.instance, "events": header.events,
                "dropped": restored.dropped, "variables": header.variables,
                "moved": {old: str(new) for old, new in restored.moved},
                "to_change": [old for old, _ in restored.unchanged],
            }
        )  # fmt: skip
        return
    show.line(say("command.restore.done", data_dir=data_dir, time=header.time, instance=header.instance))
    if restored.dropped:
        show.line(say("command.restore.dropped", events=show.number(restored.dropped)))
    for old, new in restored.moved:
        show.line(say("command.restore.moved", old=old, new=new))
    for old, new in restored.unchanged:
        show.line(say("command.restore.to_change", old=old, new=new))
    if header.variables:
        show.line(say("command.restore.variables", names=", ".join(header.variables)))
    show.line(say("command.restore.next"))

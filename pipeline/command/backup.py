"""`haidang backup`: a site enters, running or not, one file leaves from which it can be restored elsewhere."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from pipeline.access import note
from pipeline.backup.make import back_up
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.messages import say
from pipeline.state import open_state

#: The pipeline goes first: see nice(1).
_NICE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=say("command.backup.file"))
    parser.add_argument("--events", action="store_true", help=say("command.backup.events"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Make a backup."""
    settings = site_settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what lies half written goes
    os.nice(_NICE)
    started = time.monotonic()
    engine = open_state(settings.data_dir, settings.state)
    made = back_up(settings, engine, chosen.file, chosen.events)
    with engine.begin() as connection:
        note(connection, person(), "command", "backup", file=str(made.file), events=chosen.events)
    engine.dispose()
    seconds = round(time.monotonic() - started, 2)
    if chosen.json:
        show.json_line(
            {
                "file": str(made.file), "bytes": made.size, "parts": made.parts, "events": chosen.events,
                "revision": made.header.revision, "variables": made.header.variables, "seconds": seconds,
            }
        )  # fmt: skip
        return 0
    show.line(say("command.backup.done", file=made.file, size=show.size(made.size), seconds=seconds))
    if made.header.variables:
        show.line(say("command.backup.variables", names=", ".join(made.header.variables)))
    if not chosen.events and settings.store.kind == "tantivy":
        show.line(say("command.backup.without_events"))
    return 0

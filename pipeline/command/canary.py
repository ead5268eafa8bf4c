"""`haidang canary`: for each machine and kind of input, how its canaries fare leaves."""

import argparse

from pipeline.canaries import standing
from pipeline.command import show
from pipeline.command.site import site_settings
from pipeline.messages import say
from pipeline.state import open_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Print it; 1 where one is late."""
    settings = site_settings()
    rows = standing(open_state(settings.data_dir, settings.state))
    late = any(row["state"] == "late" for row in rows)
    if chosen.json:
        for row in rows:
            show.json_line(row)
    elif rows:
        head = [
            say(f"show.{name}")
            for name in ("machine", "source", "kind", "sent", "last_good", "seconds", "failures", "state")
        ]
        cells = [
            (
                row["machine"], row["source"], row["kind"], show.local_time(row["sent"]),
                show.local_time(row["last_good"]) if row["last_good"] else "-",
                "-" if row["seconds"] is None else show.number(row["seconds"]), show.number(row["failures"]),
                say(f"canaries.state.{row['state']}"),
            )
            for row in rows
        ]  # fmt: skip
        show.table("", head, cells, right=(5, 6))
    else:
        show.line(say("command.canary.none" if settings.canary.minutes else "command.canary.off"))
    return 1 if late else 0

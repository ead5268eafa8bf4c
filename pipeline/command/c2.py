"""`haidang c2`: which devices, of which kind, have spoken with C2 servers; counted by kind, family, unit or time."""

import argparse
import time
from collections.abc import Mapping, Sequence

from pipeline.command import show
from pipeline.command.search import micros
from pipeline.command.site import site_settings
from pipeline.devices import KINDS, counting
from pipeline.messages import HaidangError, language, say
from pipeline.state import open_state

#: The kinds that the circular names have a column of their own.
_NAMED = KINDS[:6]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--from", dest="start", default="now-30d", help=say("command.from"))
    parser.add_argument("--to", dest="end", default="now", help=say("command.to"))
    parser.add_argument("--by", choices=counting.GROUPS, default="kind", help=say("command.c2.by"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Print the counts; 0 also where there were none."""
    since, until = micros(chosen.start), micros(chosen.end)
    if since >= until:
        raise HaidangError("command.c2.backwards", start=chosen.start, end=chosen.end)
    settings = site_settings()
    engine = open_state(settings.data_dir, settings.state)
    found = counting.contacts(engine, settings, since, until)
    groups = counting.grouped(found, chosen.by)
    if chosen.json:
        for group in groups:
            show.json_line(group.plain())
        return 0
    if groups:
        head = [say(f"c2.by.{chosen.by}"), say("c2.devices"), *(say(f"devices.kind.{kind}") for kind in _NAMED)]
        titles = counting.titles_vi(found) if language() == "vi" else {}
        rows = [_row(group, chosen.by, titles) for group in groups]
        show.table("", [*head, say("c2.contacts"), say("show.last"), say("c2.families")], rows, range(1, len(head) + 1))
    total = counting.in_all(found)
    days = max(1, round((min(until, time.time_ns() // 1000) - since) / 86_400_000_000))
    counts = {"days": days, "devices": len(total.devices), "contacts": show.number(total.contacts)}
    show.line(say("command.c2.total" if groups else "command.c2.none", **counts))
    return 0


def _row(group: counting.Group, by: str, titles: Mapping[str, str]) -> Sequence[str]:
    told = group.plain()
    name = titles.get(group.name, group.name) if by == "family" else group.name
    if by == "kind":
        name = say(f"devices.kind.{name}")
    elif by == "device":
        device = group.devices[name]
        name = " ".join(filter(None, (device.name, device.address or device.mac))) or device.id
    kinds = [show.number(told["kinds"].get(kind, 0)) for kind in _NAMED]
    shown = [titles.get(each, each) for each in told["families"][:5]]
    families = ", ".join(shown) + (" …" if len(told["families"]) > 5 else "")
    devices, contacts = show.number(told["devices"]), show.number(told["contacts"])
    return (name, devices, *kinds, contacts, show.local_time(told["last"]), families)

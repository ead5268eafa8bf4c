"""`haidang devices …`: the inventory is shown, corrected, filled from a list; files are looked through for devices."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from collectors.envelope import Origin
from collectors.reading import Unreadable, read_file
from detectors.behaviour import Seen
from detectors.behaviours import kind_of
from detectors.devices.inventory import Inventory
from detectors.devices.sightings import sightings
from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.devices import changes
from pipeline.devices.book import Book, Known, Units, open_book
from pipeline.devices.book import kind_of as kind_named
from pipeline.devices.lists import read_list
from pipeline.event import decode, from_micros, to_micros
from pipeline.messages import HaidangError, say
from pipeline.networks import Site
from pipeline.settings import Behaviours, Limits, Settings
from pipeline.state import open_state

_SHOWN = 100
#: Devices of files that are told apart.
_MOST = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "devices", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    return _COMMANDS[chosen.action][1](chosen)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="*", help=say("command.devices.text"))
    parser.add_argument("--kind", type=kind_named, default="", help=say("command.devices.kind"))
    parser.add_argument("--unit", default="", help=say("command.devices.unit"))
    parser.add_argument("--limit", type=int, default=_SHOWN, help=say("command.devices.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _list(chosen: argparse.Namespace) -> int:
    book = _book(site_settings())
    found = book.listed(" ".join(chosen.text), chosen.kind, chosen.unit)
    if chosen.json:
        for each in found:
            show.json_line(each.plain())
        return 0
    _table(found[: max(0, chosen.limit)])
    show.line(say("command.devices.found", count=len(found), known=len(book.known)))
    return 0


def _add_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", help=say("command.devices.device"))


def _add_show(parser: argparse.ArgumentParser) -> None:
    _add_one(parser)
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _show(chosen: argparse.Namespace) -> int:
    known = _known(_book(site_settings()), chosen.device)
    if chosen.json:
        show.json_line(known.plain())
        return 0
    plain = {
        "id": known.id, "kind": _kind(known), "names": ", ".join(known.names), "label": known.name, "os": known.os,
        "maker": known.maker, "mac": known.mac, "address": known.address, "unit": known.unit, "owner": known.owner,
        "note": known.note, "first_seen": show.local_time(known.first_seen or ""),
        "last_seen": show.local_time(known.last_seen or ""),
    }  # fmt: skip
    rows = [(say(f"devices.field.{name}"), value) for name, value in plain.items() if value]
    show.table("", ["", ""], rows)
    if known.evidence:
        head = [say("devices.evidence"), say("devices.seen"), say("devices.speaks_for")]
        show.table(
            "", head, [(say(f"devices.hint.{hint}"), text, _weights(kinds)) for hint, text, kinds in known.evidence]
        )
    return 0


def _weights(kinds: Mapping[str, float]) -> str:
    return ", ".join(f"{say(f'devices.kind.{kind}')} {round(weight * 100)} %" for kind, weight in kinds.items())


def _add_set(parser: argparse.ArgumentParser) -> None:
    _add_one(parser)
    for name in changes.SAID:
        parser.add_argument(f"--{name}", default=None, help=say(f"command.devices.set_{name}"))


def _set(chosen: argparse.Namespace) -> int:
    said = {name: getattr(chosen, name) for name in changes.SAID if getattr(chosen, name) is not None}
    settings = site_settings(must_be_there=False)
    engine = open_state(settings.data_dir, settings.state)
    known = changes.change(engine, Units(settings.devices.units), chosen.device, said, person(), "command")
    _table([known])
    return 0


def _unset(chosen: argparse.Namespace) -> int:
    settings = site_settings()
    engine = open_state(settings.data_dir, settings.state)
    key = changes.take_back(engine, Units(settings.devices.units), chosen.device, person(), "command")
    show.line(say("command.devices.unset_done", device=key))
    return 0


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.devices.import_file"))


def _import(chosen: argparse.Namespace) -> int:
    try:
        said, wrong = read_list(chosen.file.read_bytes())
    except OSError as error:
        raise HaidangError("devices.list_unreadable", file=chosen.file, fault=error.strerror or error) from error
    settings = site_settings(must_be_there=False)
    engine = open_state(settings.data_dir, settings.state)
    count = changes.take_list(engine, said, person(), "command", str(chosen.file))
    for text in wrong[:20]:
        sys.stderr.write(show.plain(text) + "\n")
    show.line(say("command.devices.imported", count=count, wrong=len(wrong)))
    return 1 if wrong else 0


def _add_scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, help=say("command.devices.scan_files"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _scan(chosen: argparse.Namespace) -> int:
    """Print the devices that are seen in captures and logs; no site is needed, nothing is kept."""
    inventory = Inventory(_MOST)
    site = Site(Behaviours().local_networks)
    status = 0
    for path in chosen.files:
        try:
            _look_through(path, inventory, site)
        except Unreadable as error:  # what came before the fault is taken in
            sys.stderr.write(show.plain(say("devices.list_unreadable", file=path, fault=error)) + "\n")
            status = 1
        except OSError as error:
            raise HaidangError("devices.list_unreadable", file=path, fault=error.strerror or error) from error
    found = [_of_row(device.row()) for device in inventory.devices()]
    if chosen.json:
        for each in found:
            show.json_line(each.plain())
    else:
        _table(found)
        show.line(say("command.devices.found", count=len(found), known=len(found)))
    return status


def _look_through(path: Path, inventory: Inventory, site: Site) -> None:
    origin = Origin("", "", "")
    for lines, _ in read_file(path, origin, Limits().decode_bytes):
        for line in lines:
            event = decode(line)
            time = to_micros(event["@timestamp"])
            for sighting in sightings(Seen(event, "", kind_of(event), time), site):
                inventory.take(sighting, time)


def _of_row(row: Mapping[str, object]) -> Known:
    known = dict(row)
    for name in ("merged_into",):
        del known[name]
    known.update(
        name=row["names"][0] if row["names"] else "", kind_seen=row["kind"], owner="", note="",  # type: ignore[index]
        first_seen=from_micros(row["first_seen"]), last_seen=from_micros(row["last_seen"]),  # type: ignore[arg-type]
    )  # fmt: skip
    return Known(**known)  # type: ignore[arg-type]


def _book(settings: Settings) -> Book:
    return open_book(open_state(settings.data_dir, settings.state), settings.devices.units)


def _known(book: Book, text: str) -> Known:
    known = book.find(text)
    if known is None:
        raise HaidangError("devices.no_device", device=text[:200])
    return known


def _table(found: Iterable[Known]) -> None:
    head = [
        say("devices.field.label"), say("devices.field.kind"), say("devices.field.address"), say("devices.field.mac"),
        say("devices.field.os"), say("devices.field.maker"), say("devices.field.unit"), say("devices.field.last_seen"),
    ]  # fmt: skip
    rows = [
        (
            each.name, _kind(each), each.address, each.mac, each.os, each.maker, each.unit,
            show.local_time(each.last_seen) if each.last_seen else "",
        )
        for each in found
    ]  # fmt: skip
    if rows:
        show.table("", head, rows)


def _kind(known: Known) -> str:
    certain = say("devices.by_hand") if "kind" in known.by_hand else f"{round(known.confidence * 100)} %"
    return (
        f"{say(f'devices.kind.{known.kind}')} ({certain})" if known.kind != "unknown" else say("devices.kind.unknown")
    )


_COMMANDS: Mapping[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "list": (_add_list, _list),
    "show": (_add_show, _show),
    "set": (_add_set, _set),
    "unset": (_add_one, _unset),
    "import": (_add_import, _import),
    "scan": (_add_scan, _scan),
}

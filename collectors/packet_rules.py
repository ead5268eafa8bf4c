"""`haidang packet-rules check FILE…` and `test RULES CAPTURE…`: rules enter, what is refused or fires leaves."""

import argparse
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson

from collectors.decoders import Hints
from collectors.envelope import Origin
from collectors.network.rules.ruleset import Loading, RuleSet, load
from collectors.reading import Unreadable, files_in, read_file
from pipeline.command import show
from pipeline.messages import HaidangError, say
from pipeline.settings import Limits
from pipeline.shipped import SHIPPED

#: Refused rules and hits that a table shows; of the others it is told how many.
_MAX_ROWS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["check", "test"], help=say("command.packet_rules.action"))
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=say("command.packet_rules.files"))
    parser.add_argument(
        "--variable", action="append", default=[], metavar="NAME=VALUE", help=say("command.packet_rules.variable")
    )
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Check or test; exit status 1 where a rule is refused or a file cannot be read."""
    variables = {}
    for given in chosen.variable:
        name, equals, value = given.partition("=")
        if not equals:
            raise HaidangError("command.packet_rules.no_variable", value=given)
        variables[name] = value
    for path in chosen.files:
        if path != SHIPPED and not path.exists():
            raise HaidangError("command.import.no_file", path=path)
    if chosen.action == "check":
        return _check(load(chosen.files, variables), chosen.json)
    if len(chosen.files) < 2:
        raise HaidangError("command.packet_rules.no_capture")
    return _test(load(chosen.files[:1], variables), chosen.files[1:], chosen.json)


def _check(loading: Loading, as_json: bool) -> int:
    if as_json:
        for item in loading.refused:
            show.json_line(item._asdict())
        show.json_line({"loaded": len(loading.rules), "refused": len(loading.refused), "reasons": loading.reasons()})
    else:
        _print_refused(loading)
    return 1 if loading.refused else 0


def _print_refused(loading: Loading) -> None:
    count, refused = show.number(len(loading.rules)), show.number(len(loading.refused))
    if loading.refused:
        reasons = [(show.number(number), reason) for reason, number in loading.reasons().most_common()]
        show.table(say("command.packet_rules.reasons"), [say("show.count"), say("show.reason")], reasons, right=[0])
        rows = [(f"{item.file}:{item.line}", item.sid, item.reason) for item in loading.refused[:_MAX_ROWS]]
        show.table(say("command.packet_rules.refused"), [say("show.file"), "sid", say("show.reason")], rows)
        if len(loading.refused) > _MAX_ROWS:
            show.line(say("show.more", count=len(loading.refused) - _MAX_ROWS))
    show.line(say("command.packet_rules.loaded", loaded=count, refused=refused))


def _test(loading: Loading, captures: list[Path], as_json: bool) -> int:
    if not as_json and loading.refused:
        _print_refused(loading)
    rules = RuleSet(loading)
    origin = Origin("packet-rules", "", "", Hints(timezone=UTC))
    found: list[dict[str, Any]] = []
    faults = len(loading.refused)
    for path in (each for given in captures for each in (files_in(given) if given.is_dir() else [given])):
        try:
            for lines, _ in read_file(path, origin, Limits().decode_bytes, rules):
                found += [orjson.loads(line) for line in lines if b'"network.alert"' in line]
        except Unreadable as error:
            faults += 1
            show.line(f"{path}: {error}")
    if as_json:
        for event in found:
            show.json_line(event)
        return 1 if faults else 0
    rows = [
        (
            show.local_time(event["@timestamp"]), event["rule.id"], event["rule.name"],
            f"{event['source.ip']} → {event['destination.ip']}",
            ", ".join(f"{each['buffer']}@{each['offset']} {each['content']}" for each in event["packet_rule.matches"]),
        )
        for event in found[:_MAX_ROWS]
    ]  # fmt: skip
    head = [say("show.time"), "sid", say("show.rule"), say("command.packet_rules.sides"), say("show.matches")]
    show.table("", head, rows)
    if len(found) > _MAX_ROWS:
        show.line(say("show.more", count=len(found) - _MAX_ROWS))
    fired = Counter(event["rule.id"] for event in found)
    show.line(say("command.packet_rules.tested", hits=show.number(len(found)), rules=show.number(len(fired))))
    return 1 if faults else 0

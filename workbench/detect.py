"""`haidang detect FILE…`: files and a folder of rules enter, findings are printed; no service, no data directory."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from collectors.decoders import Hints
from collectors.envelope import Origin, encoding, zone
from collectors.network.rules.ruleset import RuleSet as PacketRules
from collectors.network.rules.ruleset import load
from collectors.reading import files_in
from detectors.indicators.adding import reason_words
from detectors.indicators.allow import of_settings
from detectors.indicators.fetching import read_file
from detectors.indicators.formats import read
from detectors.indicators.index import Index, build
from detectors.indicators.listed import Defaults, Refused, count
from detectors.indicators.matcher import Matcher
from detectors.sigma import RuleSet
from pipeline.command import show
from pipeline.messages import HaidangError, said, say
from pipeline.settings import Indicators
from pipeline.shipped import shipped_rules
from workbench.stream import DESCRIPTION, Detection, File, Finding, as_json

#: Findings that a table shows; of the others it is told how many.
_MAX_ROWS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=say("command.detect.files"))
    parser.add_argument("--rules", type=Path, action="append", help=say("command.detect.rules"))
    parser.add_argument("--behaviours", action="store_true", help=say("command.detect.behaviours"))
    parser.add_argument("--packet-rules", type=Path, nargs="+", help=say("command.import.packet_rules"))
    parser.add_argument("--indicators", type=Path, action="append", default=[], help=say("command.detect.indicators"))
    parser.add_argument("--format", choices=["ndjson", "table"], default="ndjson", help=say("command.detect.format"))
    parser.add_argument("--dataset", help=say("command.import.dataset"))
    parser.add_argument("--timezone", default="local", help=say("command.import.timezone"))
    parser.add_argument("--encoding", default="auto", help=say("command.import.encoding"))


def run(chosen: argparse.Namespace) -> int:
    """Look at the files; exit status 1 when a file, a record of it or a rule could not be read."""
    folders = chosen.rules or [shipped_rules()]
    for folder in folders:
        if not folder.exists():
            raise HaidangError("command.detect.no_rules", folder=folder)
    hints = Hints(dataset=chosen.dataset, timezone=zone(chosen.timezone))
    origin = Origin("detect", "", "", hints, encoding(chosen.encoding))
    rules = RuleSet.load(*folders)
    for refused in rules.refused:
        _complain(": ".join(filter(None, (refused.place, refused.rule, said(refused.reason)))))
    if not rules.rules:
        _complain(say("command.detect.none_loaded", folders=", ".join(map(str, folders))))
        return 1
    packet_rules = PacketRules(load(chosen.packet_rules)) if chosen.packet_rules else None
    not_loaded = packet_rules.loading.refused if packet_rules else []
    for item in not_loaded:
        _complain(item.text)
    with tempfile.TemporaryDirectory(prefix="haidang-") as scratch:
        matcher = _matcher(chosen.indicators, Path(scratch))
        detection = Detection(rules, origin, _complain, chosen.behaviours, packet_rules, matcher)
        found = detection.findings(_files(chosen.files, Path(scratch)))
        if chosen.format == "table":
            _print_table(found, detection)
        else:
            for finding in found:
                show.json_line(as_json(finding))
    return 1 if rules.refused or not_loaded or detection.faults else 0


def _matcher(paths: Iterable[Path], scratch: Path) -> Matcher | None:
    """Return what looks events up in the indicators of these files, or None where there are none."""
    refused: dict[Path, Refused] = {path: Refused() for path in paths}
    if not refused:
        return None
    found = (
        each.line()
        for path in refused
        for each in count(read(read_file(path), "auto", Defaults(path.name, now=time.time()), path.name), refused[path])
    )
    build(found, scratch / "indicators")
    for path, each in refused.items():
        if each.shown:
            _, text, reason = each.shown[0]
            number = each.counts.total()
            _complain(say("detect.indicators_refused", file=path, count=number, text=text, reason=reason_words(reason)))
    return Matcher([Index(scratch / "indicators")], of_settings(Indicators()))


def _files(given: Iterable[str], scratch: Path) -> Iterator[File]:
    """Yield the files, those of folders in the order of their names; `-` is what comes on standard input."""
    for name in given:
        path = Path(name)
        if name == "-":
            path = scratch / "stdin"
            with path.open("wb") as file:  # an `.evtx` is read at any place, so all of it is needed first
                shutil.copyfileobj(sys.stdin.buffer, file)
            yield File(name, path)
        elif name and path.is_dir():  # without a name it would be this folder
            inside = files_in(path)
            if not inside:
                _complain(say("detect.no_file", folder=name))
            yield from (File(os.path.join(name, item.relative_to(path)), item) for item in inside)  # noqa: PTH118
        else:
            yield File(name or "''", path if name else scratch / "nothing")


def _print_table(found: Iterator[Finding], detection: Detection) -> None:
    rows = [
        (
            show.local_time(finding.time), show.level(finding.rule.level), show.rule_name(_named(finding)),
            f"{finding.file}:{finding.sequence}", _why(finding),
        )
        for finding in islice(found, _MAX_ROWS)
    ]  # fmt: skip
    more = sum(1 for _ in found)
    if rows:
        head = [say(f"show.{name}") for name in ("time", "level", "rule", "file", "matches")]
        show.table(say("command.detect.found"), head, rows)
    if more:
        show.line(say("show.more", count=show.number(more)))
    counts = (detection.events, detection.unreadable, len(rows) + more)
    read, unreadable, findings = map(show.number, counts)
    show.line(say("command.detect.done", read=read, unreadable=unreadable, findings=findings))


def _named(finding: Finding) -> dict[str, str]:
    title = finding.rule.extra.get("title_vi")
    return {"rule.name": finding.rule.title, **({"rule.name_vi": title} if isinstance(title, str) else {})}


def _why(finding: Finding) -> str:
    if finding.matches[0].selection == DESCRIPTION:
        return finding.matches[0].value
    return ", ".join(f"{match.field}={match.value}" if match.field else match.selection for match in finding.matches)


def _complain(text: str) -> None:
    sys.stderr.write(show.plain(text) + "\n")

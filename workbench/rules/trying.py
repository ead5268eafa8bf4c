"""`haidang rules check|test|backtest`: rules are looked at and tried, and nothing is changed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collectors.decoders.pasted import decode_pasted
from detectors.correlate import limits_of
from detectors.rulebook import backtest, checks
from detectors.rulebook.backtest import Backtest, Bounds, Subject
from detectors.rulebook.checks import ERROR, Finding
from detectors.rulebook.sources import read_source
from detectors.rulebook.testing import read_text, tested
from detectors.rulebook.vectors import vector_path
from detectors.sigma import RuleSet
from detectors.sigma.documents import TESTS, rule_files
from pipeline import store
from pipeline.command import show
from pipeline.command.search import time_filter
from pipeline.messages import HaidangError, said, say
from pipeline.store import query as q
from workbench import numbers
from workbench.rules.site import OnSite, refusal, title_of

#: Events that a backtest reads, unless more are asked for: about two minutes.
_MOST = 10_000_000


def read_files(paths: Sequence[Path]) -> dict[str, str]:
    """Read rule files and the vectors beside them, by their names.

    Raises:
        HaidangError: one is not there, no text, or too large; two have one name.
    """
    files: dict[str, str] = {}
    for path in paths:
        beside = Path(vector_path(str(path)))
        for each in (path, *([beside] if not path.name.endswith(TESTS) and beside.is_file() else [])):
            text = read_text(each)
            if files.get(each.name, text) != text:
                raise HaidangError("rulebook.same_name", name=each.name)
            files[each.name] = text
    return files


def print_findings(findings: Sequence[Finding], as_json: bool = False) -> None:
    """Print what was found."""
    for finding in findings:
        if as_json:
            show.json_line(finding.as_json())
        else:
            named = f"{finding.rule}: " if finding.rule else ""
            show.line(show.plain(f"{say(f'rules.{finding.severity}')}: {finding.path}: {named}{said(finding.text)}"))


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", type=Path, help=say("command.rules.check_files"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _check(chosen: argparse.Namespace, site: OnSite) -> int:
    """Look at files beside the rules of the site, at folders by themselves; 1 where something is an error."""
    folders = [path for path in chosen.file if path.is_dir()]
    files = read_files([path for path in chosen.file if not path.is_dir()])
    findings = site.rulebook.check(files) if files else []
    for folder in folders:
        found = read_source(str(folder))
        findings += [Finding(ERROR, path, "", reason) for path, reason in found.left_out]
        findings += checks.check(found.files, read_line=decode_pasted)
    print_findings(findings, chosen.json)
    errors = sum(finding.severity == ERROR for finding in findings)
    if not chosen.json:
        show.line(say("command.rules.checked", errors=errors, warnings=len(findings) - errors))
    return 1 if errors else 0


def _test_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="*", type=Path, help=say("command.rules.test_files"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _test(chosen: argparse.Namespace, site: OnSite) -> int:
    """Try the vectors of these files or folders, or of all rules in use; 1 where one fails, or there are none."""
    places = chosen.file or list(site.rulebook.loaded.folders)
    paths = [str(path) for place in places for path in rule_files(place)]
    found = tested(RuleSet.load(*places), paths, decode_pasted)
    if not found.rules and not found.findings:
        raise HaidangError("rulebook.no_vectors", places=", ".join(map(str, places)))
    print_findings(found.findings, chosen.json)
    values = found.counts()
    if chosen.json:
        show.json_line(values)
    else:
        show.line(say("command.rules.tested", **{name: show.number(value) for name, value in values.items()}))
    return 1 if found.findings or not found.vectors else 0


def _backtest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", help=say("command.rules.backtest_rule"))
    parser.add_argument("--from", dest="start", help=say("command.from"))
    parser.add_argument("--to", dest="end", help=say("command.to"))
    most = say("command.rules.backtest_limit", limit=show.number(_MOST))
    parser.add_argument("--limit", type=numbers.limit, default=_MOST, help=most)
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _backtest(chosen: argparse.Namespace, site: OnSite) -> int:
    """Try rules on stored events; 1 where one is refused."""
    span = _span(chosen)
    subjects, status = _subjects(chosen.rule, site)
    reader = store.open_reader(site.settings.data_dir, site.settings.store)
    try:
        for subject in subjects:
            made = backtest.run(
                reader, subject, span, limits_of(site.settings.detectors), Bounds(chosen.limit), zone=None,
                tell=_tell if sys.stderr.isatty() else None,
            )  # fmt: skip
            if chosen.json:
                show.json_line({**made.as_json(), "from": chosen.start, "to": chosen.end})
            else:
                _print(made)
    finally:
        reader.close()
    return status


def _span(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the filter of `--from` and `--to`.

    Raises:
        HaidangError: one is no time, or the second is before the first.
    """
    span = time_filter(chosen)
    if chosen.start and chosen.end:
        low, high = (q.moment(span[0]["range"][q.TIME][name], "time") for name in ("gte", "lte"))
        if high < low:
            raise HaidangError("command.rules.no_span", start=chosen.start, end=chosen.end)
    return span


def _subjects(name: str, site: OnSite) -> tuple[list[Subject], int]:
    path = Path(name)
    if not path.is_file():
        return [backtest.subject(site.rulebook.loaded, site.rulebook.find(name))], 0
    subjects, refused = backtest.subjects_of_file(site.rulebook.loaded, path)
    for each in refused:
        sys.stderr.write(show.plain(refusal(each)) + "\n")
    if not subjects and not refused:
        raise HaidangError("rulebook.no_rules", source=path)
    return subjects, 1 if refused else 0


def _tell(examined: int, total: int) -> None:
    values = {"examined": show.number(examined), "total": show.number(total)}
    sys.stderr.write(say("command.rules.backtest_progress", **values) + "\n")


def _print(made: Backtest) -> None:
    show.line(show.plain(f"{title_of(made.rule)} ({show.level(made.rule.level)})"))
    counts = {name: show.number(getattr(made, name)) for name in ("events", "examined", "rate", "matches", "alerts")}
    show.line(say("command.rules.backtest_examined", seconds=round(made.seconds, 1), **counts))
    if made.bounded:
        show.line(say("command.rules.backtest_bounded", until=show.local_time(made.until)))
    show.line(say("command.rules.backtest_alerts", mode=say(f"rules.mode.{made.mode}"), **counts))
    if made.exceptions:
        ids = ", ".join(each[:8] for each in made.exceptions)
        show.line(say("command.rules.backtest_excepted", count=show.number(made.excepted), ids=ids))
    for name, count in made.forgotten.items():
        show.line(say("command.rules.backtest_forgotten", what=name, count=show.number(count)))
    if made.alerts:
        _print_tables(made)


def _print_tables(made: Backtest) -> None:
    days = [(day, show.number(made.days[day])) for day in sorted(made.days)]
    show.table("", [say("rules.head.day"), say("rules.head.alerts_found")], days, right=(1,))
    for name, counter in made.noisiest.items():
        rows = [(value, show.number(count)) for value, count in counter.most_common(backtest.NOISIEST)]
        if rows:
            show.table("", [say(f"rules.head.{name}"), say("rules.head.alerts_found")], rows, right=(1,))
    show.line(say("command.rules.backtest_sample", shown=len(made.sample), alerts=show.number(made.alerts)))
    for each in made.sample:
        where = "  ".join(str(each[name]) for name in ("host.name", "user.name", "source.ip") if name in each)
        named = each.get("event.id") or ", ".join(each["events"][:3])
        show.line(show.plain(f"{show.local_time(each['@timestamp'])}  {named}  {where}"))
        for reason in each["reasons"][:5]:
            show.line(show.plain(f"    {_reason(reason)}"))


def _reason(reason: dict[str, Any]) -> str:
    value = str(reason["value"]).replace("\n", " ")[:200]
    return f"{reason['selection']}: {reason['field']}={value!r}" if reason["field"] else str(reason["selection"])


COMMANDS = {
    "check": (_check_arguments, _check),
    "test": (_test_arguments, _test),
    "backtest": (_backtest_arguments, _backtest),
}

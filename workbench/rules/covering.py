"""`haidang rules fields`: which rules find nothing to look at here."""

import argparse
from collections import Counter

from detectors.rulebook.coverage import BLIND, PARTLY, SILENT, STATES, UNSEEN, Covered, covered, in_use
from pipeline import store
from pipeline.command import show
from pipeline.messages import say
from workbench import numbers
from workbench.rules.site import OnSite, title_of

#: What is listed without `--all`.
_AT_FAULT = (SILENT, BLIND)
#: Keys of a field that are shown.
_SHOWN_KEYS = 4


def _fields_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=say("command.rules.fields_all"))
    parser.add_argument("--days", type=numbers.days, default=30, help=say("command.rules.fields_days"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _fields(chosen: argparse.Namespace, site: OnSite) -> int:
    rules = in_use(site.rulebook.loaded)
    reader = store.open_reader(site.settings.data_dir, site.settings.store)
    try:
        found = covered(reader, rules, chosen.days)
    finally:
        reader.close()
    wanted = [each for each in found if chosen.all or each.state in _AT_FAULT]
    if chosen.json:
        for each in wanted:
            show.json_line(each.as_json())
        return 0
    _print_silent([each for each in wanted if each.state == SILENT], chosen.days)
    for state in (BLIND, PARTLY):
        _print_missing(state, [each for each in wanted if each.state == state])
    _print_unseen([each for each in wanted if each.state == UNSEEN])
    counts = Counter(each.state for each in found)
    values = {state: show.number(counts[state]) for state in STATES}
    show.line(say("command.rules.fields_counts", rules=show.number(len(found)), days=f"{chosen.days:g}", **values))
    return 0


def _print_silent(found: list[Covered], days: float) -> None:
    counts = Counter(_logsource(each) for each in found)
    rows = [(name, show.number(count)) for name, count in counts.most_common()]
    if rows:
        show.line(say("command.rules.fields_silent", days=f"{days:g}"))
        show.table("", [say("rules.head.logsource"), say("rules.head.rules")], rows, right=(1,))


def _print_missing(state: str, found: list[Covered]) -> None:
    rows = []
    for each in sorted(found, key=lambda each: (_logsource(each), title_of(each.rule))):
        names = [(missing.field, _keys(missing.keys)) for missing in each.missing] or [("", "")]
        for number, (name, keys) in enumerate(names):
            about = ("", "") if number else (title_of(each.rule), _logsource(each))
            rows.append((*about, name, keys))
    if rows:
        show.line(say(f"command.rules.fields_{state}"))
        show.table("", [say(f"rules.head.{name}") for name in ("title", "logsource", "field", "keys")], rows)


def _print_unseen(found: list[Covered]) -> None:
    rows = [(title_of(each.rule), _logsource(each), ", ".join(each.codes[:10])) for each in found]
    if rows:
        show.line(say("command.rules.fields_unseen"))
        show.table("", [say(f"rules.head.{name}") for name in ("title", "logsource", "codes")], sorted(rows))


def _logsource(each: Covered) -> str:
    return " ".join(f"{name}={value}" for name, value in each.logsource.items())


def _keys(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:_SHOWN_KEYS]) + (", …" if len(keys) > _SHOWN_KEYS else "")


COMMANDS = {"fields": (_fields_arguments, _fields)}

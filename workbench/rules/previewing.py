"""A change of the rulebook enters; what it would change is printed, and it is made where nobody says no."""

import argparse
from collections.abc import Iterator, Sequence

from detectors.rulebook.changes import Change
from detectors.rulebook.preview import Preview
from pipeline.command import show
from pipeline.messages import said, say
from workbench.rules.site import OnSite, title_of

_SHOWN = 20


def change_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of every command that shows first what it would change."""
    parser.add_argument("--preview", action="store_true", help=say("command.rules.preview"))
    parser.add_argument("--force", action="store_true", help=say("command.rules.force"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def carry_out(chosen: argparse.Namespace, site: OnSite, change: Change, question: str = "") -> int:
    """Show what a change would do, and make it; a `question` is asked before, where somebody sits at a terminal."""
    if chosen.json:
        show.json_line({**change.detail, **change.preview.as_json()})
    else:
        _print(change)
    if chosen.preview:
        return 1 if change.preview.stops else 0
    if change.changes_nothing and not chosen.force:
        if not chosen.json:
            show.line(say("command.rules.nothing_new"))
        return 0
    change.refuse_if_stopped()
    if question and not show.agrees(question):
        show.line(say("command.rules.left_as_it_was"))
        return 1
    return site.confirm(change.make(), chosen.json)


def _print(change: Change) -> None:
    preview, detail = change.preview, change.detail
    if "pack" in detail:
        show.line(say("command.rules.pack_line", pack=detail["pack"], version=detail["version"]))
    else:
        _print_list(
            say("command.rules.would.packs", count=show.number(len(preview.packs))),
            [f"{each.pack}: {each.before or '-'} → {each.after or '-'}" for each in preview.packs],
        )
    for name, lines in _would(preview):
        _print_list(say(f"command.rules.would.{name}", count=show.number(len(lines))), lines)
    refused = [f"{path}: {rule}: {said(reason)}" for path, rule, reason in preview.refused]
    refused += [f"{path}: {said(reason)}" for path, reason in preview.left_out]
    _print_list(say("command.rules.refused_count", count=show.number(len(refused))), refused)
    show.line(say("command.rules.vectors_tried", count=show.number(preview.tests)))
    for reason in preview.stops[:_SHOWN]:
        show.line(show.plain(f"  {say('rules.error')}: {said(reason)}"))


def _would(preview: Preview) -> Iterator[tuple[str, list[str]]]:
    """Yield what would be changed beside packs, by what it is."""
    for name in ("added", "changed", "removed"):
        yield name, [f"{show.level(rule.level)}: {title_of(rule)}" for rule in getattr(preview, name)]
    yield (
        "modes",
        [
            f"{title_of(each.rule)}: {say(f'rules.mode.{each.before}')} → {say(f'rules.mode.{each.after}')}"
            for each in preview.modes
        ],
    )
    for name in ("excepted", "unexcepted"):
        yield name, [f"{preview.rules_of(each)}: {each.reason}" for each in getattr(preview, name)]
    yield "trusted", preview.trusted
    yield "distrusted", preview.distrusted


def _print_list(head: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    show.line(head)
    for line in lines[:_SHOWN]:
        show.line(show.plain(f"  {line}"))
    if len(lines) > _SHOWN:
        show.line("  …")

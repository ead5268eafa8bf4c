"""`haidang rules alert|observe|disable|default|except|unexcept|add|remove|rollback|reload`: the rulebook is changed."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from detectors.rulebook.book import ALERT, OBSERVE, OFF, ModeName
from detectors.rulebook.checks import ERROR
from detectors.rulebook.testing import read_text
from pipeline.command import show
from pipeline.messages import HaidangError, say
from workbench import numbers
from workbench.rules.previewing import carry_out, change_arguments
from workbench.rules.site import OnSite
from workbench.rules.trying import print_findings, read_files

_DAY_SECONDS = 86_400


def _mode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", nargs="+", help=say("command.rules.rule"))
    parser.add_argument("--reason", default="", help=say("command.rules.reason"))


def _to(mode: ModeName | None) -> Callable[[argparse.Namespace, OnSite], int]:
    def run(chosen: argparse.Namespace, site: OnSite) -> int:
        return site.confirm(site.rulebook.set_mode(chosen.rule, mode, chosen.reason))

    return run


def _except_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", nargs="?", help=say("command.rules.rule"))
    parser.add_argument("--where", action="append", metavar="FIELD=VALUE", help=say("command.rules.where"))
    parser.add_argument("--file", type=Path, help=say("command.rules.filter"))
    parser.add_argument("--reason", required=True, help=say("command.rules.reason"))
    parser.add_argument("--days", type=numbers.days, help=say("command.rules.days"))


def _except(chosen: argparse.Namespace, site: OnSite) -> int:
    if (chosen.file is None) == (not (chosen.rule and chosen.where)):
        raise HaidangError("command.rules.except_what")
    if chosen.file is not None:
        text = read_text(chosen.file)
    else:
        where = dict(_pair(each) for each in chosen.where)
        text = site.rulebook.exception_text(site.rulebook.find(chosen.rule), where, chosen.reason)
    expires = time.time() + chosen.days * _DAY_SECONDS if chosen.days is not None else None
    made = site.rulebook.add_exception(text, chosen.reason, expires)
    show.line(say("command.rules.excepted_now", id=made.id))
    return site.confirm(site.rulebook.revision)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise HaidangError("command.rules.no_pair", value=text)
    return name.strip(), value


def _unexcept_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help=say("command.rules.exception_id"))


def _unexcept(chosen: argparse.Namespace, site: OnSite) -> int:
    return site.confirm(site.rulebook.remove_exception(chosen.id))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", type=Path, help=say("command.rules.file"))


def _add(chosen: argparse.Namespace, site: OnSite) -> int:
    revision, findings = site.rulebook.add(read_files(chosen.file))
    print_findings(findings)
    if revision is None:
        count = sum(finding.severity == ERROR for finding in findings)
        show.line(say("command.rules.not_added", count=count))
        return 1
    return site.confirm(revision)


def _remove_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", help=say("command.rules.rule"))


def _remove(chosen: argparse.Namespace, site: OnSite) -> int:
    return site.confirm(site.rulebook.remove(chosen.rule))


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", type=int, help=say("command.rules.revision"))
    parser.add_argument("--yes", action="store_true", help=say("command.rules.yes"))
    change_arguments(parser)


def _rollback(chosen: argparse.Namespace, site: OnSite) -> int:
    change = site.rulebook.roll_back(chosen.revision, force=chosen.force)
    if not chosen.json:
        show.line(say("command.rules.back_to", revision=change.detail["to"], present=site.rulebook.revision.number))
    question = "" if chosen.yes or chosen.json else say("command.rules.ask_rollback", revision=change.detail["to"])
    return carry_out(chosen, site, change, question)


def _reload(_chosen: argparse.Namespace, site: OnSite) -> int:
    return site.confirm(site.rulebook.reload())


COMMANDS = {
    "alert": (_mode_arguments, _to(ALERT)),
    "enable": (_mode_arguments, _to(ALERT)),
    "observe": (_mode_arguments, _to(OBSERVE)),
    "disable": (_mode_arguments, _to(OFF)),
    "default": (_mode_arguments, _to(None)),
    "except": (_except_arguments, _except),
    "unexcept": (_unexcept_arguments, _unexcept),
    "add": (_add_arguments, _add),
    "remove": (_remove_arguments, _remove),
    "rollback": (_rollback_arguments, _rollback),
    "reload": (lambda _parser: None, _reload),
}

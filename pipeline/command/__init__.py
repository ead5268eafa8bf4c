"""The command line: arguments enter, one command's module is loaded and run, an exit status leaves.

Exit status: 0 done; 1 the command found something wrong; 2 the arguments or settings are to be mended by the user.
"""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.messages import HaidangError, choose_language, say
from pipeline.settings_file import default_data_dir, language_setting

#: Each command and the module that is loaded when it is called; every module has `add_arguments` and `run`.
COMMANDS = {
    "run": "pipeline.command.run",
    "import": "collectors.import_files",
    "detect": "workbench.detect",
    "search": "pipeline.command.search",
    "alerts": "pipeline.command.alerts",
    "queue": "pipeline.command.queue",
    "cases": "pipeline.command.cases",
    "notify": "pipeline.command.notify",
    "evidence": "pipeline.command.evidence",
    "rules": "workbench.rules",
    "devices": "workbench.devices",
    "c2": "pipeline.command.c2",
    "sharing": "sharing.command",
    "systems": "pipeline.command.systems",
    "report": "sharing.report_command",
    "packet-rules": "collectors.packet_rules",
    "indicators": "workbench.indicators",
    "sources": "pipeline.command.sources",
    "canary": "pipeline.command.canary",
    "deadletter": "pipeline.command.deadletter",
    "doctor": "pipeline.command.doctor",
    "demo": "pipeline.command.demo",
    "config": "pipeline.command.config",
    "user": "pipeline.command.user",
    "role": "pipeline.command.role",
    "token": "pipeline.command.token",
    "audit": "pipeline.command.audit",
    "grafana": "pipeline.command.grafana",
    "backup": "pipeline.command.backup",
    "restore": "pipeline.command.restore",
    "plan": "pipeline.command.plan",
    "bench": "pipeline.command.bench",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks the user's language."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; sys.exit is one
        """Say what is wrong with the arguments, and how the command is used."""
        sys.stderr.write(f"{self.format_usage()}{self.prog}: {message}\n")
        sys.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `haidang` with its arguments."""
    choose_language(language_setting())
    argparse._ = _translated  # type: ignore[attr-defined]  # argparse's own hook for gettext, without its .mo files
    os.umask(0o077)  # nobody else reads a site's data
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may not know our letters
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given and not given[0].startswith("-") else ""
    if name not in COMMANDS:
        return _overview(given)
    module = importlib.import_module(COMMANDS[name])
    parser = Parser(f"haidang {name}", description=say(f"command.{name}"), allow_abbrev=False)
    module.add_arguments(parser)
    try:
        chosen = parser.parse_args(given[1:])
        status = int(module.run(chosen))
        sys.stdout.flush()
        return status
    except HaidangError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except PermissionError as error:
        sys.stderr.write(say("command.not_permitted", file=error.filename or error) + "\n")
        return 2
    except BrokenPipeError:  # `haidang search … | head`; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # For every command: its data directory cannot be made, or be opened. Any other file is a fault of ours.
        folder = default_data_dir()
        if error.filename is None or not _lies_along(Path(os.fsdecode(error.filename)), folder):
            raise
        fault = say("settings.data_dir_fault", folder=folder, fault=error.strerror, file=error.filename)
        sys.stderr.write(fault + "\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _lies_along(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def _overview(given: list[str]) -> int:
    if given in (["--version"], ["-V"]):
        from importlib.metadata import version

        sys.stdout.write(f"haidang {version('haidang')}\n")
        return 0
    lines = "\n".join(f"  {command:<13}{say(f'command.{command}')}" for command in COMMANDS)
    text = say("command.overview", commands=lines)
    if given not in ([], ["--help"], ["-h"]):
        near = difflib.get_close_matches(given[0], COMMANDS, n=1)
        hint = say("settings.did_you_mean", name=near[0]) if near else ""
        sys.stderr.write(f"{say('command.unknown', name=given[0])}{hint}\n\n{text}\n")
        return 2
    sys.stdout.write(f"{text}\n")
    return 0 if given else 2


#: argparse's sentences (Python 3.11 and later) and our keys for them.
_ARGPARSE = {
    "usage: ": "argparse.usage",
    "options": "argparse.options",
    "positional arguments": "argparse.positional",
    "show this help message and exit": "argparse.help",
    "the following arguments are required: %s": "argparse.required",
    "unrecognized arguments: %s": "argparse.unrecognized",
    "expected one argument": "argparse.one_argument",
    "expected at least one argument": "argparse.at_least_one",
    "ignored explicit argument %r": "argparse.no_value",
    "invalid %(type)s value: %(value)r": "argparse.invalid_value",
    "invalid choice: %(value)r (choose from %(choices)s)": "argparse.invalid_choice",
    "argument %(argument_name)s: %(message)s": "argparse.argument",
}


def _translated(text: str) -> str:
    key = _ARGPARSE.get(text)
    return say(key) if key else text

"""`haidang rules …`: the rulebook is shown, tried and changed.

Each file beside this one has `COMMANDS`: the name of a subcommand, what declares its arguments, and what runs it.
"""

import argparse
import os
from collections.abc import Callable, Mapping

from collectors.decoders.pasted import decode_pasted
from detectors.rulebook.changes import Rulebook
from detectors.rulebook.updating import AUTOMATIC_VARIABLE
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.state import open_state
from workbench.rules import changing, covering, looking, packing, trying
from workbench.rules.site import OnSite

_Add = Callable[[argparse.ArgumentParser], None]
_Run = Callable[[argparse.Namespace, OnSite], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    **looking.COMMANDS, **changing.COMMANDS, **packing.COMMANDS, **trying.COMMANDS, **covering.COMMANDS,
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "rules", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    settings = site_settings(must_be_there=False)
    engine = open_state(settings.data_dir, settings.state)
    automatic = bool(os.environ.get(AUTOMATIC_VARIABLE))
    who = ("haidang", "automatic") if automatic else (person(), "command")
    return _COMMANDS[chosen.action][1](
        chosen, OnSite(settings, engine, Rulebook(engine, settings, *who, read_line=decode_pasted))
    )

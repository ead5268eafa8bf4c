"""`haidang config check|show`: the settings as read leave, or every fault in them."""

import argparse
import json

from pipeline.command import show
from pipeline.messages import HaidangError, choose_language, say
from pipeline.settings import load_settings, settings_file
from pipeline.settings.check import all_faults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["check", "show"], help=say("command.config.action"))


def run(chosen: argparse.Namespace) -> int:
    """Check or print the settings; a fault is raised, with its place."""
    file = settings_file()
    if chosen.action == "check" and (found := all_faults()):
        raise HaidangError("settings.invalid", file=file, faults="\n".join(f"  {fault}" for fault in found))
    settings = load_settings()
    choose_language(settings.language)
    if chosen.action == "check":
        where = str(file) if file.is_file() else say("command.config.no_file", file=file)
        show.line(say("command.config.good", file=where))
    else:
        show.line(json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False))
    return 0

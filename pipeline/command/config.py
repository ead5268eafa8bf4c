"""`haidang config check|show`: the settings as read leave, or every fault in them."""

import argparse
import json

from pipeline.command import show
from pipeline.messages import choose_language, say
from pipeline.settings import load_settings, settings_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["check", "show"], help=say("command.config.action"))


def run(chosen: argparse.Namespace) -> int:
    """Check or print the settings; a fault is raised, with its place."""
    settings = load_settings()
    choose_language(settings.language)
    file = settings_file()
    where = str(file) if file.is_file() else say("command.config.no_file", file=file)
    if chosen.action == "check":
        show.line(say("command.config.good", file=where))
    else:
        show.line(json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False))
    return 0

"""Commands of several actions: their names enter, a parser that knows each leaves."""

import argparse
from collections.abc import Callable, Mapping

from pipeline.messages import say


def declare(
    parser: argparse.ArgumentParser,
    command: str,
    adding: Mapping[str, Callable[[argparse.ArgumentParser], None]],
    chosen: str = "action",
) -> None:
    """Declare the actions of a command; `adding` declares what each takes, `command.<command>.<action>` says what it
    does. Which one was chosen is the attribute `chosen` of the arguments."""
    actions = parser.add_subparsers(dest=chosen, required=True, metavar="ACTION", parser_class=type(parser))
    for name, add in adding.items():
        text = say(f"command.{command}.{name}")
        add(actions.add_parser(name, help=text, description=text, allow_abbrev=False))

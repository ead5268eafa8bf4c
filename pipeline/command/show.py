"""What commands print: rows enter, a table or JSON lines leave."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from pipeline.event import parse_time


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """Print a table; `right` names the columns of numbers. Cells are shown as they are: no mark-up, no control characters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(head):
        last = number == len(head) - 1
        drawn.add_column(name, justify="right" if number in right else "left", overflow="fold", no_wrap=not last)
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    console = Console(highlight=False, soft_wrap=False)
    if not sys.stdout.isatty():
        console.width = 200
    console.print(drawn)


def json_line(value: Any) -> None:
    """Print one JSON object as a line."""
    sys.stdout.buffer.write(orjson.dumps(value, default=str) + b"\n")


def line(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def number(value: float) -> str:
    """Write a number with its thousands apart, as the language does."""
    from pipeline.messages import say

    return f"{value:,}".replace(",", say("show.thousands"))


def local_time(text: str) -> str:
    """Write an event's time in this machine's zone."""
    try:
        return parse_time(text).astimezone().strftime("%d/%m/%Y %H:%M:%S")
    except (ValueError, OverflowError):
        return text


def minute(minutes: int) -> str:
    """Write minutes since 1970 in this machine's zone."""
    return datetime.fromtimestamp(minutes * 60).astimezone().strftime("%d/%m/%Y %H:%M")


def plain(value: Any) -> str:
    """Return a value as text that cannot steer a terminal: control characters are shown as `\\x1b`."""
    text = value if isinstance(value, str) else str(value)
    return "".join(sign if sign.isprintable() or sign == "\n" else f"\\x{ord(sign):02x}" for sign in text)

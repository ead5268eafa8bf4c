"""What commands print: rows enter, a table or JSON lines leave."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Any

import orjson

from pipeline.event import parse_time
from pipeline.messages import say, spoken

#: U+007F to U+009F in UTF-8: control characters that JSON lets through.
_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]")

#: The zone in which times are written; None is that of the machine.
_zone: tzinfo | None = None
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
#: How yes may be answered beside the language's own word.
_YES = frozenset(("y", "yes", "c", "co", "có"))
#: Sigma's levels and our words for them.
_LEVELS = {
    "critical": "show.level.critical",
    "high": "show.level.high",
    "medium": "show.level.medium",
    "low": "show.level.low",
    "informational": "show.level.informational",
}


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """Print a table; `right` names the columns of numbers. Cells have neither mark-up nor control characters."""
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
    with console.capture() as capture:  # rich ends the program by itself where nobody reads on
        console.print(drawn)
    sys.stdout.write(capture.get())


def rows(
    as_json: bool,
    found: Sequence[Mapping[str, Any]],
    heads: Mapping[str, str],
    written: Mapping[str, Callable[[Any], str]] = MappingProxyType({}),
    right: Sequence[int] = (),
    nothing: str = "",
) -> None:
    """Print rows: all of each as JSON lines, or what `heads` names as a table; its values stand above the columns.

    `written` says how a column's values are written, `nothing` is said where there is no row.
    """
    if as_json:
        for row in found:
            json_line(row)
    elif found or not nothing:
        cells = [[written.get(name, str)(row[name]) for name in heads] for row in found]
        table("", list(heads.values()), cells, right=right)
    else:
        line(nothing)


def json_line(value: Any) -> None:
    """Print one JSON object as a line. No byte of it can steer a terminal: JSON escapes the control characters up to
    U+001F, here U+007F to U+009F are escaped too.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(_CONTROL.sub(_escaped, orjson.dumps(value, default=str)) + b"\n")


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


def line(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def agrees(question: str) -> bool:
    """Ask at the terminal, and say whether the answer is yes; where nobody can answer, nobody is against it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    sys.stdout.write(f"{question} [{say('show.yes')}/{say('show.no')}] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().casefold() in {*_YES, say("show.yes").casefold()}


def number(value: float) -> str:
    """Write a number with its thousands apart, as the language does."""
    return f"{value:,}".replace(",", say("show.thousands"))


def size(count: float) -> str:
    """Write a count of bytes in the unit that fits: 1,5 MB."""
    power = 0
    while round(count, 1) >= 1000 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{number(round(count, 1 if power else 0)).removesuffix('.0')} {_UNITS[power]}"


def rule_name(alert: Mapping[str, Any]) -> str:
    """Return the name of an alert's rule, in the language that is spoken where it has one; "" for what is no alert."""
    return str(spoken(alert, "rule.name"))


def first_step(alert: Mapping[str, Any]) -> str:
    """Return what an alert's rule says to do first, in the language that is spoken where it has one; else ""."""
    return str(spoken(alert, "rule.response"))


def level(text: str) -> str:
    """Write a rule's level in the language that is spoken; a level that Sigma does not know stays as it is."""
    return say(_LEVELS[text]) if text in _LEVELS else text


def use_zone(name: str) -> None:
    """Write times in a zone from here on; `local` is that of the machine."""
    global _zone  # noqa: PLW0603 - one command works for one site
    from zoneinfo import ZoneInfo

    _zone = None if name == "local" else ZoneInfo(name)


def local_time(text: str) -> str:
    """Write an event's time in the zone of the site."""
    try:
        return parse_time(text).astimezone(_zone).strftime("%d/%m/%Y %H:%M:%S")
    except (ValueError, OverflowError):
        return text


def minute(minutes: int) -> str:
    """Write minutes since 1970 in the zone of the site."""
    return datetime.fromtimestamp(minutes * 60, UTC).astimezone(_zone).strftime("%d/%m/%Y %H:%M")


def plain(value: Any) -> str:
    """Return a value as text that cannot steer a terminal: control characters are shown as `\\x1b`."""
    text = value if isinstance(value, str) else str(value)
    return "".join(sign if sign.isprintable() or sign == "\n" else f"\\x{ord(sign):02x}" for sign in text)

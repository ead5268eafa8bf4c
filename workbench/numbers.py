"""Numbers after an option: a text enters, a number that can be worked with leaves."""

import math
from collections.abc import Callable

from pipeline.command import show
from pipeline.messages import HaidangError

#: A hundred years: later dates do not fit into every clock.
_MOST_DAYS = 36_500
_MOST_HOURS = _MOST_DAYS * 24
#: More than there is of anything that is counted here.
_MOST = 10**12


def days(text: str) -> float:
    """Read the value of `--days`.

    Raises:
        HaidangError: it is none, not above 0, or more than a hundred years.
    """
    found = _number(text, float)
    if not 0 < found <= _MOST_DAYS:
        raise HaidangError("command.rules.no_days", value=text, most=show.number(_MOST_DAYS))
    return found


def every_hours(text: str) -> float:
    """Read the value of `--every-hours`; 0 stands for never.

    Raises:
        HaidangError: it is none, or out of bounds.
    """
    return _within("--every-hours", text, float, 0, _MOST_HOURS)


def days_or_never(text: str) -> float:
    """Read the value of `--days` where 0 stands for never.

    Raises:
        HaidangError: it is none, or out of bounds.
    """
    return _within("--days", text, float, 0, _MOST_DAYS)


def percent(text: str) -> int:
    """Read the value of `--confidence`.

    Raises:
        HaidangError: it is no whole number from 0 to 100.
    """
    return int(_within("--confidence", text, int, 0, 100))


def limit(text: str) -> int:
    """Read the value of `--limit`.

    Raises:
        HaidangError: it is no whole number, or out of bounds.
    """
    return int(_within("--limit", text, int, 1, _MOST))


def _within(option: str, text: str, read: Callable[[str], float], least: int, most: int) -> float:
    found = _number(text, read)
    if not least <= found <= most:
        raise HaidangError("command.rules.no_number", option=option, value=text, least=least, most=show.number(most))
    return found


def _number(text: str, read: Callable[[str], float]) -> float:
    """Read a number; NaN, which lies within no bounds, where it is none."""
    try:
        return read(text)
    except ValueError:
        return math.nan

"""Numbers after an option: a text enters, a number that can be worked with leaves."""

from collections.abc import Callable

from pipeline.command import show
from pipeline.messages import HaidangError

#: Days from about a second to a hundred years: later dates do not fit into every clock.
_LEAST_DAYS, _MOST_DAYS = 0.00001, 36_500
_MOST_HOURS = _MOST_DAYS * 24
#: More than there is of anything that is counted here.
_MOST = 10**12


def days(text: str) -> float:
    """Read the value of `--days`."""
    return _within("--days", text, float, _LEAST_DAYS, _MOST_DAYS)


def every_hours(text: str) -> float:
    """Read the value of `--every-hours`; 0 stands for never."""
    return _within("--every-hours", text, float, 0, _MOST_HOURS)


def limit(text: str) -> int:
    """Read the value of `--limit`."""
    return int(_within("--limit", text, int, 1, _MOST))


def _within(option: str, text: str, read: Callable[[str], float], least: float, most: float) -> float:
    try:
        found = read(text)
    except ValueError:
        found = least - 1
    if not least <= found <= most:  # nor is NaN
        bounds = {"least": f"{least:.5f}".rstrip("0").rstrip("."), "most": show.number(most)}
        raise HaidangError("command.rules.no_number", option=option, value=text, **bounds)
    return found

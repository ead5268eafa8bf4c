"""Numeric comparison and parts of a time stamp (`gt`, `gte`, `lt`, `lte`, `minute` ... `year`) of
a text.
"""

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime

from detectors.sigma.values import Comparison

# Decimal only: 0x3e7 is text, never 999. The length bounds the conversion.
_DECIMAL = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_TESTS: dict[str, Callable[[int | float, int | float], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparison(value: Comparison) -> Callable[[str], bool]:
    """A test of a text; text that is no number (or no time stamp) never satisfies it."""
    compare, wanted = _TESTS[value.operator], value.number
    if value.part:
        part = value.part

        def accepts_time(text: str) -> bool:
            number = time_part(text, part)
            return number is not None and compare(number, wanted)

        return accepts_time

    def accepts(text: str) -> bool:
        found = number_of(text)
        return found is not None and compare(found, wanted)

    return accepts


def number_of(text: str) -> int | float | None:
    """The decimal number a text holds, None for any other text."""
    if not _DECIMAL.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def time_part(text: str, part: str) -> int | None:
    """`minute`, `hour`, `day`, `week` (ISO 8601), `month` or `year` of an ISO 8601 time, in UTC.

    A time without offset is taken as UTC; None for text that is no time.
    """
    try:
        time = datetime.fromisoformat(text.strip())
        if time.tzinfo is not None:
            time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time.isocalendar().week if part == "week" else int(getattr(time, part))

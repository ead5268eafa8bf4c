"""The meaning of conditions, spelled out for one event at a time: the oracle that every store is compared with."""

import re
import unicodedata
from ipaddress import ip_address, ip_network
from typing import Any

from pipeline.event import Event, to_micros
from pipeline.store import query as q


def holds(condition: q.Condition, event: Event) -> bool:
    """Say whether an event fits a condition."""
    match condition:
        case q.All():
            return True
        case q.Nothing():
            return False
        case q.Equals():
            return any(same(found, value) for found in values(event, condition.field) for value in condition.values)
        case q.Within():
            return any(within(found, condition) for found in values(event, condition.field))
        case q.InNetwork():
            return any(inside(found, condition.network) for found in values(event, condition.field))
        case q.Exists():
            below = condition.field + "."
            fits = (name for name in event if name == condition.field or (condition.below and name.startswith(below)))
            return any(values(event, name) for name in fits)
        case q.Like():
            texts = words(event) if condition.field is None else map(str, texts_of(event, condition.field))
            return any(pattern(condition.pattern).fullmatch(fold(text)) for text in texts)
        case q.Phrase():
            return stands_in(split(condition.text), words(event))
        case q.Identifiers():
            return event["event.id"] in condition.values
        case q.Combined():
            return (
                all(holds(part, event) for part in condition.must)
                and not any(holds(part, event) for part in condition.must_not)
                and sum(holds(part, event) for part in condition.should) >= condition.least
            )
    raise TypeError(condition)


def values(event: Event, field: str) -> list[Any]:
    """Return the values of a field; a list stands for its elements, null for nothing."""
    if field == q.TIME:
        return [to_micros(event[q.TIME])]
    value = event.get(field)
    return [item for item in (value if isinstance(value, list) else [value]) if item is not None]


def texts_of(event: Event, field: str) -> list[str]:
    """Return the values of a field that are texts."""
    return [value for value in values(event, field) if isinstance(value, str)]


def fold(text: str) -> str:
    """Return a text without case and diacritics."""
    plain = "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))
    return plain.replace("đ", "d").replace("Đ", "D").lower()


def split(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits."""
    return [fold(word) for word in re.findall(r"[^\W_]+", text)]


def words(event: Event) -> list[str]:
    """Return the words that an event is found by."""
    return split(str(event.get("event.original", event.get("message", ""))))


def stands_in(phrase: list[str], text: list[str]) -> bool:
    """Say whether the words of a phrase stand in a text, one after the other."""
    return any(text[at : at + len(phrase)] == phrase for at in range(len(text) - len(phrase) + 1))


def same(found: Any, value: q.Value) -> bool:
    """Compare as text without case and diacritics; numbers also by their value."""
    if isinstance(found, bool) or isinstance(value, bool):
        return fold(str(found)) == fold(str(value))
    return fold(str(found)) == fold(str(value)) or (isinstance(found, (int, float)) and number(value) == found)


def number(value: q.Value) -> float | None:
    """Return the number that a value is or reads as."""
    try:
        return float(value)
    except ValueError:
        return None


def within(found: Any, condition: q.Within) -> bool:
    """Compare numbers with numbers and texts with texts."""
    bounds = [bound for bound in (condition.low, condition.high) if bound is not None]
    if any(isinstance(bound, str) for bound in bounds):
        if not isinstance(found, str):
            return False
        found, low, high = (
            None if item is None else fold(str(item)) for item in (found, condition.low, condition.high)
        )
    else:
        if isinstance(found, str) and bounds:
            return False
        low, high = condition.low, condition.high
    above = low is None or found > low or (found == low and condition.include_low)
    below = high is None or found < high or (found == high and condition.include_high)
    return bool(above and below)


def inside(found: Any, network: str) -> bool:
    """Say whether a value is an address of a block."""
    try:
        return ip_address(found) in ip_network(network, strict=False)
    except ValueError:
        return False


def pattern(text: str) -> re.Pattern[str]:
    """Return a pattern of `*` and `?` as a regular expression over folded text."""
    signs = re.findall(r"\\.|.", text, re.DOTALL)
    parts = ({"*": ".*", "?": "."}.get(sign) or re.escape(fold(sign[-1])) for sign in signs)
    return re.compile("".join(parts), re.DOTALL)

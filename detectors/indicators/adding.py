"""Indicators that people and programs add one by one: what they say enters, what is kept leaves, or why not."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from detectors.indicators import kept
from detectors.indicators.allow import Allow
from detectors.indicators.indicator import Indicator, RefusedIndicator, normal
from detectors.indicators.listed import Defaults
from detectors.indicators.matcher import Matcher
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.settings.indicators import LIVE


def reason_words(reason: str) -> str:
    """Return why something is refused, for people."""
    return say(f"indicators.refused.{reason}")


def made(allow: Allow, value: str, kind: str = "", **said: Any) -> list[Indicator]:
    """Return what a value says, a range of addresses as several; `said` as `Defaults.indicators` takes it.

    Raises:
        HaidangError: it is none, must not be used, or is one that the allow-list covers.
    """
    try:
        found = Defaults(LIVE, now=time.time()).indicators(value, kind, **said)
    except RefusedIndicator as refused:
        raise HaidangError("indicators.refused", value=value[:200], reason=reason_words(refused.reason)) from refused
    for each in found:
        if allow.covers(each):
            raise HaidangError("indicators.is_allowed", value=each.value)
    return found


def add(
    engine: Engine, settings: Settings, found: Sequence[Indicator], who: tuple[str, str], reason: str
) -> int | None:
    """Keep indicators, and let stored events be searched for them; return the number of that search, if any.

    Raises:
        HaidangError: there would be too many.
    """
    return kept.add_live(engine, found, who, reason, settings.indicators.retro_days)


def remove(engine: Engine, value: str, who: tuple[str, str], reason: str) -> list[Indicator]:
    """Remove what somebody has added by this value; return what it was.

    Raises:
        HaidangError: there is none.
    """
    try:
        values = {one for _, one in normal(value)}
    except RefusedIndicator:
        values = {value}
    found = [each for each in kept.live(engine) if each.value in values or each.value == value]
    if not found:
        raise HaidangError("indicators.no_live", value=value[:200])
    kept.remove_live(engine, [(each.kind, each.value) for each in found], who, reason)
    return found


def checked(matcher: Matcher, allow: Allow, value: str) -> dict[str, Any]:
    """Return what is known of a value."""
    try:
        pairs = normal(value)
        refused = ""
    except RefusedIndicator as error:
        pairs, refused = [], error.reason
    found = [each for _, one in pairs for each in matcher.any(one)]
    now = time.time()
    return {
        "value": value,
        "found": [{**each._asdict(), "expired": 0 < each.expires < now} for each in dict.fromkeys(found)],
        "allowed": any(allow.covers(Indicator(kind, one)) for kind, one in pairs),
        "refused": refused or None,
    }  # fmt: skip


def search(engine: Engine, settings: Settings, values: Sequence[str], matcher: Matcher, days: float | None) -> int:
    """Let stored events be searched for these values, or without any for all that is in force; return its number.

    Raises:
        HaidangError: a value is no indicator that is in force.
    """
    found: list[Indicator] = []
    for value in values:
        known = [one for _, each in _pairs(value) for one in matcher.any(each)]
        if not known:
            raise HaidangError("indicators.unknown", value=value[:200])
        found += known
    days = settings.indicators.retro_days if days is None else days
    lines = [each.line() for each in dict.fromkeys(found)]
    return kept.add_search(engine, kept.new_search(LIVE if values else "*", lines, days, len(lines) or matcher.count))


def _pairs(value: str) -> list[tuple[str, str]]:
    try:
        return normal(value)
    except RefusedIndicator as refused:
        raise HaidangError("indicators.refused", value=value[:200], reason=reason_words(refused.reason)) from refused

"""Alerts that a profile was not told of enter, a message about them leaves; nothing is written but by `build`.

What people see before (`haidang sharing preview`) and what is built are made by the same lines.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from pipeline.delivery.routing import zone_of
from pipeline.settings import Settings
from sharing import STATISTICS, book, conditions, naming
from sharing.book import Draft
from sharing.facts import Fact, gather
from sharing.formats import FORMATS
from sharing.privacy import Filter
from sharing.profile import Named


@dataclass(frozen=True, slots=True)
class Drafted:
    """A message, or None where there is nothing to tell; the alerts that were looked at for it, and whether these were
    all that there are; the facts before the profile's lists were held to them."""

    draft: Draft | None
    looked: Sequence[str]
    is_all: bool
    facts: Sequence[Fact]


def draft(
    connection: Connection, settings: Settings, named: Named, row: Any, now: float, first: bool = True
) -> Drafted:
    """Return the next message about what is new. `row` is the profile's; `first`: of those that are built now.

    Raises:
        HaidangError: what came out is not as the format's schema has it.
    """
    profile, made = named.profile, FORMATS[named.profile.format]
    zone, most = zone_of(settings), profile.schedule.most_facts
    alerts = book.new_alerts(connection, row, now, most)
    facts = gather(connection, settings, alerts)
    if first and conditions.due(row.built_until, now, zone):
        facts = [*facts, *conditions.gather(connection, settings, now)]
    left = Filter(profile.content, bytes(row.pseudonym_key))(facts)
    told = [fact for fact in left if fact.kind in made.facts]
    looked = [alert.id for alert in alerts]
    is_all = len(alerts) < most
    if not told and not (first and profile.schedule.send_empty):
        return Drafted(None, looked, is_all, facts)
    content = made.build(profile, told, datetime.fromtimestamp(int(now), zone))
    key = f"{now:.3f} {looked[0] if looked else '-'}"
    return Drafted(Draft(STATISTICS, key, row.built_until, now, told, content), looked, is_all, facts)


def build(
    engine: Engine,
    settings: Settings,
    named: Named,
    confirm: Callable[[Connection], None] = lambda connection: None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[int]:
    """Build messages about all that is new, while `go_on`; return their numbers.

    `confirm` is called in each transaction: it raises where another copy of the stage does this.
    """
    now, built = time.time(), 0
    numbers: list[int] = []
    with engine.begin() as connection:
        confirm(connection)
        row = book.known(connection, named.name, now)
        names = naming.draft(connection, settings, named, row, now)
        if names is not None and (number := book.put(connection, named, names, [], now)):
            numbers.append(number)
    while go_on():
        with engine.connect().execution_options(read_only=True) as connection:
            found = draft(connection, settings, named, row, now, first=not built)
        with engine.begin() as connection:
            confirm(connection)
            number = 0
            if found.draft is not None:
                number = book.put(connection, named, found.draft, found.looked, now)
            if not number:
                book.note_looked(connection, named.name, found.looked, set(), 0, now)
            if found.is_all:
                book.note_built(connection, named.name, now)
        built += 1
        numbers += [number] if number else []
        if found.is_all:
            break
    return numbers

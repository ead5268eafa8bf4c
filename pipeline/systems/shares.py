"""Systems and what was heard of their hosts enter, the shares that the law asks for leave, by unit and over time.

Thông tư 23/2018/TT-BTTTT article 8.2.b: of the systems of level 3 and above, how many have an approved plan and are
monitored; of the public portals, how many are monitored. A system is monitored if something of its hosts came within a
day; where the register names none, if it says so.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select, update

from pipeline.bus import IMPORTS
from pipeline.event import format_time
from pipeline.state import upsert
from pipeline.state.tables import system_days, systems
from pipeline.store import EVENTS, Reader
from pipeline.systems.register import Owners, System, listed

#: The lowest level of which the law's share is asked.
FROM_LEVEL = 3
#: A system of which nothing was heard for so long is not monitored, in seconds.
HEARD_SECONDS = 86_400.0
_FIELDS = ("host.name", "host.ip", "source.ip", "destination.ip")
_MOST = 10_000


@dataclass(slots=True)
class Shares:
    """Counts of systems; the shares are of `systems` and of `portals`."""

    systems: int = 0
    approved: int = 0
    monitored: int = 0
    both: int = 0
    portals: int = 0
    portals_monitored: int = 0

    def add(self, system: System, is_monitored: bool) -> None:
        """Count a system."""
        if system.level >= FROM_LEVEL:
            self.systems += 1
            self.approved += bool(system.plan_approved)
            self.monitored += is_monitored
            self.both += bool(system.plan_approved) and is_monitored
        if system.portal:
            self.portals += 1
            self.portals_monitored += is_monitored

    def plain(self) -> dict[str, Any]:
        """Return it as JSON, with the shares in per cent; None where there is nothing to share."""
        return {
            **asdict(self), "both_percent": _percent(self.both, self.systems),
            "portals_percent": _percent(self.portals_monitored, self.portals),
        }  # fmt: skip


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def is_monitored(system: System, now: float) -> bool:
    """Whether a system is monitored now."""
    return now - system.heard < HEARD_SECONDS if system.hosts else system.declared


def counted(found: Iterable[System], now: float) -> dict[str, Shares]:
    """Return the shares of each unit, and of all together as ""."""
    units: dict[str, Shares] = defaultdict(Shares)
    for system in found:
        units[""].add(system, is_monitored(system, now))
        if system.unit:
            units[system.unit].add(system, is_monitored(system, now))
    return dict(units)


def listen(engine: Engine, reader: Reader, now: float) -> None:
    """Note of which systems' hosts events came within the last day."""
    with engine.connect().execution_options(read_only=True) as connection:
        owners = Owners(listed(connection))
    since = format_time(datetime.fromtimestamp(now, UTC) - timedelta(seconds=HEARD_SECONDS))
    heard: dict[str, float] = {}
    for name in _FIELDS:
        body = {
            "size": 0,
            "query": {"bool": {
                "filter": [{"range": {"event.ingested": {"gte": since}}}],
                "must_not": [{"terms": {"labels.source": sorted(IMPORTS)}}],  # a recording says nothing of now
            }},
            "aggs": {"by": {"terms": {"field": name, "size": _MOST}}},
        }  # fmt: skip
        for bucket in reader.search(EVENTS, body)["aggregations"]["by"]["buckets"]:
            if (system := owners.of(str(bucket["key"]))) is not None:
                heard[system.code] = now
    if heard:
        rows = [{"of": code, "to": moment} for code, moment in heard.items()]
        change = update(systems).where(systems.c.code == bindparam("of")).values(heard=bindparam("to"))
        with engine.begin() as connection:
            connection.execute(change, rows)


def note_day(connection: Connection, now: float, zone: tzinfo | None) -> None:
    """Keep how the shares stand today."""
    day = datetime.fromtimestamp(now, UTC).astimezone(zone).date().isoformat()
    rows = [
        {"day": day, "unit": unit, "figures": shares.plain()}
        for unit, shares in counted(listed(connection), now).items()
    ]
    upsert(connection, system_days, rows, key=["day", "unit"])


def days(connection: Connection, unit: str, since: str) -> list[dict[str, Any]]:
    """Return how the shares of a unit ("": of all) stood day by day."""
    columns = system_days.c
    query = select(columns.day, columns.figures).where(columns.unit == unit, columns.day >= since).order_by(columns.day)
    return [{"day": day, **figures} for day, figures in connection.execute(query)]


def standing(connection: Connection, now: float | None = None) -> dict[str, Any]:
    """Return the shares of all systems and of each unit, and the systems with what is missing of each."""
    now = time.time() if now is None else now
    found = listed(connection)
    shares = counted(found, now)
    return {
        "all": shares.get("", Shares()).plain(),
        "units": [{"unit": unit, **each.plain()} for unit, each in sorted(shares.items()) if unit],
        "systems": [{**each.plain(), "monitored": is_monitored(each, now)} for each in _by_need(found, now)],
    }  # fmt: skip


def _by_need(found: Sequence[System], now: float) -> list[System]:
    """Return systems, those first of which something is missing."""
    return sorted(
        found, key=lambda each: (bool(each.plan_approved) and is_monitored(each, now), -each.level, each.code)
    )

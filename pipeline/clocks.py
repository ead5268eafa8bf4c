"""Clocks: when an event came and which time it says enters; how far each sending host's clock is off leaves.

Delay makes an event late and nothing makes it early, so of each minute the least delay counts. A clock that is behind
gives the same least delay minute after minute; a replay, a queue that empties or a slow network gives another one each
time, and is no clock. Few events are looked at: one a second of each connection.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from pipeline.event import Event, at_second, to_micros
from pipeline.logs import log
from pipeline.own_alerts import told_alert
from pipeline.state import upsert
from pipeline.state.tables import clocks

#: How often an event of one connection or file is looked at, in seconds, and how many of these are remembered.
_SAMPLE_SECONDS, _MOST_KEYS = 1.0, 10_000
#: Hosts of one source that are told apart; the others count together, as this one.
MOST_HOSTS, OTHERS = 1_000, "*"
#: Minutes with events that say how a clock is, and how far apart they may lie.
_MINUTES, _WITHIN_MINUTES = 5, 30
#: So much may their least delays differ for it to be a clock, in seconds.
_STEADY_SECONDS = 10.0
#: Faults of time zones are multiples of this, give or take a minute, in seconds.
_ZONE_SECONDS, _ZONE_NEAR = 900, 60
_LONGEST_HOST = 200
#: A host that was not heard of for this long is forgotten, in seconds.
_FORGOTTEN_SECONDS = 30 * 86_400.0


@dataclass(slots=True)
class _Host:
    least: float = float("inf")  # of this minute
    minutes: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_MINUTES))

    def close(self, minute: int) -> None:
        self.minutes.append((minute, self.least))
        self.least = float("inf")

    @property
    def behind(self) -> float:
        return median(least for _, least in self.minutes)

    @property
    def steady(self) -> bool:
        """Whether it is the clock: nothing but a clock makes events early, and no delay stays the same."""
        least = [each for _, each in self.minutes]
        if len(least) < _MINUTES:
            return False
        near = self.minutes[-1][0] - self.minutes[0][0] <= _WITHIN_MINUTES
        return max(least) < 0 or (near and max(least) - min(least) <= _STEADY_SECONDS)


class Clocks:
    """What the collectors of one machine have seen."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], float] = {}
        self._hosts: dict[str, dict[str, _Host]] = {}
        self._minute = int(time.time() // 60)

    def wants(self, source: str, key: str) -> bool:
        """Say whether an event of this connection or file should be looked at now."""
        now = time.monotonic()
        if now < self._due.get((source, key), 0.0):
            return False
        if len(self._due) >= _MOST_KEYS:
            self._due.clear()
        self._due[source, key] = now + _SAMPLE_SECONDS
        return True

    def look_at(self, source: str, line: bytes) -> None:
        """Take one event's line into account; an event without a time of its own says nothing."""
        event = orjson.loads(line)
        received, claimed = event.get("event.ingested"), event.get("labels.claimed_time", event.get("@timestamp"))
        if claimed == received:
            return
        try:
            behind = (to_micros(received) - to_micros(claimed)) / 1e6
        except (ValueError, TypeError, OverflowError):
            return
        if behind > 0 and "event.end" in event:
            return  # of a connection: it is told a fixed time after its last packet, which is no clock's fault
        hosts = self._hosts.setdefault(source, {})
        name = _name(event)
        if name not in hosts and len(hosts) >= MOST_HOSTS:
            name = OTHERS
        host = hosts.setdefault(name, _Host())
        host.least = min(host.least, behind)

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Return what a minute that is over has shown, as rows of the state; nothing within a minute."""
        minute, self._minute = self._minute, int(now // 60)
        if minute == self._minute:
            return []
        rows = []
        for source, hosts in self._hosts.items():
            for name, host in hosts.items():
                if host.least != float("inf"):
                    host.close(minute)
                    known = {"behind": round(host.behind, 3), "steady": host.steady, "seen": now}
                    rows.append({"source": source, "host": name, **known})
        return rows


def save(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, in the caller's transaction."""
    upsert(connection, clocks, sorted(rows, key=lambda row: (row["source"], row["host"])), key=["source", "host"])


def judge(connection: Connection, limit_seconds: float, observer: str) -> list[Event]:
    """Return an alert for each clock that is off, once until it is mended, and for each that was mended."""
    off = func.abs(clocks.c.behind) > limit_seconds
    changed = or_(and_(off, clocks.c.raised.is_(False)), and_(~off, clocks.c.raised.is_(True)))
    alerts = []
    for row in connection.execute(select(clocks).where(clocks.c.steady.is_(True), changed)).mappings().all():
        is_this = (clocks.c.source == row["source"], clocks.c.host == row["host"])
        connection.execute(update(clocks).where(*is_this).values(raised=not row["raised"]))
        alerts.append(_alert(dict(row), observer))
    return alerts


def listed(engine: Engine) -> list[dict[str, Any]]:
    """Return all hosts: source, host, behind (seconds), steady, zone (it looks like a time zone), off, seen."""
    query = select(clocks).order_by(clocks.c.source, clocks.c.host)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).mappings().all()
    return [
        {
            "source": row["source"], "host": row["host"], "behind": row["behind"], "steady": row["steady"],
            "zone": is_zone(row["behind"]), "off": row["raised"], "seen": at_second(row["seen"]),
        }
        for row in rows
    ]  # fmt: skip


def worst(engine: Engine) -> dict[str, tuple[float, int]]:
    """Return for each source how far the clock is off that is off most, and how many are an alert."""
    found: dict[str, tuple[float, int]] = {}
    for row in listed(engine):
        if row["steady"]:
            most, off = found.get(row["source"], (0.0, 0))
            found[row["source"]] = (max(most, row["behind"], key=abs), off + row["off"])
    return found


def is_zone(behind: float) -> bool:
    """Say whether a difference looks like the fault of a time zone: whole or quarter hours."""
    nearest = round(behind / _ZONE_SECONDS) * _ZONE_SECONDS
    return nearest != 0 and abs(behind - nearest) <= _ZONE_NEAR


def forget_old(connection: Connection, now: float) -> None:
    """Delete hosts that were not heard of for long."""
    connection.execute(delete(clocks).where(clocks.c.seen < now - _FORGOTTEN_SECONDS))


def _name(event: Event) -> str:
    """Return the sending host: what the event names, or where it came from."""
    named = event.get("host.name")
    if isinstance(named, str) and named:
        return named[:_LONGEST_HOST]
    return str(event.get("log.source.address", "")).rpartition(":")[0][:_LONGEST_HOST] or "-"


def _alert(row: dict[str, Any], observer: str) -> Event:
    about = f"{row['source']} {row['host']}"
    log("clocks").warning("mended" if row["raised"] else "off", about=about, behind=row["behind"])
    if row["raised"]:
        key, level = "clocks.clock_mended", "informational"
    else:
        key, level = "clocks.clock_zone" if is_zone(row["behind"]) else "clocks.clock_off", "medium"
    return told_alert(
        key, about, at_second(row["seen"]), observer, level, source=row["source"], host=row["host"],
        ours=at_second(row["seen"]), theirs=at_second(row["seen"] - row["behind"]), seconds=round(abs(row["behind"])),
    )  # fmt: skip

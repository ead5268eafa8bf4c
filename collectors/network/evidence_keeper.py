"""Alerts enter, the packets that they are about are saved in the state: before the recorder's files are overwritten.

An alert names addresses and a time; what was recorded between these addresses then, up to a bound, becomes a capture
file of its own, which the console, the API and `haidang evidence` give out wherever they run.
"""

import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import zstandard
from sqlalchemy import Connection, Engine, delete, func, select

from collectors.network.evidence import Wanted, packets_of
from pipeline.event import Event, to_micros
from pipeline.logs import log
from pipeline.state import insert_new
from pipeline.state.tables import alerts, evidence

#: How long after an alert its packets are taken, so that what followed is among them, in seconds.
_AFTER = 5.0
#: How much time before the first event and after the last one is looked at, and in all at the most, in microseconds.
_MARGIN, _MOST_TIME = 10_000_000, 3_600_000_000
#: Bytes of packets of one alert, and alerts that are looked after at once.
_MOST_BYTES, _AT_ONCE = 1_000_000, 50


class EvidenceKeeper:
    """Looks after the alerts of a site on the machine that has the packets."""

    def __init__(self, engine: Engine, folders: Mapping[str, Path], most_mb: int) -> None:
        """`folders`: of each interface, where its recorder writes."""
        self._engine = engine
        self._folders = folders
        self._most = most_mb * 1_000_000
        self._seen = (time.time(), "")
        self.kept = 0

    def look(self) -> None:
        """Save the packets of the alerts that came since the last time."""
        columns = alerts.c
        created, identifier = self._seen
        query = (
            select(columns.id, columns.created, columns.time, columns.document)
            .where((columns.created > created) | ((columns.created == created) & (columns.id > identifier)))
            .where(columns.created <= time.time() - _AFTER)
            .order_by(columns.created, columns.id)
            .limit(_AT_ONCE)
        )
        with self._engine.connect().execution_options(read_only=True) as connection:
            found = connection.execute(query).all()
        rows = [made for each in found for made in self._rows(each.id, each.document)]
        if rows:
            with self._engine.begin() as connection:
                insert_new(connection, evidence, rows, key=["alert", "interface"])
                self._make_room(connection)
            self.kept += len(rows)
        if found:
            self._seen = found[-1].created, found[-1].id

    def _rows(self, identifier: str, alert: Event) -> Sequence[dict[str, Any]]:
        wanted = wanted_of(alert)
        if wanted is None:
            return ()
        made = []
        for interface, folder in self._folders.items():
            data, count, full = packets_of(folder, wanted, _MOST_BYTES)
            if count:
                packed = zstandard.ZstdCompressor(level=3).compress(data)
                made.append({
                    "alert": identifier, "interface": interface[:100], "packets": count, "cut": full,
                    "size": len(packed), "created": time.time(), "data": packed,
                })  # fmt: skip
        return made

    def _make_room(self, connection: Connection) -> None:
        held = connection.scalar(select(func.sum(evidence.c.size))) or 0
        if held <= self._most:
            return
        oldest = select(evidence.c.alert, evidence.c.size).order_by(evidence.c.created)
        gone = []
        for row in connection.execute(oldest):
            if held <= self._most * 0.9:
                break
            gone.append(row.alert)
            held -= row.size
        for start in range(0, len(gone), 500):
            connection.execute(delete(evidence).where(evidence.c.alert.in_(gone[start : start + 500])))
        log("network").info("evidence_deleted", alerts=len(gone))


def wanted_of(alert: Event) -> Wanted | None:
    """Return which packets an alert is about; None where it names no address."""
    addresses = []
    for name in ("source.ip", "destination.ip"):
        try:
            addresses.append(ip_address(alert.get(name) or "").packed)
        except ValueError:
            continue
    if not addresses:
        return None
    last = to_micros(alert["@timestamp"])
    times = [last]
    for event in alert.get("alert.evidence") or []:
        for name in ("@timestamp", "event.start"):
            try:
                times.append(to_micros(event[name]))
            except (KeyError, TypeError, ValueError):
                continue
    end = max(times) + _MARGIN
    return Wanted(max(min(times) - _MARGIN, end - _MOST_TIME), end, tuple(dict.fromkeys(addresses)))

"""The inventory in the detectors' stage: events that behaviours read, too, enter; rows of the state leave.

Who was seen is saved in the transaction of the position from which events would be read again, so nothing is missed;
what is seen twice changes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select

from detectors.behaviour import Seen
from detectors.behaviours import kind_of
from detectors.devices.inventory import Holding, Inventory
from detectors.devices.sightings import sightings
from pipeline.event import Event, to_micros
from pipeline.logs import log
from pipeline.networks import Site
from pipeline.settings import Settings
from pipeline.state import upsert
from pipeline.state.tables import device_addresses, devices

_DAY = 86_400 * 1_000_000
#: How often what is too old is deleted, in microseconds of the events' time.
_CLEAN = _DAY // 4
_BATCH = 1000


class Keeper:
    """The site's inventory and its rows."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        """Go on from what was saved."""
        self._site = Site(settings.detectors.behaviours.local_networks)
        self._inventory = Inventory(settings.devices.most)
        self._keep = int(settings.devices.keep_days * _DAY)
        self._cleaned = self._clock = 0
        self.failed = 0
        with engine.connect().execution_options(read_only=True) as connection:
            last = (
                select(devices)
                .where(devices.c.merged_into == "")
                .order_by(devices.c.last_seen.desc())
                .limit(settings.devices.most)
                .subquery()
            )
            rows = connection.execute(select(last).order_by(last.c.last_seen)).mappings()
            self._inventory.load(map(dict, rows), _last_holdings(connection))

    def take(self, event: Event) -> None:
        """Take an event in; a fault of ours on one costs no other."""
        try:
            time = to_micros(event["@timestamp"])
            unit = event.get("organization.id")
            for sighting in sightings(Seen(event, "", kind_of(event), time), self._site):
                self._inventory.take(sighting, time, unit if isinstance(unit, str) else "")
            self._clock = max(self._clock, time)
        except Exception:
            self.failed += 1
            log("detectors").exception("device_failed", id=event.get("event.id"))

    def save(self, connection: Connection) -> None:
        """Save what has changed."""
        rows, holdings = self._inventory.changes()
        for start in range(0, len(rows), _BATCH):
            upsert(connection, devices, rows[start : start + _BATCH], key=["id"])
        moved = [
            {"address": each.address, "since": each.since, "until": each.until, "device": each.device}
            for each in holdings
        ]
        for start in range(0, len(moved), _BATCH):
            upsert(connection, device_addresses, moved[start : start + _BATCH], key=["address", "since"])
        if self._clock - self._cleaned > _CLEAN:
            self._cleaned = self._clock
            connection.execute(delete(device_addresses).where(device_addresses.c.until < self._clock - self._keep))
            connection.execute(delete(devices).where(devices.c.last_seen < self._clock - self._keep))

    def detail(self) -> Mapping[str, int]:
        """Return counts for the health page."""
        return {"known": len(self._inventory), "evicted": self._inventory.evicted, "failed": self.failed}


def _last_holdings(connection: Connection) -> Iterator[Holding]:
    """Yield who had each address last."""
    columns: Any = device_addresses.c
    last = select(columns.address, func.max(columns.since).label("since")).group_by(columns.address).subquery()
    query = select(device_addresses).join(last, (columns.address == last.c.address) & (columns.since == last.c.since))
    for row in connection.execute(query):
        yield Holding(row.address, row.since, row.until, row.device)

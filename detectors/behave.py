"""Behaviours in the detectors' stage: the topic `events` enters a second time, alerts of behaviours leave, and devices.

This reader has a position of its own, which is saved only together with all that the behaviours hold: after a kill the
events since then are read again and lead to the same alerts, with the same ids. Of a record only those lines are read
that tell of traffic or log-ins. Of several copies of the stage the one that leads does this, for all partitions; what
it saves is saved only while the first partition of the events is its own.
"""

import time
from collections.abc import Iterator
from typing import Any

import zstandard
from sqlalchemy import Connection, delete, select

from detectors.behaviours import All, wanted
from detectors.devices.keeping import Keeper
from pipeline import bus, shares
from pipeline.bus import Record
from pipeline.canaries import CANARY
from pipeline.event import Event, encode, to_micros
from pipeline.ledger import Tally
from pipeline.logs import log
from pipeline.records import complete, is_complete, parsed
from pipeline.stage import Consumer, Stage
from pipeline.state import positions
from pipeline.state.tables import behaviours as table

#: How often it is said that time has passed, in seconds.
_TICK_SECONDS = 2.0
#: How long nothing is heard of an import that is over, in seconds, at the least.
_IMPORT_SECONDS = 10.0
#: How often what is held is saved, in seconds, and how much of the time that may take at the most.
_SAVE_SECONDS, _SAVE_SHARE = 5.0, 0.05


class Behaving:
    """The behaviours of a site; an import's events are looked at among themselves."""

    def __init__(self, stage: Stage, shared: bool) -> None:
        """`shared`: there may be copies of the stage, which divide the topic among them by leases."""
        self._stage = stage
        self._shared = shared
        self._settings = stage.settings.detectors.behaviours
        self._consumer: Consumer | None = None
        self._held: dict[str, All] = {}
        self._devices: Keeper | None = None
        self._heard: dict[str, float] = {}
        self._unsaved = False
        self._behind = 0
        self._ticked = self._saved = time.monotonic()
        self._pause = _SAVE_SECONDS

    def alerts(self, leads: bool) -> list[Event]:
        """Read on, and return the alerts that came of it."""
        if not leads:
            self.close()
            return []
        if self._consumer is None:
            self._consumer = self._open()
        found: list[Event] = []
        for record in self._consumer.read():
            self._unsaved = True
            if record.source not in (CANARY, bus.OWN_RULES):
                found += self._read(record)
        return found + self._time_passes(self._consumer)

    def save(self) -> None:
        """The alerts were published: save what is held, with the position, now and then."""
        if time.monotonic() - self._saved >= self._pause:
            self._save()

    def end(self) -> None:
        """The stage stops: save."""
        self._save()

    def close(self) -> None:
        """Another copy does this now, from what was saved."""
        if self._consumer is not None:
            self._stage.consumers.remove(self._consumer)
            self._consumer.close()
            self._consumer = None
            self._held.clear()
            self._devices = None
            self._unsaved = False

    def detail(self) -> dict[str, Any]:
        """Return counts for the health page."""
        if "" not in self._held:
            return {}
        known = {"devices": self._devices.detail()} if self._devices is not None else {}
        return {"behaviours": {**self._held[""].detail(), "behind": self._behind}, **known}

    def _open(self) -> Consumer:
        """Go on from what was saved: position and state are of one transaction."""
        self._held = {"": All(self._settings)}
        if self._stage.settings.devices.enabled:
            self._devices = Keeper(self._stage.settings, self._stage.engine)
        pieces: dict[str, list[bytes]] = {}
        consumer = Consumer(self._stage, bus.EVENTS, f"{self._stage.name}:behaviours")
        consumer.start_at(positions.load(self._stage.engine, self._stage.name, bus.EVENTS))
        consumer.commit(lambda _connection: None)  # from now on nothing that it must read is deleted
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            for scope, data in connection.execute(select(table.c.scope, table.c.data).order_by(table.c.piece)):
                pieces.setdefault(scope, []).append(data)
        for scope, packed in pieces.items():
            unpacker = zstandard.ZstdDecompressor()
            self._scope(scope).load(unpacker.decompress(piece) for piece in packed)
        return consumer

    def _scope(self, name: str) -> All:
        """Return the behaviours of the site, or those of an import: it comes in any order, so it waits for its end."""
        if name not in self._held:
            self._held[name] = All(self._settings, float("inf"))
            self._heard[name] = time.monotonic()
        return self._held[name]

    def _read(self, record: Record) -> Iterator[Event]:
        scope = bus.IMPORT if record.source == bus.IMPORT else ""
        for number, line, event in parsed(record, Tally(), wanted):
            behaviours = self._scope(scope)
            self._heard[scope] = time.monotonic()
            if not is_complete(event):
                event = complete(event, record, number)  # noqa: PLW2901 - the same one, with what it lacked
                line = encode(event)  # noqa: PLW2901
            if self._devices is not None and not scope:  # a file may be of another place, or of long ago
                self._devices.take(event)
            yield from behaviours.feed(event, bytes(line), _received(event), str(record.partition))

    def _time_passes(self, consumer: Consumer) -> list[Event]:
        """Say that time has passed where all was read; an import of which nothing is heard any more is over."""
        if time.monotonic() - self._ticked < _TICK_SECONDS or self._stage.bus.fault:
            return []
        self._ticked = time.monotonic()
        self._behind = consumer.backlog()
        found: list[Event] = []
        site = self._held[""]
        if not self._behind:
            self._unsaved = self._unsaved or site.waits
            found += site.advance(time.time_ns() // 1000)
        for name in [name for name in self._held if name]:
            heard = self._heard.setdefault(name, time.monotonic())
            if time.monotonic() - heard > max(self._settings.lateness_seconds, _IMPORT_SECONDS):
                self._unsaved = True
                found += self._held.pop(name).finish()
        return found

    def _save(self) -> None:
        started = time.monotonic()
        if self._unsaved and self._consumer is not None:
            held = self._packed()  # before the transaction: the other stages write the state meanwhile
            try:
                self._consumer.commit(lambda connection: self._write(connection, held))
            except shares.LeaseLost:
                self.close()
                return
            self._unsaved = False
        self._saved = time.monotonic()
        took = self._saved - started
        self._pause = max(_SAVE_SECONDS, took / _SAVE_SHARE)
        if took > _SAVE_SECONDS:
            log("detectors").warning("behaviours_saved_slowly", seconds=round(took, 1))

    def _packed(self) -> list[dict[str, Any]]:
        """Return all that is held as rows."""
        packer = zstandard.ZstdCompressor(level=1)
        return [
            {"scope": scope, "piece": number, "data": packer.compress(piece)}
            for scope, behaviours in self._held.items()
            for number, piece in enumerate(behaviours.dump())
        ]

    def _write(self, connection: Connection, held: list[dict[str, Any]]) -> None:
        if self._shared:
            shares.extend(connection, self._stage.name, bus.EVENTS, self._stage.instance, {0})
        if self._devices is not None:
            self._devices.save(connection)
        connection.execute(delete(table))
        if held:
            connection.execute(table.insert(), held)


def _received(event: Event) -> int:
    """Return when an event was received; now where it does not say so, else its time alone would move the clock."""
    try:
        return to_micros(event["event.ingested"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return time.time_ns() // 1000

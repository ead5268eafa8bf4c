"""The watch over the corridor itself: what canaries, sources and clocks show enters, alerts of our own leave.

One copy of the stage watches, the one that leads.
"""

import threading
import time

from sqlalchemy import Connection

from pipeline import audit, canaries, clocks, habits, shares
from pipeline.cases import clocks as case_clocks
from pipeline.delivery import watching
from pipeline.delivery.routing import Routing, zone_of
from pipeline.event import Event
from pipeline.logs import log, remembered
from pipeline.own_alerts import told_alert
from pipeline.queue import aging, counts, risk
from pipeline.stage import Stage
from pipeline.state import database_time
from pipeline.store import open_reader
from pipeline.store.retention import days_of_level
from pipeline.systems import register
from pipeline.systems import shares as systems
from response.queue import row, save

#: How often it is looked, in seconds.
_LOOK_SECONDS = 1.0
#: How often delivery is judged, in seconds.
_JUDGE_SECONDS = 10.0
#: How often what is too old is deleted, in seconds.
_CLEAN_SECONDS = 3600.0
#: How often it is listened which systems of the register are heard of, in seconds.
_LISTEN_SECONDS = 900.0
#: How often the whole audit is held to its hashes, in seconds: a million rows take about seven.
_VERIFY_SECONDS = 6 * 3600.0


class Watch:
    """What one copy watches for as long as it leads; what was before its time is not judged."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._since: float | None = None
        self._looked = 0.0
        self._judged = 0.0
        self._cleaned = -_CLEAN_SECONDS
        self._verified = -_VERIFY_SECONDS
        self._listened = -_LISTEN_SECONDS
        self._listener: threading.Thread | None = None
        self._habits = habits.Watcher()
        self._routing = Routing(stage.settings)

    def look(self, leads: bool) -> None:
        """Look at everything that is due, and put the alerts into the queue."""
        if not leads:
            self._since = None
            return
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        tampered = self._of_audit()
        self._listen()
        with self._stage.engine.begin() as connection:
            shares.take_turns(connection, "response", "watch")  # while the lead changes there may be two
            if self._since is None:
                self._since = database_time(connection)
            alerts = [*self._alerts(connection, self._since), *tampered]
            settings = self._stage.settings
            rows = [row(alert, "haidang") for alert in alerts]
            save(connection, rows, settings.queue, settings.observer, self._routing)
            if time.monotonic() - self._cleaned > _CLEAN_SECONDS:
                self._cleaned = time.monotonic()
                days = max(settings.queue.keep_days, days_of_level(settings))
                if aging.forget_old(connection, time.time(), days):
                    self._cleaned -= _CLEAN_SECONDS  # there is more: at the next look
                habits.forget_old(connection, time.time())
                clocks.forget_old(connection, time.time())
                risk.forget_old(connection, time.time())
                counts.recount(connection)

    def _listen(self) -> None:
        """Hear which systems of the register are monitored; in a thread, for a search may take a while."""
        if time.monotonic() - self._listened < _LISTEN_SECONDS or (self._listener and self._listener.is_alive()):
            return
        self._listened = time.monotonic()
        self._listener = threading.Thread(target=_hear, args=(self._stage,), name="systems", daemon=True)
        self._listener.start()

    def _of_audit(self) -> list[Event]:
        """Return the alert on an audit that is not what it was; outside of any transaction, for it takes a while."""
        if time.monotonic() - self._verified < _VERIFY_SECONDS:
            return []
        settings = self._stage.settings
        found = audit.verify(self._stage.engine, remembered(settings.data_dir, "audit_head", "digest"))
        self._verified = time.monotonic()
        if found.whole:
            return []
        occasion = f"{found.broken} {found.cut} {' '.join((*found.lost, *found.unguarded, *found.gone))}"
        return [told_alert("audit.tampered", "audit", occasion, settings.observer, "critical", rows=found.rows)]

    def _alerts(self, connection: Connection, since: float) -> list[Event]:
        settings = self._stage.settings
        alerts: list[Event] = []
        if settings.canary.minutes:
            alerts += canaries.judge(connection, settings.canary, since, settings.observer)
        alerts += clocks.judge(connection, settings.watch.clock_seconds, settings.observer)
        alerts += case_clocks.judge(connection, time.time(), settings.cases, settings.observer)
        if settings.watch.quiet_sources:
            alerts += self._habits.look(connection, time.time(), settings.observer)
        if time.monotonic() - self._judged > _JUDGE_SECONDS:
            self._judged = time.monotonic()
            alerts += watching.judge(connection, settings, since, time.time())
        return alerts


def _hear(stage: Stage) -> None:
    settings = stage.settings
    try:
        with stage.engine.connect().execution_options(read_only=True) as connection:
            if not register.listed(connection):
                return
        reader = open_reader(settings.data_dir, settings.store)
        try:
            systems.listen(stage.engine, reader, time.time())
        finally:
            reader.close()
        with stage.engine.begin() as connection:
            systems.note_day(connection, time.time(), zone_of(settings))
    except Exception as error:  # a store that is away, a state that is: at the next time
        log("systems").warning("not_heard", reason=str(error)[:300])

"""Indicators in the detectors' stage: events enter, alerts leave; what is in force is followed without a pause.

An index of ten million is not made in this process, nor is a list fetched or the store searched: each is work of a
process of its own, so that neither its load nor what is wrong with a list can hold the detectors. Every machine makes
its own index; lists are brought and the store is searched where the copy of the stage is that leads.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from detectors.indicators import kept, ready
from detectors.indicators.alerting import Told, alerts_of
from detectors.indicators.allow import Allow, of_settings
from detectors.indicators.index import Index, open_newest
from detectors.indicators.matcher import Matcher
from detectors.indicators.refreshing import due
from detectors.indicators.warnings import waiting
from pipeline.event import Event, at_second
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.networks import Site
from pipeline.own_alerts import told_alert
from pipeline.settings import Indicators as Settings
from pipeline.settings.indicators import LIVE
from pipeline.stage import STATE_AWAY, Stage

#: How often it is looked what is in force, in seconds.
_LOOK_SECONDS = 2.0
#: How long after a process has failed it is started again, in seconds.
_PAUSE_SECONDS = 30.0
#: How old a search must be before it runs: by then every copy looks up what it is about, and what was on its way is
#: stored.
SETTLED_SECONDS = 10.0
#: Lists that the health page names.
_MOST_NAMED = 50
_HOUR, _DAY = 3600.0, 86_400.0
BUILD, REFRESH, SEARCH = "build", "refresh", "search"


class Watching:
    """What is in force, and the work on it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._settings = stage.settings.indicators
        self._site = Site(stage.settings.detectors.behaviours.local_networks)
        self._told = Told()
        self._index: Index | None = None
        self._index_name = ""
        self._seen: tuple[Any, ...] = ()
        self._looked = 0.0
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._paused: dict[str, float] = {}
        self._alerts: list[Event] = []
        self._feeds: list[kept.Feed] = []
        self._started = time.time()
        self._fault = ""
        self._failed: dict[str, int] = {}
        self._allow = Allow(())
        self._matcher = Matcher((), self._allow)
        self.counts = {"alerts": 0, "failed": 0}
        self._load_allow()
        self._await_first()

    @property
    def active(self) -> bool:
        """Whether there is anything to look for."""
        return self._matcher.count > 0

    def examine(self, event: Event) -> list[Event]:
        """Return the new alerts of an event that has an id and a readable time."""
        try:
            hits = self._matcher.hits(event)
            found = self._told.new(alerts_of(event, hits, self._site)) if hits else []
        except Exception:  # a fault of ours on one event must cost no other
            self.counts["failed"] += 1
            log("detectors").exception("indicators_failed", id=event.get("event.id"))
            return []
        self.counts["alerts"] += len(found)
        return found

    def look(self, leads: bool) -> None:
        """Take over what is new; start what is due. Costs nothing most of the time."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._see()
        with suppress(*STATE_AWAY):  # the work itself finds out, too
            self._follow()
            if leads:
                self._lead()

    def alerts(self) -> list[Event]:
        """Return alerts of our own, once."""
        found, self._alerts = self._alerts, []
        return found

    def detail(self) -> dict[str, Any]:
        """Return what the health page says."""
        if not self._feeds and not self.active and not self._fault and not self._failed:
            return {}
        shown = [
            {
                "name": each.name, "count": each.count, "refreshed": each.refreshed, "error": each.error,
                "stale": self._is_stale(each), "refused": sum(each.detail.get("refused", {}).values()),
            }
            for each in self._feeds[:_MOST_NAMED]
        ]  # fmt: skip
        return {
            "indicators": {
                "count": self._matcher.count, "working": sorted(self._children), "repeated": self._told.repeated,
                "fault": self._fault or self._work_fault(), "feeds": shown, **self.counts,
            }
        }  # fmt: skip

    def close(self) -> None:
        """End what runs; it goes on next time from what it has kept."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()

    def _load_allow(self) -> None:
        try:
            self._allow, self._fault = of_settings(self._settings), ""
        except HaidangError as error:  # without it there would be alerts on what must not alert: the last one stays
            self._fault = str(error)
            log("detectors").error("allow_list", reason=self._fault)
            if not self._allow.entries:
                self._allow = of_settings(Settings())

    def _await_first(self) -> None:
        """Where this machine has no index at all, wait for it: until then nothing would be found."""
        place = ready.place_of(self._stage.settings)
        name = ready.wanted(self._stage.engine, self._allow)
        if name and open_newest(place, name) is None and not self._open_any():
            self._start(BUILD)
            while BUILD in self._children and not self._stage.stopping.wait(0.2):
                self._see()
                self._stage.beat(detail={"waits": say("indicators.first_index")})
        self._follow()

    def _open_any(self) -> bool:
        """Begin with the index of an earlier version, if there is one."""
        place = ready.place_of(self._stage.settings)
        for path in place.iterdir() if place.is_dir() else ():
            if not path.name.startswith(".") and (index := open_newest(place, path.name)) is not None:
                self._index, self._index_name = index, path.name
                return True
        return False

    def _follow(self) -> None:
        engine = self._stage.engine
        found = kept.versions(engine)
        name = kept.signature(found, self._allow.entries)
        if name != self._index_name:
            index = open_newest(ready.place_of(self._stage.settings), name) if name else None
            if index is not None or not name:
                self._index, self._index_name = index, name
            else:
                self._start(BUILD)
        self._feeds = kept.feeds(engine)
        seen = (self._index_name, found.get(LIVE), tuple((each.name, each.ends) for each in self._feeds))
        if seen != self._seen:
            self._matcher = ready.matcher(engine, self._index, self._allow)
            self._seen = seen

    def _lead(self) -> None:
        stage, now = self._stage, time.time()
        if due(stage.engine, stage.settings, now) or self._has_unnamed() or waiting(stage.engine):
            self._start(REFRESH)
        searches = kept.searches(stage.engine, waiting=True)
        if any(abs(now - each.created) >= SETTLED_SECONDS for each in searches) and BUILD not in self._children:
            self._start(SEARCH)
        self._tell_stale(now)

    def _has_unnamed(self) -> bool:
        named = {feed.name for feed in self._settings.feeds}
        return any(each.kind != kept.IMPORTED and each.name not in named for each in self._feeds)

    def _is_stale(self, feed: kept.Feed) -> bool:
        hours = next((each.stale_hours for each in self._settings.feeds if each.name == feed.name), 0.0)
        return bool(hours) and time.time() - max(feed.refreshed, 0 if feed.refreshed else self._started) > hours * _HOUR

    def _tell_stale(self, now: float) -> None:
        for each in filter(self._is_stale, self._feeds):
            day = at_second(now // _DAY * _DAY)[:10]
            alert = told_alert(
                "detectors.indicators_stale", each.name, day, self._stage.settings.observer,
                feed=each.name, refreshed=at_second(each.refreshed) if each.refreshed else "-",
                reason=each.error or "-",
            )  # fmt: skip
            self._alerts += self._told.new([alert])

    def _start(self, work: str) -> None:
        if work in self._children or time.monotonic() < self._paused.get(work, 0.0):
            return
        command = [sys.executable, "-P", "-m", "detectors.indicators", work]
        self._children[work] = subprocess.Popen(  # noqa: S603 - our own module
            command, env={**os.environ, "HAIDANG_DATA_DIR": str(self._stage.settings.data_dir)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _work_fault(self) -> str:
        """Say what has failed, and is tried again."""
        return " ".join(
            say("indicators.work_failed", work=work, status=status) for work, status in self._failed.items()
        )

    def _see(self) -> None:
        """See what became of what was started."""
        for work, child in list(self._children.items()):
            status = child.poll()
            if status is None:
                continue
            del self._children[work]
            self._failed.pop(work, None)
            if status:
                self._failed[work] = status
                self._paused[work] = time.monotonic() + _PAUSE_SECONDS
                log("detectors").error("indicators_work_failed", work=work, status=status)

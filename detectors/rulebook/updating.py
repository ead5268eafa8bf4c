"""Packs that are updated by themselves: when one is due `haidang rules update` runs; what it could not do is told.

It runs as a process of its own: loading thousands of rules must not slow the detectors, and what is wrong with a
pack, or with where it comes from, must not stop them.
"""

import os
import subprocess
import sys
import time

from sqlalchemy.exc import SQLAlchemyError

from detectors.rulebook import revisions
from detectors.rulebook.book import Pack
from pipeline.command import show
from pipeline.event import Event, at_second
from pipeline.logs import log
from pipeline.messages import say
from pipeline.own_alerts import told_alert
from pipeline.stage import Stage

#: Set for the command: the history then names the site, and no person.
AUTOMATIC_VARIABLE = "HAIDANG_AUTOMATIC"
#: How often it is looked whether a pack is due, in seconds.
_LOOK_SECONDS = 5.0
#: How long an update may take, in seconds.
_PATIENCE = 1800
_HOUR_SECONDS = 3600.0
_MAX_WORDS = 2000


class Updates:
    """Looks for updates of the packs that ask for it; of several copies one does."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._looked = 0.0
        self._last: dict[str, float] = {}  # when updates of a pack were looked for, by a clock that only goes forward
        self._running: tuple[str, float, subprocess.Popen[bytes]] | None = None
        self._alerts: list[Event] = []

    def look(self, leads: bool) -> None:
        """Start an update that is due; see what became of the one that runs. `leads`: whether it is ours to do."""
        if self._running is not None:
            self._see()
            return
        now = time.monotonic()
        if not leads or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            packs = revisions.current(self._stage.engine).book.packs
        except SQLAlchemyError:  # the work itself finds out, too
            return
        for name, pack in packs.items():
            if pack.every_hours and pack.source and now - self._since(name, pack) >= pack.every_hours * _HOUR_SECONDS:
                self._start(name, now)
                return

    def alerts(self) -> list[Event]:
        """Return the alerts about updates that failed, once."""
        found, self._alerts = self._alerts, []
        return found

    def close(self) -> None:
        """End what runs; it changes the rulebook in one transaction, or not at all."""
        if self._running is not None:
            self._running[2].kill()
            self._running[2].communicate()
            self._running = None

    def _since(self, name: str, pack: Pack) -> float:
        """Return when updates were looked for last; after a start, when the pack came."""
        return self._last.setdefault(name, time.monotonic() - max(time.time() - pack.added, 0.0))

    def _start(self, name: str, now: float) -> None:
        self._last[name] = now
        command = [sys.executable, "-c", "import sys; from pipeline.command import main; sys.exit(main())"]
        environment = {**os.environ, AUTOMATIC_VARIABLE: "1", "HAIDANG_DATA_DIR": str(self._stage.settings.data_dir)}
        log("detectors").info("rules_update", pack=name)
        process = subprocess.Popen(  # noqa: S603 -- our own command; the name of a pack has no spaces or signs
            [*command, "rules", "update", name], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._running = (name, now, process)

    def _see(self) -> None:
        assert self._running is not None
        name, started, process = self._running
        status = process.poll()
        too_slow = status is None and time.monotonic() - started >= _PATIENCE
        if too_slow:
            process.kill()
            status = process.wait()  # not 0: what takes too long has failed
        if status is None:
            return
        words = process.communicate()[1].decode("utf-8", "replace").strip()[:_MAX_WORDS]
        if too_slow:
            words = f"{say('detectors.rules_update_slow', seconds=show.number(_PATIENCE))} {words}".strip()
        self._running = None
        if status:
            log("detectors").error("rules_update_failed", pack=name, status=status, reason=words)
            occasion = at_second(time.time() // _HOUR_SECONDS * _HOUR_SECONDS)[:10]
            self._alerts.append(
                told_alert(
                    "detectors.rules_update_failed", name, f"{occasion} {words}", self._stage.settings.observer,
                    pack=name, reason=words or f"exit status {status}",
                )
            )  # fmt: skip

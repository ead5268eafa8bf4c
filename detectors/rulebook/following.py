"""The detectors follow the rulebook: a new revision enters, rules that have proved themselves leave, without a stop.

A revision is loaded beside the work. It is used once a canary, a marked event of ours, was found through it as any
event is; one that cannot be loaded or does not find it is taken out of force, on every machine, and the one before it
stays in use.
"""

import threading
import time
from dataclasses import dataclass

from detectors.rulebook import revisions
from detectors.rulebook.loading import CANARY_RULE, Loaded, load, place_of, tidy
from detectors.rulebook.revisions import Revision
from detectors.sigma.prefilter import Prefilter
from detectors.sigma.ruleset import Library
from pipeline.canaries import CANARY, MARK
from pipeline.event import Event, at_second, encode, event_id
from pipeline.logs import log
from pipeline.own_alerts import told_alert
from pipeline.stage import STATE_AWAY, Stage

#: How often it is asked whether there is a new revision, in seconds.
_POLL_SECONDS = 0.25
#: The longest a thread that loads is waited for when the stage stops, in seconds.
_STOP_SECONDS = 10.0


class CanaryLost(Exception):
    """The rules did not find a canary."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Rules that have proved themselves: a canary was found through them at `proved` (seconds since 1970)."""

    loaded: Loaded
    prefilter: Prefilter
    proved: float | None = None


def ready(loaded: Loaded) -> Ready:
    """Prepare rules, and prove them with a canary.

    Raises:
        CanaryLost: they do not find it.
    """
    prefilter = Prefilter(loaded.rules.rules)
    canary: Event = {
        "@timestamp": at_second(time.time()), "event.id": event_id(CANARY, "rulebook", loaded.revision.number),
        "event.dataset": "haidang.canary", "labels.source": CANARY, MARK: "rulebook",
        "event.original": f"haidang-canary rulebook {loaded.revision.number}",
    }  # fmt: skip
    found = [
        rule for number, _ in prefilter.candidates([encode(canary)]) for rule in prefilter.matching(number, canary)
        if rule.path == str(CANARY_RULE) and rule.explain(canary)
    ]  # fmt: skip
    if not found:
        raise CanaryLost("a canary that was examined with the new rules was not found")
    return Ready(loaded, prefilter, time.time())


class Follower:
    """Follows the rulebook in the state."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._thread: threading.Thread | None = None
        self._made: Ready | None = None
        self._asked = 0.0
        self._library = Library()
        self._alerts: list[Event] = []
        self._current = self._first()

    @property
    def current(self) -> Ready:
        """The rules in use."""
        return self._current

    def changed(self) -> bool:
        """Say whether `current` is another one now. Costs nothing most of the time."""
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread = None
        if self._made is not None:
            self._current, self._made = self._made, None
            return True
        now = time.monotonic()
        if now - self._asked >= _POLL_SECONDS:
            self._asked = now
            if self._is_old():
                self._thread = threading.Thread(target=self._load, name="rulebook", daemon=True)
                self._thread.start()
        return False

    def alerts(self) -> list[Event]:
        """Return the alerts about revisions that failed, once."""
        found, self._alerts = self._alerts, []
        return found

    def close(self) -> None:
        """Wait for what is being loaded: it writes."""
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _is_old(self) -> bool:
        used = self._current.loaded
        if used.next_expiry is not None and time.time() >= used.next_expiry:
            return True
        try:
            return revisions.current_number(self._stage.engine) != used.revision.number
        except STATE_AWAY as error:  # the work itself finds out, too
            log("detectors").error("rulebook_not_asked", reason=str(error.orig))
            return False

    def _load(self) -> None:
        try:
            revision = revisions.current(self._stage.engine)
        except STATE_AWAY as error:
            log("detectors").error("rulebook_not_read", reason=str(error.orig))
            return
        self._made = self._tried(revision)

    def _first(self) -> Ready:
        """Load the revision in force, or the newest before it that works. The empty one works or nothing does."""
        while True:
            revision = revisions.current(self._stage.engine)
            made = self._tried(revision)
            if made is not None:
                return made

    def _tried(self, revision: Revision) -> Ready | None:
        started = time.monotonic()
        try:
            made = ready(load(self._stage.engine, self._stage.settings, revision, self._library))
            tidy(place_of(self._stage.settings), revision.book)
        except STATE_AWAY:
            if threading.current_thread() is threading.main_thread():
                raise
            return None
        except Exception as error:  # whatever is wrong with a revision, the one before it is not
            if revision.number == 0:
                raise
            self._failed(revision, error)
            return None
        log("detectors").info(
            "rules", revision=revision.number, loaded=len(made.loaded.rules.every), **made.loaded.counts(),
            refused=len(made.loaded.rules.refused), seconds=round(time.monotonic() - started, 2),
        )  # fmt: skip
        return made

    def _failed(self, revision: Revision, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        log("detectors").error("rulebook_failed", revision=revision.number, reason=reason)
        if revisions.fail(self._stage.engine, revision.number, reason):
            self._alerts.append(
                told_alert(
                    "detectors.rulebook_failed", f"revision {revision.number}", str(revision.time),
                    self._stage.settings.observer, "high",
                    revision=revision.number, who=revision.who, action=revision.action, reason=reason,
                )
            )  # fmt: skip

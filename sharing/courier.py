"""A courier for each profile: what is new becomes messages, these are signed and sent in order, answers are kept.

What a kill keeps from being saved is done again: a message is built in the transaction that notes its alerts, its bytes
are saved before they leave, and what was sent without its receipt being saved is sent again, the same bytes.
"""

import http.client
import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection

from pipeline.delivery.book import Outcome
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.outward import Stopped, reason
from pipeline.outward.posting import Answer, Forbidden, Poster, retry_after
from pipeline.outward.watchdog import Watchdog
from pipeline.shares import LeaseLost
from pipeline.stage import STATE_AWAY, Stage
from sharing import INCIDENT, STATISTICS, book, inbox, polling
from sharing.drafting import build
from sharing.formats import FORMATS, format_of
from sharing.profile import Named

#: How often a courier looks whether something is to be done, in seconds.
_LOOK_SECONDS = 1.0
#: After a fault that a person must mend (a key, a certificate) it is tried again so often, in seconds.
_FAULT_SECONDS = 60.0

#: What a courier does, in this order.
_STEPS = ("files", "collections", "warnings", "build", "sign", "send")


class Courier(threading.Thread):
    """Builds, signs and sends the messages of one profile, for as long as this copy leads."""

    def __init__(
        self,
        stage: Stage,
        named: Named,
        watchdog: Watchdog,
        leads: threading.Event,
        confirm: Callable[[Connection], None],
    ) -> None:
        """`confirm` is called in every transaction that changes something: it raises LeaseLost where another leads."""
        super().__init__(name=f"courier-{named.name}", daemon=True)
        self.named = named
        self._stage, self._leads, self._confirm = stage, leads, confirm
        self._format = FORMATS[named.profile.format]
        end = named.profile.endpoint
        self._poster = Poster(
            watchdog, end.timeout_seconds, end.allow_private, end.ca, end.certificate, end.key
        )  # fmt: skip
        self._ended = threading.Event()
        self._paused: dict[str, float] = {}  # monotonic, by step: after a fault that a person must mend

    def end(self) -> None:
        """Let it end after what it is at."""
        self._ended.set()

    def run(self) -> None:
        """Work until the end; whatever goes wrong, go on."""
        while not self._ended.wait(_LOOK_SECONDS):
            if self._leads.is_set():
                self.work()
        self._poster.close()

    def work(self) -> None:
        """Take warnings in, build what it is time for, sign what people have agreed to, send what waits.

        A step that fails holds no other: what was signed leaves, also when the certificate for signing is over by now.
        """
        engine, named = self._stage.engine, self.named
        steps: tuple[Callable[[], object], ...] = (
            lambda: inbox.take_files(engine, self._stage.settings, named),
            lambda: polling.poll(engine, named, time.time()),
            lambda: inbox.work(engine, named.name, named, time.time()),
            lambda: self.build(time.time()),
            self.sign,
            self._send_all,
        )
        for name, step in zip(_STEPS, steps, strict=True):
            if self._ended.is_set() or time.monotonic() < self._paused.get(name, 0.0):
                continue
            try:
                step()
            except (LeaseLost, *STATE_AWAY) as error:
                log("sharing").warning("not_saved", profile=named.name, step=name, reason=str(error)[:300])
                return
            except Exception as error:  # a fault that a person must mend, or one of ours: told, and tried again
                self._paused[name] = time.monotonic() + _FAULT_SECONDS
                self._fail(error)

    def _send_all(self) -> None:
        while not self._ended.is_set() and self.send():
            pass

    def _fail(self, error: Exception) -> None:
        if isinstance(error, HaidangError):
            log("sharing").error("cannot_go_on", profile=self.named.name, reason=str(error)[:300])
        else:
            log("sharing").exception("fault", profile=self.named.name)
        try:
            with self._stage.engine.begin() as connection:
                book.note_fault(connection, self.named.name, str(error) or type(error).__name__, time.time())
        except STATE_AWAY as away:
            log("sharing").warning("not_saved", profile=self.named.name, reason=str(away)[:300])

    def build(self, now: float) -> int:
        """Build messages about what is new, if it is time; return how many."""
        if STATISTICS not in self._format.kinds:
            return 0
        row, every = book.peek(self._stage.engine, self.named.name), self.named.profile.schedule.every_minutes * 60
        if row is not None and row.built_until <= now < row.built_until + every:
            return 0
        engine, settings = self._stage.engine, self._stage.settings
        return len(build(engine, settings, self.named, self._confirm, lambda: not self._ended.is_set()))

    def sign(self) -> int:
        """Sign what people have agreed to; return how many."""
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            waiting = book.to_sign(connection, self.named.name)
        for row in waiting:
            profile = self.named.profile
            signed = format_of(profile, row.kind).sign(profile, bytes(row.content))
            with self._stage.engine.begin() as connection:
                self._confirm(connection)
                mine = book.known(connection, self.named.name, time.time())
                leaves = profile.is_carried(row.kind) or (
                    bool(profile.address(row.kind)) and book.is_confirmed(mine, self.named)
                )
                book.note_signed(connection, row, signed, leaves, time.time())
        return len(waiting)

    def send(self) -> bool:
        """Send the message that is first in order, if it is due; whether another one may follow at once."""
        now, profile = time.time(), self.named.profile
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            row = book.first_queued(connection, self.named.name, profile.is_carried(INCIDENT))
        if row is None or not book.is_due(row, now):
            return False
        with self._stage.engine.begin() as connection:
            self._confirm(connection)  # what another copy is at is not sent by us as well
            mine = book.known(connection, self.named.name, now)
        if not book.is_confirmed(mine, self.named):
            return False
        outcome, answer = self._posted(row.kind, bytes(row.signed))
        now = time.time()
        with self._stage.engine.begin() as connection:
            self._confirm(connection)
            retry_seconds = self.named.profile.retry_hours * 3600
            status = book.note_tried(connection, row, outcome, answer, now, retry_seconds)
            if outcome.status == "sent" and mine.failures:
                book.release(connection, self.named.name, now)
        log("sharing").info("tried", profile=self.named.name, message=row.number, status=status, code=row.code)
        return outcome.status != "failed"

    def _posted(self, kind: str, data: bytes) -> tuple[Outcome, Answer | None]:
        profile = self.named.profile
        written = format_of(profile, kind)
        try:
            answer = written.post(profile, self._poster, data)
        except Forbidden as error:
            return Outcome("failed", say("sharing.forbidden", fault=reason(error)), away=True), None
        except (OSError, http.client.HTTPException, Stopped) as error:
            return Outcome("failed", reason(error), away=True), None
        outcome = written.judge(answer)
        if outcome.status == "failed":
            again = retry_after(answer.headers, time.time())
            outcome = Outcome("failed", outcome.answer, away=True, again=min(again or 0.0, 3600.0))
        return outcome, answer

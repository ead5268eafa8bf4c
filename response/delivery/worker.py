"""A channel's worker: messages that are due enter, they are sent, and their receipts leave into the state.

Each channel has its own thread and its own connection. Receipts are saved a few times a second together, in a
transaction that also says that this copy still leads: what a kill keeps from being saved is sent again, under its id.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from pipeline.delivery import DIGEST, ESCALATION, HEARTBEAT, SENT, TEST, book, testing
from pipeline.delivery.book import Gathering, Outcome
from pipeline.delivery.routing import begun, zone_of
from pipeline.event import Event
from pipeline.logs import log
from pipeline.messages import language, say, speaking
from pipeline.outward import Stopped, reason
from pipeline.queue import NEW
from pipeline.queue.showing import shown
from pipeline.settings.delivery import Channel, EmailChannel, WebhookChannel
from pipeline.shares import LeaseLost
from pipeline.stage import STATE_AWAY, Stage
from pipeline.state.tables import alerts, channels
from response.delivery.message import Message
from response.delivery.sender import Sender

#: Messages that are taken together.
_BATCH = 100
#: How long receipts are gathered before they are saved together, in seconds: each saving waits for the disk.
_SAVE_SECONDS = 0.2
#: How often a channel with nothing to send looks for something, in seconds.
_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.5, 5.0
#: The longest pause of a channel that does not answer, in seconds: so soon is it noticed that it is back.
_LONGEST_PAUSE = 60.0
#: So many messages in a row that failed, and the channel is taken to be away.
_AWAY_AFTER = 3
#: So many in a row, and what is older than the longest time of trying is dead without a try of its own.
_GONE_AFTER = 20
#: A receipt that could not be saved is tried again after so many seconds.
_STATE_PAUSE = 1.0


class Worker(threading.Thread):
    """Sends one channel's messages for as long as this copy leads."""

    def __init__(
        self,
        stage: Stage,
        channel: Channel,
        sender: Sender,
        ended: threading.Event,
        leads: threading.Event,
        confirm: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """It works until `ended` is set, and while `leads` is. `confirm` is called in the transaction of receipts;
        it raises LeaseLost where another copy leads."""
        super().__init__(name=f"channel-{channel.name}", daemon=True)
        self.channel = channel
        self._stage, self._sender, self._confirm = stage, sender, confirm
        self._ended, self._leads = ended, leads
        self._zone = zone_of(stage.settings)
        self._language = channel.language if channel.language != "auto" else language()
        self._failures = 0
        self._answers = False  # it has taken or refused something that is not noted yet
        self._is_back = False
        self._was_away = True  # what an earlier run left waiting may be tried with the first that is taken
        self._paused_until = 0.0  # monotonic
        self._allowance = _Allowance(channel.rate_per_minute)

    def run(self) -> None:
        """Work until the end; whatever goes wrong, go on."""
        with speaking(self._language):
            while not self._ended.is_set():
                started = time.monotonic()
                try:
                    worked = self._leads.is_set() and time.monotonic() >= self._paused_until and self.work() > 0
                except (LeaseLost, *STATE_AWAY) as error:
                    log("delivery").warning("not_saved", channel=self.channel.name, reason=str(error)[:300])
                    self._ended.wait(_STATE_PAUSE)
                    worked = False
                except Exception as error:  # a fault of ours: told, and the other messages go on
                    log("delivery").exception("fault", channel=self.channel.name)
                    self._fail(Outcome("failed", f"{type(error).__name__}: {reason(error)}", away=True))
                    worked = False
                if not worked:  # a look at very many that must wait takes its time: at most a tenth of it
                    self._ended.wait(min(max(_LOOK_SECONDS, 9 * (time.monotonic() - started)), _LONGEST_LOOK_SECONDS))
            self._sender.close()

    def work(self) -> int:
        """Send what is due, as far as the rate allows; return how many were tried."""
        limit = self._allowance.count(_BATCH)
        if not limit:
            return 0
        messages = self._take(limit)
        if not messages:
            return 0
        return self._carry_out(messages)

    def _take(self, limit: int) -> list[Message | tuple[Any, Outcome]]:
        """Return messages that are due; with their outcome those that need not be sent any more."""
        channel, now = self.channel, time.time()
        quiet = book.below(channel.quiet_below) if self._is_quiet(now) else ()
        gathering = self._gathering()
        if gathering is not None:
            self._gather(now, quiet, gathering)
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            rows = book.due(connection, channel.name, now, quiet, gathering, limit)
            parts = book.parts_of(connection, [row.id for row in rows if row.kind == DIGEST])
            wanted_alerts = {row.alert for row in rows if row.alert}.union(*parts.values())
            found = _alerts(connection, sorted(wanted_alerts))
        return [self._message(row, parts.get(row.id, [row.alert]), found) for row in rows]

    def _gather(self, now: float, quiet: Sequence[str], wanted: Gathering) -> None:
        """Make digests where it is time for them."""
        with self._stage.engine.connect().execution_options(read_only=True) as connection:
            which = book.ripe(connection, self.channel.name, now, quiet, wanted)
        joined = bool(which)
        while joined:
            with self._stage.engine.begin() as connection:
                which = book.ripe(connection, self.channel.name, now, quiet, wanted)
                joined = bool(which) and book.join(connection, self.channel.name, now, which)

    def _gathering(self) -> Gathering | None:
        """Return when this channel's alerts become a digest; None for a channel of single ones."""
        channel = self.channel
        if not isinstance(channel, EmailChannel | WebhookChannel) or not (
            channel.digest_minutes or channel.digest_over
        ):
            return None
        levels = book.below(channel.digest_below) if channel.digest_minutes else ()
        return Gathering(channel.digest_minutes * 60, levels, channel.digest_over)

    def _message(self, row: Any, identifiers: Sequence[str], found: Mapping[str, Any]) -> Message | tuple[Any, Outcome]:
        settings = self._stage.settings
        about = [found[identifier] for identifier in identifiers if identifier in found]
        if row.kind == ESCALATION and about and about[0].status != NEW:
            return row, Outcome("dropped", say("delivery.taken", who=about[0].owner or "-", status=about[0].status))
        if row.kind != HEARTBEAT and not about:
            return row, Outcome("refused", say("delivery.no_alert"))
        facts = row.body if row.kind == HEARTBEAT else {}
        documents: list[Event] = [shown(each) for each in about]
        made = Message(row, documents, self._language, self._zone, settings.delivery.link, facts)
        try:
            made.title(), made.lines()
        except Exception as error:  # whatever is in an alert: it must not hold the others
            log("delivery").exception("cannot_be_written", message=row.id)
            return row, Outcome("refused", say("delivery.cannot_be_written", fault=f"{type(error).__name__}: {error}"))
        return made

    def _carry_out(self, taken: list[Message | tuple[Any, Outcome]]) -> int:
        """Send, and save receipts as they come."""
        done: list[tuple[Any, Outcome]] = [each for each in taken if isinstance(each, tuple)]
        messages = [each for each in taken if isinstance(each, Message)]
        saved, tried = time.monotonic(), 0
        outcomes = self._sender.send(messages) if messages else iter(())
        try:
            for message in messages:
                try:
                    outcome = next(outcomes, None)
                except (Stopped, OSError) as error:
                    outcome = Outcome("failed", reason(error), away=True)
                except Exception as error:  # a fault of ours with this message: told, and the others go on
                    log("delivery").exception("fault", channel=self.channel.name, message=message.id)
                    outcome = Outcome("failed", f"{type(error).__name__}: {reason(error)}")
                    outcomes = iter(())
                if outcome is None:
                    break
                tried += 1
                done.append((message.row, outcome))
                if self._weigh(outcome) or self._ended.is_set():
                    break
                if time.monotonic() - saved >= _SAVE_SECONDS:
                    self._save(done)
                    done, saved = [], time.monotonic()
        finally:
            self._allowance.take(tried)
            if done:
                self._save(done)
        return max(tried, len(taken) - len(messages))

    def _weigh(self, outcome: Outcome) -> bool:
        """Say whether the channel is away, so that the others are not tried now."""
        if outcome.status != "failed":
            self._failures, self._answers = 0, True
            self._is_back, self._was_away = self._is_back or self._was_away, False
            return False
        self._failures += 1
        if not outcome.away and self._failures < _AWAY_AFTER:
            return False
        wait = max(book.pause(self._failures, _LONGEST_PAUSE), min(outcome.again or 0.0, 3600.0))
        self._paused_until = time.monotonic() + wait
        self._was_away = True
        return True

    def _fail(self, outcome: Outcome) -> None:
        """Note a fault that is of no message."""
        self._weigh(outcome)
        try:
            with self._stage.engine.begin() as connection:
                book.note_channel(connection, self.channel.name, **self._fault(outcome, time.time()))
        except STATE_AWAY as error:
            log("delivery").warning("not_saved", channel=self.channel.name, reason=str(error)[:300])

    def _fault(self, outcome: Outcome, now: float) -> dict[str, Any]:
        pause = max(0.0, self._paused_until - time.monotonic())
        return {
            "failed": now, "failures": self._failures, "error": outcome.answer[:1000], "paused_until": now + pause,
        }  # fmt: skip

    def _save(self, done: Sequence[tuple[Any, Outcome]]) -> None:
        """Save receipts, and how the channel fares."""
        now, name = time.time(), self.channel.name
        retry_seconds = self._stage.settings.delivery.retry_hours * 3600
        failed = [outcome for _, outcome in done if outcome.status == "failed"]
        with self._stage.engine.begin() as connection:
            self._confirm(connection)
            counted = book.note(connection, done, now, retry_seconds)
            if self._answers:
                book.note_channel(connection, name, failures=0, paused_until=0.0)
            if self._is_back:  # not after every failure: what one message meets is its own
                book.release(connection, name, now)
            if counted[SENT]:
                book.note_channel(connection, name, sent=channels.c.sent + counted[SENT], succeeded=now)
            if failed:
                book.note_channel(connection, name, **self._fault(failed[-1], now))
            if self._failures >= _GONE_AFTER:
                book.expire(connection, name, now - retry_seconds, now, failed[-1].answer if failed else "-")
        self._answers = self._is_back = False
        if failed:
            log("delivery").warning("failed", channel=name, reason=failed[-1].answer[:300], failures=self._failures)
        log("delivery").debug("saved", channel=name, **counted)
        for row, outcome in done:
            if row.kind == TEST and outcome.status != "failed":
                testing.put_away(self._stage.engine, row.alert, say("delivery.was_test", channel=name), "haidang", "")

    def _is_quiet(self, now: float) -> bool:
        hours = self.channel.quiet_hours
        return bool(hours) and begun(hours, (), datetime.fromtimestamp(now, self._zone)) is not None


class _Allowance:
    """How many messages a rate allows now; after a while without any, ten seconds' worth at once, at most ten."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._most = max(1.0, min(10.0, per_minute / 6))
        self._tokens, self._at = self._most, time.monotonic()

    def count(self, most: int) -> int:
        if not self._per_minute:
            return most
        now = time.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._per_minute / 60)
        self._at = now
        return min(most, int(self._tokens))

    def take(self, count: int) -> None:
        self._tokens -= count


def _alerts(connection: Connection, identifiers: Sequence[str]) -> dict[str, Any]:
    found = {}
    for start in range(0, len(identifiers), 500):
        query = select(alerts).where(alerts.c.id.in_(identifiers[start : start + 500]))
        found.update({row.id: row for row in connection.execute(query)})
    return found

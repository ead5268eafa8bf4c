"""The store's stage: the topics `events` and `alert-updates` enter, searchable events leave.

What was read is committed to the store first and to the state (position and ledger) after it: a kill in between reads
the frames again, and the store leaves out the ids that it holds.
"""

import time
from datetime import UTC, datetime

from pipeline import books, bus, canaries, ledger, store
from pipeline.balance import accounts
from pipeline.bus import Record
from pipeline.canaries import CANARY
from pipeline.event import decode
from pipeline.frame import unpack
from pipeline.ledger import IN, OUT, DeadLetter, Tally
from pipeline.logs import log
from pipeline.own_alerts import Teller, own_alert, publish
from pipeline.records import readable
from pipeline.stage import IDLE_SECONDS, Consumer, Stage
from pipeline.state import positions
from pipeline.store.document import Document, document
from pipeline.store.retention import expire, retention_alerts

#: Events that are committed together at the most; more wait for the next commit.
_COMMIT_EVENTS = 100_000
#: While the store is behind it commits that much more seldom: no event is searchable in time then anyway, and large
#: commits cost a fifth less, so all are the sooner.
_SELDOM = 5
#: How often old indexes and read frames are deleted, in seconds.
_HOUSEKEEPING_SECONDS = 30.0
#: Events that may wait when it is looked whether the ledger adds up: all of them are read for that.
_MOST_CHECKED = 200_000
#: Who reads which topic; a frame that all of them have read is no longer needed.
READERS = {
    bus.EVENTS: ["store", "detectors"],
    bus.ALERTS: ["response"],
    bus.ALERT_UPDATES: ["store"],
    bus.HITS: ["detectors"],
}
#: Who reads a topic besides, from when it first has.
ALSO_READ = {bus.EVENTS: ["detectors:behaviours", *(each.name for each in books.BRINGERS)]}


def index_topics(stage: Stage) -> None:
    """Read both topics into the store until the stage is stopped."""
    settings = stage.settings
    writer = store.open_writer(settings.data_dir, settings.store)
    consumers = {
        store.EVENTS: Consumer(stage, bus.EVENTS, buries=True),
        store.ALERTS: Consumer(stage, bus.ALERT_UPDATES, buries=True),
    }
    stage.beat(now=True, detail={"ready": True})
    waiting = 0
    teller = Teller(stage.bus)
    stored: set[str] = set()  # canaries
    committed = cleaned = time.monotonic()
    while not stage.stopping.is_set():
        read = sum(_index_next(writer, collection, consumer, stored) for collection, consumer in consumers.items())
        waiting += read
        now = time.monotonic()
        late = now - committed >= settings.store.commit_seconds
        if late and _is_behind(waiting, consumers[store.EVENTS]):
            late = now - committed >= settings.store.commit_seconds * _SELDOM
        if waiting and (late or waiting >= _COMMIT_EVENTS):
            _commit(writer, consumers, stored)
            waiting, committed = 0, time.monotonic()
        elif not waiting:
            committed = now
        if now - cleaned >= _HOUSEKEEPING_SECONDS:
            cleaned = now
            if consumers[store.EVENTS].leads:
                _clean(stage, writer, teller)
                _check_balance(stage, consumers[store.EVENTS].backlog())
        if not read:
            stage.stopping.wait(IDLE_SECONDS)
        stage.beat(consumers[store.EVENTS].backlog, {"ready": True})
    _commit(writer, consumers, stored)
    writer.close()


def _is_behind(waiting: int, consumer: Consumer) -> bool:
    """Say whether more events are still to be read than were read since the last commit."""
    return consumer.backlog() > waiting


def _commit(writer: store.Writer, consumers: dict[str, Consumer], stored: set[str]) -> None:
    writer.commit()
    noted = (lambda connection: canaries.note(connection, "stored", stored)) if stored else None
    consumers[store.EVENTS].commit(noted)
    consumers[store.ALERTS].commit()
    stored.clear()


def _index_next(writer: store.Writer, collection: str, consumer: Consumer, stored: set[str]) -> int:
    count = 0
    for record in consumer.read():
        if record.source == CANARY:
            stored |= _prove(writer, record)
            count += 1
            continue
        documents = _documents(record, consumer.tally)
        added = writer.add(collection, documents)
        consumer.tally.add(record.source, OUT, len(documents) - added.repeated - len(added.refused))
        consumer.tally.add(record.source, OUT, added.repeated, "already_stored")
        for line, reason in added.refused:
            consumer.tally.drop(DeadLetter(record.topic, record.source, "not_an_event", reason, line))
        count += max(len(documents), 1)  # a frame of rubbish moves the position, too
    return count


def _prove(writer: store.Writer, record: Record) -> set[str]:
    """Write canaries as events are written, and return those that were found again."""
    documents = _documents(record, Tally())
    found = writer.prove(documents)
    return canaries.identifiers(decode(document.line) for document in documents if document.identifier in found)


def _documents(record: Record, tally: Tally) -> list[Document]:
    try:
        documents = [document(None, line) for line in unpack(record.payload)]
    except (ValueError, KeyError, TypeError, AttributeError):  # a foreign producer's: one by one, each with its reason
        return [document(event, line) for event, line in readable(record, tally)]
    tally.add(record.source, IN, len(documents))
    return documents


def _check_balance(stage: Stage, waiting: int) -> None:
    """Raise an alert for each source of which events are nowhere; not while very much waits to be read."""
    if waiting > _MOST_CHECKED:
        return
    alerts = []
    for account in accounts(stage.engine, stage.bus):
        if account.missing > 0:
            log("store").error("gap", source=account.source, missing=account.missing, given=account.given)
            reason = f"{account.source}: {account.missing} events"
            alerts.append(own_alert("store.gap", account.source, reason, stage.settings.observer, "high"))
    publish(stage.bus, alerts)


def _clean(stage: Stage, writer: store.Writer, teller: Teller) -> None:
    now = datetime.now(UTC)
    outcome = expire(writer, stage.settings, now)
    for index in outcome.removed:
        log("store").warning("expired", index=index.name, bytes=index.size)
    teller.tell(retention_alerts(stage.settings, outcome, now))
    if events := books.settle(stage.settings, stage.engine, stage.bus):
        log("store").warning("settled", events=events)
    for topic, readers in READERS.items():
        stage.bus.trim(topic, positions.slowest(stage.engine, topic, readers, ALSO_READ.get(topic, ())))
    ledger.roll_up(stage.engine)

"""The alert queue: the topic `alerts` enters, rows in the state and copies for the store leave.

An alert's row and the outbox rows it causes are one transaction; an alert that is there already changes nothing.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from pipeline import bus, canaries
from pipeline.bus import Record, SlowDown
from pipeline.canaries import CANARY
from pipeline.delivery.routing import Routing
from pipeline.devices import contacts
from pipeline.event import Event, encode, to_micros
from pipeline.frame import pack
from pipeline.ledger import OUT, DeadLetter, Tally
from pipeline.logs import log
from pipeline.queue import INDEX, NO_GROUP, SUPPRESSED, grouping, risk, suppressions
from pipeline.queue.showing import shown
from pipeline.records import readable
from pipeline.settings import Queue
from pipeline.stage import Consumer, Stage
from pipeline.state.tables import alerts, outbox

#: Alerts that one statement names, and outbox rows carried out together.
_BATCH = 2000
#: Compressed bytes read together; alerts of a burst are alike, and unpack to some thirty times that.
_READ_BYTES = 500_000
#: The longest `event.id` that is taken; ours have 24 characters.
_MAX_ID = 24
#: As much of a rule's id as the queue can be asked for; the document holds all of it.
_MAX_RULE_ID = 200
_SLOW_DOWN_SECONDS = 0.2
#: How long alerts are gathered before they are saved together, in seconds: each saving waits for the disk.
_GATHER_SECONDS = 0.25
#: How often the outbox is looked at when no alert came, in seconds: for what an earlier run left.
_LOOK_SECONDS = 1.0
_MAX_LEVEL = 20
#: What is saved of an alert when it comes.
_COLUMNS = (
    "id", "time", "created", "rule_id", "rule_name", "level", "status", "source", "document", "suppression", "owner",
    "group_id",
)  # fmt: skip
_NEEDED = ("rule.id", "rule.name", "rule.level")


def queue_alerts(stage: Stage, watch: Callable[[bool], None] = lambda leads: None) -> None:
    """Take alerts in and carry out what they cause, until the stage is stopped.

    `watch` is called again and again, with whether this copy leads.
    """
    consumer = Consumer(stage, bus.ALERTS, buries=True)
    routing = Routing(stage.settings)
    stage.beat(now=True, detail={"ready": True})
    looked = 0.0
    while not stage.stopping.is_set():
        taken = _take(consumer, routing)
        sent = 0
        if consumer.leads and (taken or time.monotonic() - looked >= _LOOK_SECONDS):
            sent = _send_copies(stage) + grouping.catch_up(stage.engine, stage.settings.queue.group_hours)
            looked = time.monotonic() if sent < _BATCH else 0.0
        watch(consumer.leads)
        if taken < _BATCH and sent < _BATCH:
            stage.stopping.wait(_GATHER_SECONDS)
        stage.beat(consumer.backlog, {"ready": True})


def _take(consumer: Consumer, routing: Routing | None = None) -> int:
    settings = consumer.settings
    rows = []
    alerted: set[str] = set()
    for record in consumer.read(_READ_BYTES):
        if record.source == CANARY:
            alerted |= _canaries_of(record)
            continue
        for event, line in readable(record, consumer.tally):
            if is_alert(event):
                rows.append(row(event, record.source))
                consumer.tally.add(record.source, OUT)
            else:
                log("response").error("not_an_alert", offset=record.offset, id=event.get("event.id"))
                consumer.tally.drop(DeadLetter(record.topic, record.source, "not_an_alert", _lacks(event), line))

    def save_all(connection: Connection) -> None:
        save(connection, rows, settings.queue, settings.observer, routing)
        canaries.note(connection, "alerted", alerted)

    consumer.commit(save_all if rows or alerted else None)
    return len(rows)


def _canaries_of(record: Record) -> set[str]:
    """Return the canaries that have come out as alerts."""
    events = [event for event, _ in readable(record, Tally()) if is_alert(event)]
    return canaries.identifiers(each for event in events for each in event.get("alert.evidence") or [])


def is_alert(event: Event) -> bool:
    """Say whether an event has what the queue needs of an alert."""
    return all(isinstance(event.get(name), str) for name in _NEEDED) and len(event["event.id"]) <= _MAX_ID


def _lacks(event: Event) -> str:
    """Say what an event lacks to be an alert."""
    missing = [name for name in _NEEDED if not isinstance(event.get(name), str)]
    return f"lacks {', '.join(missing)}" if missing else f"event.id is longer than {_MAX_ID} characters"


def row(event: Event, source: str) -> dict[str, Any]:
    """Return an alert's row in the queue."""
    return {
        "id": event["event.id"], "time": to_micros(event["@timestamp"]), "created": time.time(),
        "rule_id": event["rule.id"][:_MAX_RULE_ID], "rule_name": event["rule.name"],
        "level": event["rule.level"][:_MAX_LEVEL], "status": "new", "source": source, "document": event,
        "suppression": "", "owner": "", "group_id": "",
    }  # fmt: skip


def save(
    connection: Connection,
    rows: list[dict[str, Any]],
    settings: Queue = Queue(),  # noqa: B008 - frozen
    observer: str = "",
    routing: Routing | None = None,
) -> None:
    """Put alerts into the queue, ask for their copies and for messages about them.

    Those that are there already change nothing.
    """
    grouping.lock(connection)
    for start in range(0, len(rows), _BATCH):
        batch: dict[str, dict[str, Any]] = {}
        for each in rows[start : start + _BATCH]:
            batch.setdefault(each["id"], each)
        known = set(connection.scalars(select(alerts.c.id).where(alerts.c.id.in_(batch))))
        new = [each for identifier, each in batch.items() if identifier not in known]
        if not new:
            continue
        _keep_out(connection, new)
        risks = grouping.put(connection, [each for each in new if not each["suppression"]], settings.group_hours)
        connection.execute(alerts.insert(), [{name: each[name] for name in _COLUMNS} for each in new])
        contacts.save(connection, [each["document"] for each in new])
        connection.execute(outbox.insert(), [{"kind": INDEX, "body": each["id"]} for each in new])
        if routing is not None:
            routing.enqueue(connection, new)
        save(connection, _on_risk(connection, risks, settings, observer), settings, observer, routing)


def _on_risk(
    connection: Connection, risks: Mapping[str, tuple[risk.Risk, int]], settings: Queue, observer: str
) -> list[dict[str, Any]]:
    """Return the alerts on entities whose risk has grown beyond what the settings let pass."""
    if not settings.risk_alert:
        return []
    high = {entity: each for entity, each in risks.items() if risk.is_high(entity, each[0], settings.risk_alert)}
    return [
        row(risk.alert_of(connection, entity, each, moment, observer), "haidang")
        for entity, (each, moment) in high.items()
    ]


def _keep_out(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Mark the alerts that a suppression keeps out of the queue, and count them there."""
    held = suppressions.current(connection)
    hits: Counter[str] = Counter()
    for each in rows:
        if found := suppressions.which(held, each["document"]):
            each.update(status=SUPPRESSED, suppression=found, group_id=NO_GROUP)
            hits[found] += 1
    suppressions.count(connection, hits)


def _send_copies(stage: Stage) -> int:
    """Hand the store a copy of each alert that the outbox names, as it is now."""
    query = select(outbox.c.id, outbox.c.body).where(outbox.c.kind == INDEX).order_by(outbox.c.id).limit(_BATCH)
    with stage.engine.connect().execution_options(read_only=True) as connection:
        asked = dict(connection.execute(query).all())
        if not asked:
            return 0
        rows = select(alerts).where(alerts.c.id.in_(asked.values()))
        copies = [encode(shown(row)) for row in connection.execute(rows)]
    try:
        stage.bus.publish(bus.ALERT_UPDATES, list(pack("alerts", copies)))
    except SlowDown as error:
        log("response").warning("copies_held", reason=str(error))
        stage.stopping.wait(_SLOW_DOWN_SECONDS)
        return 0
    with stage.engine.begin() as connection:
        connection.execute(delete(outbox).where(outbox.c.id.in_(asked)))
    return len(asked)

"""Marks of what changes: the state enters, for each part of a site a short text leaves that is another one whenever
something of that part changed. It says nothing of what; whoever sees another mark asks again.

Only what is found at once is looked at: ends of tables, positions, small tables. So a mark may change where nothing
did that somebody sees, and it never changes for the mere passing of time.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, func, select

from pipeline import bus
from pipeline.disk import disk_of
from pipeline.health import SILENT_SECONDS
from pipeline.settings import Settings
from pipeline.state.tables import (
    canaries,
    case_entries,
    cases,
    channels,
    dead_letters,
    deliveries,
    group_counts,
    group_history,
    positions,
    share_messages,
    share_profiles,
    share_received,
    stages,
)

Marks = dict[str, str]
#: What a stage says of itself that health is judged by.
_JUDGED = ("ready", "waits", "held", "held_by_disk", "failures", "refused_count", "packet_rules")
#: Who reads which topic, so that its position tells that something came.
_RESPONSE, _STORE = "response", "store"
_LENGTH = 16


def look(engine: Engine, settings: Settings) -> Marks:
    """Return the marks as they are now: `queue`, `cases`, `health`, `events`, `deliveries`, `sharing`."""
    with engine.connect().execution_options(read_only=True) as connection:
        found = {name: list(part(connection)) for name, part in _PARTS.items()}
    found["health"].append(disk_of(settings).low)
    return {name: hashlib.sha256(orjson.dumps(of, default=str)).hexdigest()[:_LENGTH] for name, of in found.items()}


def _queue(connection: Connection) -> Iterator[Any]:
    yield _position(connection, _RESPONSE, bus.ALERTS)
    yield connection.scalar(select(func.max(group_history.c.id)))
    yield sorted(tuple(row) for row in connection.execute(select(group_counts)))


def _cases(connection: Connection) -> Iterator[Any]:
    yield connection.scalar(select(func.max(case_entries.c.id)))
    yield connection.scalar(select(func.max(cases.c.id)))
    for status in ("open", "closed"):  # each by the index
        yield connection.scalar(select(func.max(cases.c.changed)).where(cases.c.status == status))


def _health(connection: Connection) -> Iterator[Any]:
    now = time.time()
    for row in connection.execute(select(stages).order_by(stages.c.stage, stages.c.instance)):
        judged = {name: row.detail.get(name) for name in _JUDGED}
        yield row.stage, row.instance, now - row.seen < SILENT_SECONDS, judged, _of_lists(row.detail)
    order = (canaries.c.instance, canaries.c.source, canaries.c.kind)
    for row in connection.execute(select(*order, canaries.c.failed, canaries.c.good > 0).order_by(*order)):
        yield tuple(row)
    for row in connection.execute(select(channels.c.name, channels.c.failures > 0).order_by(channels.c.name)):
        yield tuple(row)
    yield (
        connection.scalar(select(func.max(dead_letters.c.time))),
        connection.scalar(select(func.min(dead_letters.c.time))),
    )


def _of_lists(detail: dict[str, Any]) -> Any:
    said = detail.get("indicators") or {}
    return said.get("fault"), [(feed["name"], feed["error"], feed["stale"]) for feed in said.get("feeds", ())]


def _events(connection: Connection) -> Iterator[Any]:
    yield _position(connection, _STORE, bus.EVENTS)


def _deliveries(connection: Connection) -> Iterator[Any]:
    yield connection.scalar(select(func.max(deliveries.c.created)))
    yield sorted(
        (row.name, row.sent, row.succeeded, row.failed, row.failures) for row in connection.execute(select(channels))
    )


def _sharing(connection: Connection) -> Iterator[Any]:
    profiles, messages, received = share_profiles.c, share_messages.c, share_received.c
    row = (profiles.name, profiles.confirmed, profiles.sent, profiles.succeeded, profiles.failed, profiles.failures)
    yield [tuple(each) for each in connection.execute(select(*row).order_by(profiles.name))]
    yield connection.scalar(select(func.max(messages.number)))
    for status in ("held", "approved", "queued"):  # by the index: those that wait for something are few
        count = select(func.count()).where(messages.profile == profiles.name, messages.status == status)
        yield [
            tuple(each)
            for each in connection.execute(select(profiles.name, count.scalar_subquery()).order_by(profiles.name))
        ]
    yield connection.scalar(select(func.max(received.received))), connection.scalar(select(func.max(received.imported)))


def _position(connection: Connection, consumer: str, topic: str) -> list[tuple[Any, ...]]:
    columns = positions.c
    query = select(columns.partition, columns.offset).where(columns.consumer == consumer, columns.topic == topic)
    return [tuple(row) for row in connection.execute(query.order_by(columns.partition))]


_PARTS: dict[str, Callable[[Connection], Iterator[Any]]] = {
    "queue": _queue, "cases": _cases, "health": _health, "events": _events, "deliveries": _deliveries,
    "sharing": _sharing,
}  # fmt: skip

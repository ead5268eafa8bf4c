"""The watch over delivery: messages and the stages' words enter, alerts of our own and daily reports leave."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from pipeline.delivery import DEAD, HEARTBEAT, SENT, WAITING, book
from pipeline.delivery.routing import message_id, new_row, zone_of
from pipeline.event import Event
from pipeline.health import FORGOTTEN_SECONDS
from pipeline.own_alerts import told_alert
from pipeline.queue import OPEN
from pipeline.settings import Settings
from pipeline.settings.delivery import Channel, time_of
from pipeline.state.tables import alerts, channels, dead_letters, deliveries, silences, stages
from pipeline.supervisor import stages_of

#: A stage that said nothing for this long is an alert, in seconds: a restart takes less.
_SILENT_SECONDS = 300.0
#: Messages that died within this time are told of, in seconds.
_DIED_SECONDS = 3600.0
_DAY = 86_400.0


def judge(connection: Connection, settings: Settings, since: float, now: float) -> list[Event]:
    """Return alerts on channels that do not deliver, messages that are dead, and stages that are silent.

    The same trouble is the same alert. `since` is when we began to watch: what was before says nothing.
    """
    return [
        *(alert for channel in settings.channels for alert in _of_channel(connection, settings, channel, now)),
        *_of_stages(connection, settings, since, now),
    ]


def _of_channel(connection: Connection, settings: Settings, channel: Channel, now: float) -> Iterator[Event]:
    columns, late = deliveries.c, now - settings.delivery.failing_minutes * 60
    held = set(book.below(channel.quiet_below)) if channel.quiet_hours else set()
    if getattr(channel, "digest_minutes", 0):
        held |= set(book.below(channel.digest_below))  # type: ignore[union-attr]
    query = (
        select(columns.id, columns.created, columns.answer)
        .where(
            columns.channel == channel.name,
            columns.status == WAITING,
            or_(
                and_(columns.attempts > 0, columns.created < late),
                and_(columns.attempts == 0, columns.due < late, columns.level.not_in(held)),
            ),
        )
        .order_by(columns.created)
        .limit(1)
    )
    oldest = connection.execute(query).first()
    state = connection.execute(select(channels).where(channels.c.name == channel.name)).first()
    if oldest is not None and (state is None or state.succeeded < late):
        minutes = max(0, round((now - oldest.created) / 60))
        reason = oldest.answer[:300] or (state.error[:300] if state is not None else "") or "-"
        told = {"channel": channel.name, "minutes": minutes, "reason": reason}
        yield told_alert("delivery.channel_failing", channel.name, oldest.id, settings.observer, "high", **told)
    died = (columns.channel == channel.name, columns.status == DEAD, columns.ended > now - _DIED_SECONDS)
    if count := connection.scalar(select(func.count()).where(*died, columns.digest == "")):
        day = time.strftime("%Y-%m-%d", time.localtime(now))
        told = {"channel": channel.name, "count": count}
        yield told_alert("delivery.message_dead", channel.name, day, settings.observer, "medium", **told)


def _of_stages(connection: Connection, settings: Settings, since: float, now: float) -> Iterator[Event]:
    for row in _silent(connection, settings, since, now):
        told = {"stage": row.stage, "machine": row.instance, "minutes": round((now - row.seen) / 60)}
        about = f"{row.stage}@{row.instance}"
        yield told_alert("delivery.stage_silent", about, repr(row.seen), settings.observer, "high", **told)


def _silent(connection: Connection, settings: Settings, since: float, now: float) -> list[Any]:
    """Return stages that were heard of in the last day, but not lately, although somebody listened."""
    heard = (stages.c.seen < now - _SILENT_SECONDS, stages.c.seen > now - FORGOTTEN_SECONDS)
    rows = connection.execute(select(stages).where(*heard)).all() if now - since > _SILENT_SECONDS else []
    return [row for row in rows if row.stage in stages_of(settings)]


def put_heartbeats(connection: Connection, settings: Settings, now: float) -> None:
    """Put down the daily report of each channel that wants one, once a day, when its time has come."""
    here = datetime.fromtimestamp(now, zone_of(settings))
    day = here.date().isoformat()
    facts: dict[str, Any] = {}
    for channel in settings.channels:
        at = time_of(channel.heartbeat)
        if at is None or here.time() < at:
            continue
        book.note_channel(connection, channel.name)
        fresh = update(channels).where(channels.c.name == channel.name, channels.c.heartbeat != day)
        if not connection.execute(fresh.values(heartbeat=day)).rowcount:
            continue
        facts = facts or facts_of(connection, settings, now)
        identifier = message_id(HEARTBEAT, channel.name, day)
        book.put(connection, new_row(identifier, HEARTBEAT, channel.name, now, body=facts))


def facts_of(connection: Connection, settings: Settings, now: float) -> dict[str, Any]:
    """Return the figures of a report: those of the last day, and what does not work now."""
    zone, since = zone_of(settings), now - _DAY
    counted = select(deliveries.c.status, func.count()).where(deliveries.c.created >= since)
    messages: dict[str, int] = dict(connection.execute(counted.group_by(deliveries.c.status)).all())
    late = now - settings.delivery.failing_minutes * 60
    names = [channel.name for channel in settings.channels]
    failing = select(channels.c.name).where(channels.c.failures > 0, channels.c.succeeded < late)
    return {
        "observer": settings.observer,
        "since": _written(since, zone),
        "until": _written(now, zone),
        "alerts": connection.scalar(select(func.count()).select_from(alerts).where(alerts.c.created >= since)),
        "open": connection.scalar(select(func.count()).select_from(alerts).where(alerts.c.status.in_(OPEN))),
        "sent": messages.get(SENT, 0), "waiting": messages.get(WAITING, 0), "dead": messages.get(DEAD, 0),
        "failing": sorted(set(connection.scalars(failing)) & set(names)),
        "quiet": sorted(connection.scalars(select(silences.c.source).where(silences.c.raised.is_(True)))),
        "silent": sorted({row.stage for row in _silent(connection, settings, 0.0, now)}),
        "dead_letters": connection.scalar(select(func.count()).select_from(dead_letters)),
    }  # fmt: skip


def _written(seconds: float, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).strftime("%d/%m/%Y %H:%M %z")

"""`notify test`: a channel's name enters; a real alert, marked as a test, goes the whole way, its receipt leaves."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, select

from pipeline.access import note
from pipeline.bus import ALERTS, open_bus
from pipeline.delivery import TEST, TEST_CHANNEL, WAITING
from pipeline.delivery.routing import message_id
from pipeline.event import encode
from pipeline.frame import pack
from pipeline.health import SILENT_SECONDS
from pipeline.instance import instance_of
from pipeline.messages import HaidangError
from pipeline.own_alerts import told_alert
from pipeline.queue import FALSE_POSITIVE, life
from pipeline.settings import Settings
from pipeline.stage import is_running
from pipeline.state.tables import alerts, deliveries, stages

#: The stages that a test's alert goes through.
_STAGES = ("response", "delivery")
#: Of this machine it is known whether a stage has ended, but for the last moments, in seconds.
_JUST_NOW_SECONDS = 10.0


def start(settings: Settings, engine: Engine, channel: str, who: str, address: str) -> tuple[str, str]:
    """Raise the alert, for somebody; return its id and that of the message that will come of it.

    Raises:
        HaidangError: there is no such channel, or a stage that must carry it does not run.
    """
    names = [each.name for each in settings.channels]
    if channel not in names:
        raise HaidangError("delivery.no_channel", name=channel[:100], known=", ".join(names) or "-")
    if missing := not_running(engine, settings):
        raise HaidangError("delivery.not_running", stages=", ".join(missing))
    values = {"channel": channel}
    alert = told_alert(
        "delivery.notify_test", channel, uuid.uuid4().hex, settings.observer, "informational", **values
    )  # fmt: skip
    alert[TEST_CHANNEL] = channel
    bus = open_bus(settings.data_dir, settings.bus)
    try:
        bus.publish(ALERTS, list(pack("haidang", [encode(alert)])))
    finally:
        bus.close()
    with engine.begin() as connection:
        note(connection, who, address, "channel_tested", channel=channel, alert=alert["event.id"])
    return alert["event.id"], message_id(TEST, channel, alert["event.id"])


def not_running(engine: Engine, settings: Settings) -> list[str]:
    """Return those of the stages that carry messages that nobody has heard of lately, or that have ended here."""
    columns, now, folder = stages.c, time.time(), settings.data_dir
    query = select(columns.stage, columns.instance, columns.seen).where(columns.seen > now - SILENT_SECONDS)
    with engine.connect().execution_options(read_only=True) as connection:
        heard = connection.execute(query).all()
    here = instance_of(folder)
    living = {
        name
        for name, instance, seen in heard
        if instance != here or now - seen < _JUST_NOW_SECONDS or is_running(folder, name)
    }
    return [name for name in _STAGES if name not in living]


def follow(engine: Engine, message: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the message's receipt whenever it has changed, until it has ended or the time is over."""
    deadline, last = time.monotonic() + seconds, None
    while True:
        with engine.connect().execution_options(read_only=True) as connection:
            row = connection.execute(select(deliveries).where(deliveries.c.id == message)).mappings().first()
        if row is not None and (row["status"], row["attempts"]) != last:
            last = row["status"], row["attempts"]
            yield {str(name): value for name, value in row.items()}
        if (row is not None and row["status"] != WAITING) or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def put_away(engine: Engine, alert: str, note: str, who: str, address: str) -> None:
    """Close the test's alert, if it has come in: nobody else should look at it."""
    with engine.connect().execution_options(read_only=True) as connection:
        is_there = connection.scalar(select(alerts.c.id).where(alerts.c.id == alert))
    if is_there:
        life.change(engine, life.Fits(ids=[alert]), FALSE_POSITIVE, note, who, address)

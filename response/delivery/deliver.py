"""The stage's body: one copy leads and lets a worker for each channel send; all say how they fare."""

import threading
import time
from urllib.parse import quote

from sqlalchemy import Connection

from pipeline.delivery import book, watching
from pipeline.delivery.files import scripts_of, templates_of
from pipeline.lead import Lead
from pipeline.messages import say
from pipeline.outward.watchdog import Watchdog
from pipeline.settings import Settings
from pipeline.settings.delivery import Channel, EmailChannel, ScriptChannel, SyslogChannel, WebhookChannel
from pipeline.stage import Stage
from response.delivery.mail import Mail
from response.delivery.script import Script
from response.delivery.sender import Sender
from response.delivery.syslog import Syslog
from response.delivery.webhook import Webhook
from response.delivery.worker import Worker

#: How often a copy says that it lives and looks whether it leads, in seconds.
_LOOK_SECONDS = 2.0
_CLEAN_SECONDS = 3600.0
#: How often it is looked whether a daily report is due, in seconds.
_REPORT_SECONDS = 15.0
#: How long workers may take to end when the stage stops, in seconds.
_END_SECONDS = 10.0


def deliver(stage: Stage) -> None:
    """Send messages until the stage is stopped."""
    lead = Lead(stage, "deliveries")
    watchdog = Watchdog()
    lead.look()
    ended = threading.Event()  # of this run: the body is begun again where the state was away
    workers = [
        Worker(stage, channel, sender_of(stage.settings, channel, watchdog), ended, lead.held, lead.confirm)
        for channel in stage.settings.channels
    ]
    try:
        for worker in workers:
            worker.start()
        stage.beat(now=True, detail={"ready": True})
        _keep_watch(stage, lead, workers)
    finally:
        ended.set()
        watchdog.stop()
        deadline = time.monotonic() + _END_SECONDS
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
    lead.leave()


def _keep_watch(stage: Stage, lead: Lead, workers: list[Worker]) -> None:
    looked = cleaned = time.monotonic()
    reported = looked - _REPORT_SECONDS
    while not stage.stopping.wait(_LOOK_SECONDS / 4):
        if time.monotonic() - looked >= _LOOK_SECONDS:
            looked = time.monotonic()
            lead.look()
        if lead.held.is_set() and time.monotonic() - reported >= _REPORT_SECONDS:
            reported = time.monotonic()
            with stage.engine.begin() as connection:
                watching.put_heartbeats(connection, stage.settings, time.time())
        if lead.held.is_set() and time.monotonic() - cleaned >= _CLEAN_SECONDS:
            cleaned = time.monotonic()
            with stage.engine.begin() as connection:
                _clean(connection, stage.settings, time.time())
        failures = {worker.channel.name: say("delivery.worker_ended") for worker in workers if not worker.is_alive()}
        stage.beat(detail={"ready": True, "leads": lead.held.is_set(), "channels": len(workers), "failures": failures})


def _clean(connection: Connection, settings: Settings, now: float) -> None:
    names = [channel.name for channel in settings.channels]
    book.drop_of_others(connection, names, now - settings.delivery.retry_hours * 3600, say("delivery.channel_gone"))
    book.forget_old(connection, now, settings.delivery.keep_days * 86_400)


def sender_of(settings: Settings, channel: Channel, watchdog: Watchdog) -> Sender:
    """Return what sends a channel's messages."""
    source = f"/haidang/{quote(settings.observer, safe='')}"
    match channel:
        case EmailChannel():
            return Mail(channel, watchdog)
        case WebhookChannel():
            return Webhook(channel, source, templates_of(settings), watchdog)
        case SyslogChannel():
            return Syslog(channel, settings.observer, watchdog)
        case ScriptChannel():
            return Script(channel, scripts_of(settings))
    from response.delivery.kafka_topic import KafkaTopic  # its library takes 8 MB of memory

    return KafkaTopic(channel, source)

"""The collectors' stage: the sources of the settings enter, the topic `events` leaves."""

import asyncio
import re
import resource
import sqlite3

import uvloop
from sqlalchemy.exc import SQLAlchemyError

from collectors import datagrams, files, http, kafka_topic, syslog, unix_socket
from collectors.canary import Sender
from collectors.deafness import Deafness
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.netflow import listen as netflow
from collectors.network import listen as network
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.own_alerts import publish
from pipeline.settings import (
    FilesSource,
    HttpSource,
    KafkaSource,
    NetflowSource,
    NetworkSource,
    Settings,
    Source,
    SyslogSource,
    UnixSource,
)
from pipeline.stage import Stage

#: How often the stage looks whether it is to stop, in seconds.
_LOOK_SECONDS = 0.1


def collect(stage: Stage) -> None:
    """Listen to all sources until the stage is stopped."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file; the usual 1024 are too few
    uvloop.run(_collect(stage))


async def _collect(stage: Stage) -> None:
    asyncio.get_running_loop().set_exception_handler(_note_fault)
    intake = Intake(stage)
    await asyncio.to_thread(intake.count_what_was_not)
    publishing = asyncio.create_task(intake.run())
    open_sources = [await _open(source, stage, intake) for source in stage.settings.sources]
    told = [*open_sources, *await asyncio.to_thread(_left_behind, stage.settings)]
    await _beat(stage, told, intake, now=True)
    canaries = asyncio.create_task(Sender(stage, intake.canaries, open_sources).run())
    deafness = Deafness(stage.settings.observer)
    while not stage.stopping.is_set():
        await asyncio.sleep(_LOOK_SECONDS)
        if due := deafness.alerts(open_sources):
            raised: bool = await asyncio.to_thread(publish, stage.bus, due)
            if raised:
                deafness.told()
        if publishing.done():
            publishing.result()
        await _beat(stage, told, intake)
    canaries.cancel()
    await asyncio.gather(canaries, *(source.close() for source in open_sources), return_exceptions=True)
    await intake.finish(publishing)


async def _open(source: Source, stage: Stage, intake: Intake) -> Listening:
    """Open one source; what is wrong with it is noted and touches no other."""
    try:
        match source:
            case SyslogSource():
                return await syslog.listen(source, stage.settings, intake)
            case HttpSource():
                return await http.listen(source, stage.settings, intake)
            case FilesSource():
                return await files.listen(source, stage.settings, intake)
            case KafkaSource():
                return await kafka_topic.listen(source, stage.settings, intake)
            case UnixSource():
                return await unix_socket.listen(source, stage.settings, intake)
            case NetflowSource():
                return await netflow.listen(source, stage.settings, intake)
            case NetworkSource():
                return await network.listen(source, stage.settings, intake)
    except (HaidangError, OSError, re.error, sqlite3.Error) as error:
        listening = Listening(source.name)
        listening.failed(source.name, str(error))
        return listening


def _left_behind(settings: Settings) -> list[Listening]:
    """Say of each source that was taken out of the settings that its datagrams still wait."""
    found = []
    for name in datagrams.left_by_others(settings):
        left = Listening(name)
        left.failed(f"udp {name}", say("collectors.left_behind", source=name))
        found.append(left)
    return found


async def _beat(stage: Stage, told: list[Listening], intake: Intake, now: bool = False) -> None:
    detail = {
        "ready": True,
        "listening": {source.source: source.places for source in told},
        "failures": {place: why for source in told for place, why in source.failures.items()},
        "buffered": {source.source: waiting for source in told if (waiting := source.buffered())},
        "packet_rules": {source.source: source.packet_rules for source in told if source.packet_rules},
        "held": intake.held_because,
        "held_by_disk": intake.held_by_disk,
    }
    try:
        await asyncio.to_thread(lambda: stage.beat(detail=detail, now=now))
    except SQLAlchemyError as error:  # a full disk holds intake; it must not cost what is in memory
        log("collectors").error("cannot_beat", reason=str(error))


def _note_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """One connection's fault (half a handshake, a reset) is that connection's alone."""
    log("collectors").warning("connection_fault", message=context.get("message"), fault=repr(context.get("exception")))

"""The collectors' stage: the sources of the settings enter, the topic `events` leaves."""

import asyncio
import ssl

import uvloop

from collectors import files, http, syslog, tls
from collectors.intake import Intake
from collectors.listening import Listening
from pipeline.logs import log
from pipeline.settings import FilesSource, HttpSource, Source, SyslogSource
from pipeline.stage import Stage

#: How often the stage looks whether it is to stop, in seconds.
_LOOK_SECONDS = 0.1


def collect(stage: Stage) -> None:
    """Listen to all sources until the stage is stopped."""
    uvloop.run(_collect(stage))


async def _collect(stage: Stage) -> None:
    asyncio.get_running_loop().set_exception_handler(_note_fault)
    intake = Intake(stage)
    context = tls.server_context(stage.settings)
    publishing = asyncio.create_task(intake.run())
    open_sources = [await _open(source, stage, intake, context) for source in stage.settings.sources]
    await asyncio.to_thread(stage.beat, 0, _detail(open_sources, intake), True)
    while not stage.stopping.is_set():
        await asyncio.sleep(_LOOK_SECONDS)
        if publishing.done():
            publishing.result()
        await asyncio.to_thread(stage.beat, 0, _detail(open_sources, intake))
    for source in open_sources:
        await source.close()
    await publishing
    await intake.finish()


async def _open(source: Source, stage: Stage, intake: Intake, context: ssl.SSLContext) -> Listening:
    match source:
        case SyslogSource():
            return await syslog.listen(source, stage.settings, intake, context)
        case HttpSource():
            return await http.listen(source, stage.settings, intake, context)
        case FilesSource():
            return await files.listen(source, stage.settings, intake)


def _detail(open_sources: list[Listening], intake: Intake) -> dict[str, object]:
    return {
        "ready": True,
        "listening": {source.source: source.places for source in open_sources},
        "failures": {place: why for source in open_sources for place, why in source.failures.items()},
        "held": intake.held_because,
    }


def _note_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """One connection's fault (half a handshake, a reset) is that connection's alone."""
    log("collectors").warning("connection_fault", message=context.get("message"), fault=repr(context.get("exception")))

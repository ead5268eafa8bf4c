"""A source of NetFlow: a UDP port enters, events leave; templates are kept on the disk over a restart."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson

from collectors import datagrams
from collectors.datagram_buffer import Datagram
from collectors.envelope import Origin
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.netflow.exporters import Exporters, Ready
from collectors.netflow.packets import Malformed
from pipeline.logs import log
from pipeline.settings import NetflowSource, Settings

_FOLDER = "netflow"
#: How often it is looked what has waited long enough, in seconds.
_LOOK_SECONDS = 0.5
#: How often new templates are written to the disk, in seconds.
_SAVE_SECONDS = 5.0
#: How often losses are told in the log, in seconds.
_TELL_SECONDS = 60.0


async def listen(source: NetflowSource, settings: Settings, intake: Intake) -> Listening:
    """Open the source's port and take in what comes, until `Listening.close`."""
    listening = Listening(source.name)
    flows = _Flows(source, settings, intake, listening)
    await asyncio.to_thread(flows.load)
    address = (source.host, source.port)
    await datagrams.listen("netflow", address, flows.decode, settings, intake, listening, flows.finish)
    if listening.places:
        listening.task(flows.run())
    return listening


class _Flows:
    def __init__(self, source: NetflowSource, settings: Settings, intake: Intake, listening: Listening) -> None:
        self._origin = Origin(source.name, settings.observer, settings.organization)
        self._intake, self._listening = intake, listening
        self._file = settings.data_dir / _FOLDER / f"{source.name}.json"
        self._exporters = Exporters(
            source.template_hours * 3600, source.wait_minutes * 60, source.pair_seconds, source.sampling, _now()
        )
        self._saved = self._told = _now()
        self._untold: dict[tuple[str, str], int] = {}

    def load(self) -> None:
        """Read the templates that an earlier process knew; without them records wait until they come again."""
        try:
            self._exporters.templates.load(orjson.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, Malformed) as error:
            log("netflow").warning("templates_unreadable", path=str(self._file), reason=str(error))

    def decode(self, datagram: Datagram, _started: int, live: bool) -> list[bytes]:
        """Return the events that are complete by a datagram."""
        ready = self._exporters.feed(datagram.host, datagram.raw, datagram.received, _now(), live)
        if self._exporters.lost:
            self._count()
        return [self._event(each) for each in ready]

    async def run(self) -> None:
        """Let go on what has waited long enough, count what is lost, keep the templates; until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._take(self._exporters.ripe(_now()))
            self._exporters.count_lost(_now(), settle=not self._listening.buffered())
            self._count()
            if self._exporters.templates.changed and _now() - self._saved >= _SAVE_SECONDS:
                self._saved = _now()
                self._exporters.templates.changed = False
                await asyncio.to_thread(self._save, orjson.dumps(self._exporters.templates.dump()))

    def finish(self) -> None:
        """Let everything go: no more comes."""
        self._take(self._exporters.finish())
        self._count()
        self._save(orjson.dumps(self._exporters.templates.dump()))

    def _take(self, ready: list[Ready]) -> None:
        for each in ready:
            self._intake.take(self._origin.source, [self._event(each)], each.exporter, live=False)

    def _event(self, ready: Ready) -> bytes:
        received = datetime.fromtimestamp(ready.received / 1e9, UTC)
        return self._origin.complete(ready.fields, ("netflow", *ready.position), received, {})

    def _count(self) -> None:
        lost = self._exporters.lost
        for (exporter, reason), count in lost.items():
            self._intake.drop(self._origin.source, reason, count)
            if len(self._untold) < 1000:
                self._untold[exporter, reason] = self._untold.get((exporter, reason), 0) + count
        lost.clear()
        if self._untold and _now() - self._told >= _TELL_SECONDS:
            self._told = _now()
            for (exporter, reason), count in sorted(self._untold.items(), key=lambda item: -item[1])[:20]:
                log("netflow").warning(
                    "dropped", source=self._origin.source, exporter=exporter, reason=reason, count=count
                )
            self._untold.clear()

    def _save(self, content: bytes) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = Path(f"{self._file}.new")
            new.write_bytes(content)
            new.replace(self._file)
        except OSError as error:  # without them a restart waits for the exporters to say them again
            log("netflow").error("cannot_keep_templates", path=str(self._file), reason=str(error))


def _now() -> float:
    return time.monotonic()

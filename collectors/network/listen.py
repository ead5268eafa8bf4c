"""Network interfaces enter, the events of what goes over them leave: the source of the kind `network`.

Each interface has a thread of its own, which reads the kernel's ring and makes events. When these are not taken they
wait, then the ring does; what it has no room for the kernel counts, and that is shown as dropped.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.envelope import Origin
from collectors.intake import Intake
from collectors.listening import Listening
from collectors.network import bpf
from collectors.network.evidence import Recorder
from collectors.network.evidence_keeper import EvidenceKeeper
from collectors.network.ring import Ring
from collectors.network.rules.following import Following, summary
from collectors.network.sensor import Sensor
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.settings import NetworkSource, Settings
from pipeline.stage import STATE_AWAY

#: How long a ring without packets is waited for, and how often what it dropped is asked, in seconds.
_PATIENCE, _COUNT_SECONDS = 0.2, 1.0
#: How long after a fault it is tried again, in seconds.
_RETRY_SECONDS = 2.0
#: Events that wait to be taken in before the ring has to.
MAX_WAITING = 100_000
#: How often it is looked for alerts whose packets are to be kept, in seconds.
_EVIDENCE_SECONDS = 2.0
#: How long an ending source waits for its threads, in seconds.
_END_SECONDS = 4.0
#: The place that has failed where packet rules cannot be loaded at all.
_RULES = "packet rules"
#: The reason of packets that the kernel had no room for.
DROPPED = "dropped_by_kernel"


async def listen(source: NetworkSource, settings: Settings, intake: Intake) -> Listening:
    """Watch the source's interfaces until `Listening.close`."""
    listening = Listening(source.name)
    origin = Origin(source.name, settings.observer, settings.organization)
    try:
        program = bpf.compiled(source.filter) if source.filter else b""
    except HaidangError as error:
        listening.failed(source.name, str(error))
        return listening
    folders = {
        interface: settings.data_dir / "evidence" / source.name / interface
        for interface in source.interfaces
        if source.evidence_mb
    }
    watchers = [
        Watcher(interface, source, origin, intake, listening, program, folders.get(interface))
        for interface in source.interfaces
    ]
    for watcher in watchers:
        watcher.start()
    if folders:
        listening.task(_keep_evidence(EvidenceKeeper(intake.stage.engine, folders, source.evidence_kept_mb)))

    async def close() -> None:
        for watcher in watchers:
            watcher.stopping.set()
        await asyncio.gather(*(asyncio.to_thread(watcher.join, _END_SECONDS) for watcher in watchers))
        for watcher in watchers:
            watcher.give()

    listening.on_close(close)
    return listening


async def _keep_evidence(keeper: EvidenceKeeper) -> None:
    """Keep the packets of alerts; while the state is away they wait."""
    while True:
        await asyncio.sleep(_EVIDENCE_SECONDS)
        try:
            await asyncio.to_thread(keeper.look)
        except STATE_AWAY as error:
            log("network").error("evidence_waits", reason=str(error.orig))
        except OSError as error:
            log("network").error("no_evidence", reason=str(error))


class Watcher(threading.Thread):
    """Watches one interface. `program` filters it, `recorded` is where what flows begin with is kept."""

    def __init__(
        self,
        interface: str,
        source: NetworkSource,
        origin: Origin,
        intake: Intake,
        listening: Listening,
        program: bytes = b"",
        recorded: Path | None = None,
    ) -> None:
        super().__init__(name=f"network {interface}", daemon=True)
        self.stopping = threading.Event()
        self.sensor = Sensor(self._emit, source.max_flows)
        self._following = Following(source.rules, source.variables) if source.rules else None
        self._program = program
        self._recorder = Recorder(recorded, source.evidence_mb) if recorded is not None else None
        self._interface, self._source, self._origin = interface, source, origin
        self._intake, self._listening = intake, listening
        self._loop = asyncio.get_running_loop()
        self._place = f"interface {interface}"
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._dropped = 0
        self._counted = 0.0

    def run(self) -> None:
        """Watch until `stopping`; an interface that is not there, or goes, is waited for."""
        if self._following is not None:
            self._following.look()
            self._following.start()
        while not self.stopping.is_set():
            try:
                with self._ring() as ring:
                    self._in_loop(self._opened)
                    self._watch(ring)
            except OSError as error:
                self._in_loop(self._listening.failed, self._place, _reason(self._interface, error))
                self.stopping.wait(_RETRY_SECONDS)
            except Exception as error:  # a fault of ours: said, and tried again, instead of a sensor that is silent
                log("network").exception("sensor_failed", interface=self._interface)
                self._in_loop(self._listening.failed, self._place, repr(error))
                self.stopping.wait(_RETRY_SECONDS)
        self.sensor.finish()
        if self._recorder is not None:
            self._recorder.close()
        if self._following is not None:
            self._following.stopping.set()

    def _ring(self) -> Ring:
        source = self._source
        return Ring(self._interface, source.ring_mb, source.promiscuous, source.fanout, self._program)

    def give(self) -> None:
        """Give on what came since the last time; in the event loop."""
        if self.sensor.matcher is not None:
            self._listening.packet_rules |= self.sensor.matcher.detail()
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
        if lines:
            self._intake.take(self._source.name, lines, self._interface, live=False)  # the clock is our own
        if dropped:
            self._intake.drop(self._source.name, DROPPED, dropped)

    def _watch(self, ring: Ring) -> None:
        while not self.stopping.is_set():
            self._use_fresh_rules()
            for places in ring.blocks(_PATIENCE):
                self._use_fresh_rules()
                self.sensor.take(ring.buffer, places)
                if self._recorder is not None:
                    self._recorder.take(ring.buffer, places)
                self._hand_over(ring)
                if self.stopping.is_set():
                    return
            self.sensor.tick(time.time_ns() // 1_000)
            self._hand_over(ring)

    def _hand_over(self, ring: Ring) -> None:
        """Have the event loop take what there is; wait while it takes nothing."""
        if time.monotonic() - self._counted >= _COUNT_SECONDS:
            self._counted = time.monotonic()
            with self._lock:
                self._dropped += ring.count()
        if (self._lines or self._dropped) and self._intake.room:
            self._in_loop(self.give)
        while len(self._lines) > MAX_WAITING and not self.stopping.is_set():
            self.stopping.wait(_PATIENCE)
            if self._intake.room:
                self._in_loop(self.give)

    def _emit(self, fields: dict[str, Any], position: tuple[str | int, ...]) -> None:
        more = {"observer.ingress.interface.name": self._interface}
        line = self._origin.complete(fields, position, datetime.now(UTC), more)
        with self._lock:
            self._lines.append(line)

    def _use_fresh_rules(self) -> None:
        if self._following is None:
            return
        if (rules := self._following.taken()) is not None:
            self.sensor.use(rules)
            self._listening.packet_rules = summary(rules.loading)
            self._in_loop(self._listening.mended, _RULES)
        elif self._following.fault:
            self._in_loop(self._listening.failed, _RULES, self._following.fault)

    def _opened(self) -> None:
        self._listening.mended(self._place)
        if self._place not in self._listening.places:
            self._listening.opened(self._place)

    def _in_loop(self, call: Callable[..., object], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def _reason(interface: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return say("collectors.network_not_allowed", interface=interface)
    return say("collectors.no_interface", interface=interface, fault=error.strerror or error)

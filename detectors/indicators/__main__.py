"""`python -m detectors.indicators build|refresh|search`: one piece of work on indicators, started by the detectors."""

import os
import sys
import threading
import time
from collections.abc import Callable

from detectors.indicators import ready
from detectors.indicators.allow import of_settings
from detectors.indicators.following import BUILD, REFRESH, SEARCH, SETTLED_SECONDS
from detectors.indicators.kept import searches
from detectors.indicators.refreshing import due, forget_unnamed, refresh
from detectors.indicators.retro import Retro
from detectors.indicators.warnings import take_over
from pipeline.bus import ALERTS, SlowDown, open_bus
from pipeline.event import Event, encode
from pipeline.frame import pack
from pipeline.logs import log, start_log
from pipeline.messages import HaidangError, choose_language
from pipeline.settings import Settings, load_settings
from pipeline.state import open_state
from pipeline.stopping import stop_on_signals
from pipeline.store import open_reader

#: How long a full bus is waited for before trying again, in seconds.
_SLOW_DOWN_SECONDS = 0.5
#: How much this gives way to the stages, which must keep up.
_NICENESS = 10


def main() -> int:
    """Do one piece of work; exit status 0: done, as far as it could be."""
    os.umask(0o077)  # nobody else reads a site's data
    os.nice(_NICENESS)
    stopping = stop_on_signals()
    settings = load_settings()
    choose_language(settings.language)
    start_log(settings.data_dir, "indicators", settings.log_level)
    try:
        {BUILD: _build, REFRESH: _refresh, SEARCH: _search}[sys.argv[1]](settings, stopping)
    except HaidangError as error:
        log("indicators").error("cannot_run", work=sys.argv[1], error=str(error))
        return 2
    return 0


def _build(settings: Settings, _stopping: threading.Event) -> None:
    ready.make(open_state(settings.data_dir, settings.state), settings)


def _refresh(settings: Settings, stopping: threading.Event) -> None:
    engine = open_state(settings.data_dir, settings.state)
    forget_unnamed(engine, settings)
    for feed in due(engine, settings, time.time()):
        if not stopping.is_set():
            refresh(engine, settings, feed)
    take_over(engine, settings)


def _search(settings: Settings, stopping: threading.Event) -> None:
    engine = open_state(settings.data_dir, settings.state)
    everything = ready.current(engine, settings)
    reader = open_reader(settings.data_dir, settings.store)
    publish = _publisher(settings, stopping)
    retro = Retro(engine, reader, settings, of_settings(settings.indicators), publish)
    for search in searches(engine, waiting=True):
        if not stopping.is_set() and abs(time.time() - search.created) >= SETTLED_SECONDS:
            retro.run(search, everything)
    reader.close()


def _publisher(settings: Settings, stopping: threading.Event) -> Callable[[list[Event]], bool]:
    bus = open_bus(settings.data_dir, settings.bus)

    def publish(alerts: list[Event]) -> bool:
        while not stopping.is_set():
            try:
                bus.publish(ALERTS, list(pack("haidang", map(encode, alerts))))
                return True
            except SlowDown:
                stopping.wait(_SLOW_DOWN_SECONDS)
        return False

    return publish


if __name__ == "__main__":
    sys.exit(main())

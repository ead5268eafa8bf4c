"""The stage's body: one copy leads and lets a courier for each profile work; all say how they fare.

Profiles are looked at again and again: a file that is put there, changed or taken away counts within seconds.
"""

import time
from collections.abc import Mapping

from pipeline.lead import Lead
from pipeline.logs import log
from pipeline.outward.watchdog import Watchdog
from pipeline.own_alerts import Teller
from pipeline.stage import STATE_AWAY, Stage
from sharing import book, inbox, polling, watching
from sharing.courier import Courier
from sharing.profile import Fault, Named, profiles_of

_LOOK_SECONDS = 2.0
_CLEAN_SECONDS = 3600.0
#: How often it is looked whether something is wrong that people must know, in seconds.
_WATCH_SECONDS = 30.0
#: How often our own collection `inbox` is read, in seconds.
_READ_SECONDS = 5.0
#: How often it is looked whether a report is to be made, in seconds.
_REPORT_SECONDS = 60.0
#: How long couriers may take to end when the stage stops, in seconds.
_END_SECONDS = 10.0


def share(stage: Stage) -> None:
    """Share until the stage is stopped."""
    lead, watchdog, teller = Lead(stage, "messages"), Watchdog(), Teller(stage.bus)
    couriers: dict[str, Courier] = {}
    lead.look()
    stage.beat(now=True, detail={"ready": True})
    looked = cleaned = time.monotonic()
    watched, reported, read = looked - _WATCH_SECONDS, looked - _REPORT_SECONDS, looked - _READ_SECONDS
    good, bad = profiles_of(stage.settings)
    try:
        while True:
            _follow(stage, lead, watchdog, couriers, good)
            stage.beat(detail=_detail(lead, couriers, bad))
            if stage.stopping.wait(_LOOK_SECONDS / 4):
                break
            if time.monotonic() - looked >= _LOOK_SECONDS:
                looked = time.monotonic()
                lead.look()
                good, bad = profiles_of(stage.settings)
            if lead.held.is_set() and time.monotonic() - watched >= _WATCH_SECONDS:
                watched = time.monotonic()
                with stage.engine.connect().execution_options(read_only=True) as connection:
                    alerts = watching.judge(connection, stage.settings, good, bad, time.time())
                teller.tell(alerts)
            if (
                lead.held.is_set()
                and stage.settings.sharing.taxii.warnings
                and time.monotonic() - read >= _READ_SECONDS
            ):
                read = time.monotonic()
                polling.read_own(stage.engine, time.time())
                inbox.work(stage.engine, polling.OWN, None, time.time())
            if lead.held.is_set() and time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                _report(stage)
            if lead.held.is_set() and time.monotonic() - cleaned >= _CLEAN_SECONDS:
                cleaned = time.monotonic()
                with stage.engine.begin() as connection:
                    book.forget_old(connection, time.time(), stage.settings.sharing.keep_days * 86_400)
    finally:
        for courier in couriers.values():
            courier.end()
        watchdog.stop()
        deadline = time.monotonic() + _END_SECONDS
        for courier in couriers.values():
            courier.join(max(0.0, deadline - time.monotonic()))
    lead.leave()


def _report(stage: Stage) -> None:
    """Make the reports that are due; one that cannot be made now is tried again, and holds nothing else."""
    if not stage.settings.sharing.reports:
        return
    from sharing.reports.book import make_due, now_in

    try:
        for identifier in make_due(stage.engine, stage.settings, now_in(stage.settings)):
            log("sharing").info("report_made", report=identifier)
    except STATE_AWAY:
        raise
    except Exception as error:  # a store that is away, a fault of ours
        log("sharing").error("report_not_made", reason=f"{type(error).__name__}: {error}"[:300])


def _follow(stage: Stage, lead: Lead, watchdog: Watchdog, couriers: dict[str, Courier], good: list[Named]) -> None:
    """Have a courier for each active profile as it is now, and none for any other."""
    wanted = {named.name: named for named in good if named.profile.active}
    for name, courier in list(couriers.items()):
        if wanted.get(name) != courier.named or not courier.is_alive():
            courier.end()
            if not courier.is_alive():
                del couriers[name]
    for name in wanted.keys() - couriers.keys():
        log("sharing").info("profile", name=name, format=wanted[name].profile.format)
        couriers[name] = Courier(stage, wanted[name], watchdog, lead.held, lead.confirm)
        couriers[name].start()


def _detail(lead: Lead, couriers: Mapping[str, Courier], bad: list[Fault]) -> dict[str, object]:
    failures = {fault.name: "; ".join(fault.faults)[:1000] for fault in bad}
    return {"ready": True, "leads": lead.held.is_set(), "profiles": sorted(couriers), "failures": failures}

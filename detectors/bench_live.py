"""`bench behaviours --live`: traffic of a busy site with attacks in it enters a running site, in real time; how long
after its last event each attack stood in the queue leaves.

The site is whole: its detectors read the bus, with all rules and behaviours in force, and its store writes what comes.
Only the sensor is left out: events are published as collectors do. An attack has as many events as its rule needs and
not one more, so the moment of the last one is known.
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count as numbers
from typing import Any

from sqlalchemy import select

from detectors.bench_attacks import Attack, attacks
from detectors.bench_traffic import Traffic, line_of
from pipeline.bus import EVENTS, Bus, SlowDown, open_bus
from pipeline.command.bench.site import Site, Usage, running_site
from pipeline.event import event_id, from_micros
from pipeline.frame import pack
from pipeline.settings import Bus as BusSettings
from pipeline.state.tables import alerts

_SECONDS, _RATE = 600.0, 5_000
#: An alert later than this after the last event that it needs is too late, in seconds.
LATE_SECONDS = 5.0
#: How often events are published, and how long the last alerts are waited for, in seconds.
_TICK, _PATIENCE = 0.05, 20.0
#: How often all attacks begin anew, from other addresses; how far they and their events are apart, in seconds.
_ROUND, _APART, _STEP = 30.0, 0.5, 0.1
#: Nothing is measured before the site has come to rest, in seconds.
_SETTLE = 3.0


@dataclass
class _Sent:
    """What was sent: how many events, when the last one of each attack was, and how late a batch was at most."""

    events: int = 0
    bytes: int = 0
    lasts: dict[tuple[str, str], float] = field(default_factory=dict)
    late: float = 0.0


def measure_live(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; `ok` is whether every attack was found in time."""
    seconds, rate = chosen.seconds or _SECONDS, chosen.rate or _RATE
    with running_site() as site:
        time.sleep(_SETTLE)
        usage = Usage(site.supervisor)
        queue = open_bus(site.data_dir, BusSettings())
        began = time.monotonic()
        sent = _send(queue, seconds, Traffic(rate))
        spent = time.monotonic() - began
        _wait_for(site, sent)
        usage.stop()
        queue.close()
        found = _found(site)
    return {
        "flows_per_second": rate, "seconds": round(spent, 1), "events": sent.events,
        "events_per_second": round(sent.events / spent), "bytes_an_event": round(sent.bytes / max(sent.events, 1)),
        "sender_late_seconds": round(sent.late, 2),
        **_delays(sent.lasts, found),
        **{f"{name}_processor_share": round(cpu / spent, 3) for name, cpu in sorted(usage.cpu.items())},
        "detectors_mb": usage.peaks_mb.get("detectors", 0), "memory_mb": usage.peak_mb,
    }  # fmt: skip


def _send(queue: Bus, seconds: float, traffic: Traffic) -> _Sent:
    """Publish traffic and attacks as their time comes."""
    sent = _Sent()
    plan = _plan(seconds)
    following = next(plan, None)
    began = before = time.time()
    while before - began < seconds:
        time.sleep(max(0.0, before + _TICK - time.time()))
        now = time.time()
        micros = round(now * 1_000_000)
        lines = list(traffic.between(before, now))
        while following is not None and began + following[0] <= now:
            _, attack, number, fields = following
            identifier = event_id("bench", attack.rule, attack.number, number)
            lines.append(line_of(identifier, micros, {**fields, "event.ingested": from_micros(micros)}))
            if number + 1 == len(attack.events):
                sent.lasts[attack.rule, identifier] = now
            following = next(plan, None)
        _publish(queue, lines)
        sent.events += len(lines)
        sent.bytes += sum(map(len, lines))
        sent.late = max(sent.late, now - before - _TICK)
        before = now
    return sent


def _plan(seconds: float) -> Iterator[tuple[float, Attack, int, Mapping[str, Any]]]:
    """Yield what of the attacks is due when: all that are over before the end."""
    planned = []
    for number in numbers():
        start = number * _ROUND
        if start >= seconds:
            break
        for place, attack in enumerate(attacks(number)):
            begin = start + place * _APART
            if begin + len(attack.events) * _STEP < seconds:
                planned += [(begin + n * _STEP, attack, n, fields) for n, fields in enumerate(attack.events)]
    return iter(sorted(planned, key=lambda each: each[0]))


def _publish(queue: Bus, lines: Iterable[bytes]) -> None:
    frames = list(pack("sensor", lines))
    while True:
        try:
            queue.publish(EVENTS, frames)
            return
        except SlowDown:
            time.sleep(_TICK)


def _found(site: Site) -> dict[tuple[str, str], float]:
    """Return when each alert came into the queue, by its rule and the event that made it fire."""
    with site.engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(alerts.c.rule_id, alerts.c.created, alerts.c.document)).all()
    return {(row.rule_id, row.document["alert.evidence"][-1]["event.id"]): row.created for row in rows}


def _wait_for(site: Site, sent: _Sent) -> None:
    """Wait until all attacks are found, for a while."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not sent.lasts.keys() <= _found(site).keys():
        site.supervisor.check()
        time.sleep(1)


def _latest(delays: Iterable[float]) -> float | str:
    latest = max(delays)
    return round(latest, 2) if latest < float("inf") else "missed"


def _delays(lasts: Mapping[tuple[str, str], float], found: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """Return how late the alerts on attacks were, of each rule at most; other alerts are counted."""
    late: dict[str, list[float]] = {}
    for key, at in lasts.items():
        late.setdefault(key[0].removeprefix("behaviour."), []).append(found.get(key, float("inf")) - at)
    every = sorted(delay for delays in late.values() for delay in delays)
    missed = sum(delay == float("inf") for delay in every)
    too_late = sum(LATE_SECONDS < delay < float("inf") for delay in every)
    seen = [delay for delay in every if delay < float("inf")] or [0.0]
    return {
        "attacks": len(every), "attacks_missed": missed, "attacks_too_late": too_late,
        "ok": bool(every) and not missed and not too_late,
        "alert_median_seconds": round(statistics.median(seen), 2), "alert_max_seconds": round(seen[-1], 2),
        **{f"{rule}_max_seconds": _latest(delays) for rule, delays in sorted(late.items())},
        "other_alerts": len(found.keys() - lasts.keys()),
    }  # fmt: skip

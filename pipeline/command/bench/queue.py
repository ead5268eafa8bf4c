"""`bench queue`: alerts go the way of all alerts into the queue of a running site, and pages of it are asked for.

First as many as it is to hold, as fast as it takes them (`--events`); then `--rate` a second for `--seconds`. Pages are
asked for over HTTP, the ones that analysts look at most, without other load and beside it. In the end every alert has
its row, and the groups' numbers add up to them.
"""

import argparse
import http.client
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import func, select

from pipeline import access
from pipeline.bus import ALERTS, Bus, SlowDown, open_bus
from pipeline.command.bench.site import LIMIT_SECONDS, Site, detail, running_site
from pipeline.event import Event, encode, event_id, from_micros
from pipeline.frame import pack
from pipeline.messages import HaidangError
from pipeline.own_alerts import SEVERITY
from pipeline.queue import grouping
from pipeline.settings import Bus as BusSettings
from pipeline.state.tables import alert_groups, alerts, outbox, stages

_ALERTS = 1_000_000
_RATE = 1000
_SECONDS = 60.0
_PART = 2000
_DAYS = 30
_RULES, _HOSTS = 300, 5000
_LEVELS = ("low", "medium", "high", "critical")
_TACTICS = ("execution", "persistence", "discovery", "credential-access", "lateral-movement", "exfiltration")
_PAGES = (
    {"sort": "risk"}, {"sort": "last"}, {"sort": "opened"}, {"level": "critical"}, {"status": "all", "sort": "last"},
    {"rule": "rule-3"}, {"entity": "host:pc-7"}, {"sort": "risk", "offset": "200"},
)  # fmt: skip
_PAUSE_SECONDS = 0.2


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures."""
    count = chosen.events or _ALERTS
    rate, seconds = chosen.rate or _RATE, chosen.seconds or _SECONDS
    with running_site() as site:
        address = detail(site.engine, "api")["address"]
        with site.engine.begin() as connection:
            token = access.create_token(connection, "bench", access.API, "viewer")
        bus = open_bus(site.data_dir, BusSettings())
        made = _alerts(count + round(rate * seconds))
        client = _Client(address, token)
        with closing(client):
            started = time.monotonic()
            while part := list(islice(made, min(_PART, count))):
                count -= len(part)
                _publish(bus, part)
            filled = _wait(site, chosen.events or _ALERTS)
            figures: dict[str, Any] = {
                "alerts a second, as fast as it goes": round(filled / (time.monotonic() - started))
            }
            _settle(site)
            figures |= _told("page", [_ask(client, page) for page in islice(cycle(_PAGES), 200)])
            took, late = _live(site, bus, client, made, rate, seconds)
            figures |= {f"{name}, {rate} alerts a second": value for name, value in _told("page", took).items()}
            figures["seconds until the last one was in the queue"] = late
        bus.close()
        return figures | _count(site, filled + round(rate * seconds))


def _alerts(count: int) -> Iterator[Event]:
    """Yield alerts in the order of their times: few rules make most of them, some hosts have many."""
    chance = random.Random(1)  # noqa: S311 - no secret
    start = time.time_ns() // 1000 - _DAYS * 86_400_000_000
    step = _DAYS * 86_400_000_000 // count
    evidence = [{"message": "x" * 300, "host.name": "pc"}]
    for number in range(count):
        rule = int(_RULES * chance.random() ** 3)
        level = _LEVELS[rule % len(_LEVELS)]
        yield {
            "@timestamp": from_micros(start + number * step), "event.id": event_id("bench", number),
            "event.kind": "alert", "rule.id": f"rule-{rule}", "rule.name": f"Rule {rule}", "rule.level": level,
            "event.severity": SEVERITY[level], "host.name": f"pc-{int(_HOSTS * chance.random() ** 2)}",
            "user.name": f"canbo{int(1000 * chance.random())}", "tags": [f"attack.{_TACTICS[rule % len(_TACTICS)]}"],
            "alert.status": "new", "alert.count": 1, "alert.matches": [], "alert.evidence": evidence,
        }  # fmt: skip


def _publish(bus: Bus, part: list[Event]) -> None:
    frames = list(pack("bench", [encode(alert) for alert in part]))
    while True:
        try:
            bus.publish(ALERTS, frames)
        except SlowDown:
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _live(
    site: Site, bus: Bus, client: "_Client", made: Iterator[Event], rate: int, seconds: float
) -> tuple[list[float], float]:
    """Send at a rate and ask for pages meanwhile; return how long these took, and how late the last alert was."""
    before = _held(site)
    pages = cycle(_PAGES)
    took: list[float] = []
    started = time.monotonic()
    sent = 0
    while sent < round(rate * seconds):
        due = min(round(rate * (time.monotonic() - started)), round(rate * seconds)) - sent
        if due > 0:
            part = list(islice(made, due))
            _publish(bus, part)
            sent += len(part)
        took.append(_ask(client, next(pages)))
        time.sleep(_PAUSE_SECONDS / 2)
    ended = time.monotonic()
    _wait(site, before + sent)
    return took, round(time.monotonic() - ended, 2)


class _Client:
    """Asks for pages over one connection, as a browser does."""

    def __init__(self, address: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(address.partition("://")[2], timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> None:
        """Ask for something.

        Raises:
            HaidangError: it is refused.
        """
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise HaidangError("command.bench.refused", path=path, status=answer.status)

    def close(self) -> None:
        """Ask for nothing more."""
        self._connection.close()


def _ask(client: _Client, page: dict[str, str]) -> float:
    started = time.perf_counter()
    client.get(f"/api/v1/alerts/groups?{urlencode(page)}")
    return (time.perf_counter() - started) * 1000


def _told(name: str, took: list[float]) -> dict[str, float]:
    return {
        f"{name}: median, ms": round(statistics.median(took), 1),
        f"{name}: 95th percentile, ms": round(statistics.quantiles(took, n=20)[-1], 1),
    }


def _held(site: Site) -> int:
    with site.engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(select(func.count()).select_from(alerts).where(alerts.c.source == "bench")) or 0


def _wait(site: Site, count: int) -> int:
    """Wait until so many alerts are in the queue."""
    until = time.monotonic() + LIMIT_SECONDS * 3
    while (held := _held(site)) < count:
        if time.monotonic() > until:
            raise HaidangError("command.bench.not_ready")
        site.supervisor.check()
        time.sleep(1 if count > 100_000 else 0.1)
    return held


def _settle(site: Site) -> None:
    """Wait until the copies of what is in the queue are on their way: then the site is at rest."""
    until = time.monotonic() + LIMIT_SECONDS
    waiting = select(func.sum(stages.c.backlog_events))
    owed = select(func.count()).select_from(outbox)
    while time.monotonic() < until:
        time.sleep(3)  # longer than a stage takes to say how it fares
        with site.engine.connect().execution_options(read_only=True) as connection:
            if not connection.scalar(waiting) and not connection.scalar(owed):
                return


def _count(site: Site, sent: int) -> dict[str, Any]:
    with site.engine.connect().execution_options(read_only=True) as connection:
        held = _held(site)
        summed = sum((alert_groups.c[name] for name in grouping.STATUSES[1:]), start=alert_groups.c.new)
        query = select(func.count().label("groups"), func.sum(summed).label("alerts"))
        row = connection.execute(query.where(alert_groups.c.rule_id.like("rule-%"))).one()
    return {"alerts": held, "groups": row.groups, "ok": held == sent == row.alerts}

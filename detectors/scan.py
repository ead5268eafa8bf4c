"""Scans: TCP connections enter, alerts on sources that look for open ports or for hosts leave.

Four looks at the same failures:

- `host_sweep` by the sequential hypothesis test "TRW" (Jung, Paxson, Berger, Balakrishnan, "Fast Portscan Detection
  Using Sequential Hypothesis Testing", IEEE S&P 2004): the outcome of a source's *first*
  connection to each host of ours;
- `host_sweep` by 25 hosts on one port, `port_scan` by 15 ports of one host in 5 minutes (the thresholds of Zeek's
  policy/misc/scan.zeek);
- `slow_scan` by 25 host and port pairs in 15 minutes, 250 for a source of ours (those of bro-simple-scan).

A source that gets in at as many hosts as it does not is busy, and no sweep or slow scan by count.
Only what the source itself has asked for counts: half connections and answers to forged ones (back-scatter) do not.
"""

import math
from collections.abc import Iterable
from typing import Any

from detectors.behaviour import HOUR, MINUTE, About, Behaviour, Keys, Recent, Seen, alert, listed, recents
from pipeline.event import Event
from pipeline.networks import LOCAL, NOWHERE, Site
from pipeline.settings import Behaviours

#: What is wanted of the test (Jung et al., section 5): scanners found, others taken for one.
P_DETECTION, P_FALSE = 0.99, 0.01
#: How often a first connection succeeds: of others, of scanners.
THETA_0, THETA_1 = 0.8, 0.2
#: The bounds of the likelihood ratio, and what an outcome adds to it; all as logarithms.
_SCANNER = math.log(P_DETECTION / P_FALSE)
_HARMLESS = math.log((1 - P_DETECTION) / (1 - P_FALSE))
_SUCCESS, _FAILURE = math.log(THETA_1 / THETA_0), math.log((1 - THETA_1) / (1 - THETA_0))
#: For how long a host counts as one that the source has been at, and how many such hosts are known of a source.
_FIRST_AGE, _FIRST_HOSTS = HOUR, 100

_REFERENCES = ("https://doi.org/10.1109/SECPRI.2004.1301325",)
_TAGS = ("attack.discovery", "attack.t1046")
PORT_SCAN = About("port_scan", "low", _TAGS)
HOST_SWEEP = About("host_sweep", "low", ("attack.discovery", "attack.t1046", "attack.t1018"), _REFERENCES)
SLOW_SCAN = About("slow_scan", "low", _TAGS)


class Walk:
    """A source's walk between the two bounds: the ratio so far, hosts it has been at, and those that failed."""

    __slots__ = ("failed", "hosts", "ratio")

    def __init__(self, plain: tuple[float, list[Any], list[Any]] = (0.0, [], [])) -> None:
        self.ratio = plain[0]
        self.hosts = Recent(plain[1])
        self.failed = Recent(plain[2])

    def step(self, host: str, refused: bool, time: int, identifier: str) -> bool:
        """Take the outcome of a connection; say whether it is a scanner by now."""
        known = self.hosts.values.get(host)
        first = known is None or known[0] < time - _FIRST_AGE
        self.hosts.add(host, time, identifier, _FIRST_AGE, _FIRST_HOSTS)
        if not first:
            return False
        self.ratio += _FAILURE if refused else _SUCCESS
        if refused:
            self.failed.add(host, time, identifier, _FIRST_AGE, _FIRST_HOSTS)
        if self.ratio <= _HARMLESS:
            self.ratio = 0.0
            self.failed = Recent()
        return self.ratio >= _SCANNER

    def plain(self) -> tuple[float, list[Any], list[Any]]:
        """Give it as JSON can write it."""
        return self.ratio, self.hosts.plain(), self.failed.plain()


class Scan(Behaviour):
    """Port scans, host sweeps and slow scans."""

    name = "scan"
    kinds = frozenset(("flow",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._chosen = chosen = settings.scan
        self._span, self._slow = int(chosen.minutes * MINUTE), int(chosen.slow_minutes * MINUTE)
        self._walks: Keys[Walk] = Keys(self.most, _FIRST_AGE, Walk, Walk.plain)
        self._ports = recents(self.most, self._span)
        self._hosts = recents(self.most, self._span)
        self._pairs = recents(self.most, self._slow)
        self._reached = recents(self.most, max(self._span, self._slow))
        self.tables |= {
            "reached": self._reached,
            "walks": self._walks,
            "ports": self._ports,
            "hosts": self._hosts,
            "pairs": self._pairs,
        }

    def take(self, seen: Seen) -> Iterable[Event]:
        refused = seen.refused
        if refused is None or seen.port < 0 or not seen.ended or self.site.where(seen.destination) == NOWHERE:
            return ()
        where = self.site.where(seen.source)
        if where == NOWHERE:
            return ()
        found: list[Event] = []
        level = "medium" if where == LOCAL else "low"
        if self._chosen.hosts_unanswered and self.site.where(seen.destination) == LOCAL:
            walk = self._walks.touch(seen.source, seen.time)
            if walk.step(seen.destination, refused, seen.time, seen.id):
                walk.ratio = 0.0
                failed, walk.failed = walk.failed, Recent()
                found += self._sweep(seen, failed, level, -1)
        if refused:
            found += self._failures(seen, level, where)
        else:
            self._reach(seen)
        return found

    def _reach(self, seen: Seen) -> None:
        """Count what lets a source in, of which something else does not: most of what a busy host tries is there."""
        chosen, time = self._chosen, seen.time
        if self._hosts.look((seen.source, seen.port), time) is not None:
            reached = self._reached.touch((seen.source, seen.port), time)
            reached.add(seen.destination, time, seen.id, self._span, chosen.hosts)
        if self._pairs.look(seen.source, time) is not None:
            reached = self._reached.touch((seen.source, -1), time)
            most = max(chosen.slow_local, chosen.slow_remote)
            reached.add((seen.destination, seen.port), time, seen.id, self._slow, most)

    def _is_busy(self, source: str, port: int, time: int, span: int, failures: int) -> bool:
        """Whether as many let a source in as do not."""
        reached = self._reached.look((source, port), time)
        return reached is not None and reached.count(time - span) >= failures

    def _failures(self, seen: Seen, level: str, where: str) -> Iterable[Event]:
        chosen, time = self._chosen, seen.time
        ports = self._ports.touch((seen.source, seen.destination), time)
        if ports.add(seen.port, time, seen.id, self._span, chosen.ports) >= chosen.ports:
            yield from self._port_scan(seen, ports, level)
        hosts = self._hosts.touch((seen.source, seen.port), time)
        if hosts.add(seen.destination, time, seen.id, self._span, chosen.hosts) >= chosen.hosts and not self._is_busy(
            seen.source, seen.port, time, self._span, chosen.hosts
        ):
            yield from self._sweep(seen, hosts, level, seen.port)
        most = chosen.slow_local if where == LOCAL else chosen.slow_remote
        pairs = self._pairs.touch(seen.source, time)
        if pairs.add((seen.destination, seen.port), time, seen.id, self._slow, most) >= most and not self._is_busy(
            seen.source, -1, time, self._slow, most
        ):
            yield from self._slow_scan(seen, pairs, level)

    def _port_scan(self, seen: Seen, ports: Recent, level: str) -> Iterable[Event]:
        self.told.set(("pairs", seen.source), 1, seen.time)  # it is no slow scan as well
        if self.is_news(("ports", seen.source, seen.destination), seen.time):
            values = {
                "source": seen.source, "destination": seen.destination, "count": len(ports.values),
                "seconds": _seconds(ports, seen), "ports": listed(sorted(ports.values)),
            }  # fmt: skip
            entities = {"source.ip": seen.source, "destination.ip": seen.destination}
            yield alert(PORT_SCAN, seen, (seen.source, seen.destination), entities, values, ports, level)

    def _sweep(self, seen: Seen, hosts: Recent, level: str, port: int) -> Iterable[Event]:
        self.told.set(("pairs", seen.source), 1, seen.time)
        if self.is_news(("hosts", seen.source), seen.time):
            values = {
                "source": seen.source, "count": len(hosts.values), "seconds": _seconds(hosts, seen),
                "port": str(seen.port), "hosts": listed(hosts.values),
            }  # fmt: skip
            entities = {"source.ip": seen.source, "destination.port": port}
            yield alert(HOST_SWEEP, seen, (seen.source,), entities, values, hosts, level)

    def _slow_scan(self, seen: Seen, pairs: Recent, level: str) -> Iterable[Event]:
        if self.is_news(("pairs", seen.source), seen.time):
            values = {
                "source": seen.source, "count": len(pairs.values), "minutes": _seconds(pairs, seen) / 60,
                "hosts": len({host for host, _ in pairs.values}),
            }  # fmt: skip
            yield alert(SLOW_SCAN, seen, (seen.source,), {"source.ip": seen.source}, values, pairs, level)


def _seconds(window: Recent, seen: Seen) -> float:
    return round((seen.time - window.since) / 1_000_000, 2)

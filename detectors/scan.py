"""Scans: connections enter, alerts on sources that look for open ports or for hosts leave.

Five looks at the same failures of TCP:

- `host_sweep` by the sequential hypothesis test "TRW" (Jung, Paxson, Berger, Balakrishnan, "Fast Portscan Detection
  Using Sequential Hypothesis Testing", IEEE S&P 2004): the outcome of a source's *first*
  connection to each host of ours;
- `host_sweep` by 25 hosts on one port, `port_scan` by 15 ports of one host in 5 minutes (the thresholds of Zeek's
  policy/misc/scan.zeek);
- `slow_scan` by 25 host and port pairs in 15 minutes, 250 for a source of ours (those of bro-simple-scan);
- `port_scan` by 30 ports of one host in a day, where both are ours: who takes his time.

A port counts for `port_scan` as well that was opened and closed without a byte, or to which a packet came that begins
nothing (FIN, Xmas, null and ACK scans) and was answered as such a one is. A source that gets in at as many hosts as it
does not is busy, and no sweep or slow scan by count.
Only what the source itself has asked for counts: half connections and answers to forged ones (back-scatter) do not.

Of UDP, which knows no refusal, `udp_scan` counts the ports of one host to which a few datagrams went and nothing came
back; of ICMP, `icmp_sweep` counts the hosts that were asked for an echo, the time or their mask. Both thresholds are
those of TCP.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from detectors.behaviour import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    SERVICES,
    About,
    Behaviour,
    Keys,
    Recent,
    Seen,
    alert,
    listed,
    recents,
    text,
    whole,
)
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

#: Within this, hosts that were not asked before are asked by a program that looks for them.
_QUICK = 10 * SECOND
#: Packets and bytes of either side of a look at a port, at most: two or three without anything in them.
_LOOK = (("source.packets", 3), ("destination.packets", 3), ("source.bytes", 180), ("destination.bytes", 180))
#: Datagrams of a probe, at most: what goes on without an answer is a stream, such as a log, a trap or a voice.
_PROBE = 4
#: Ports that traceroute asks so that nobody answers (its own default, and 100 further ones).
_TRACEROUTE = range(33434, 33535)
#: Requests of ICMP: echo, timestamp, address mask; echo of ICMPv6.
_REQUESTS = {"icmp": frozenset((8, 13, 17)), "ipv6-icmp": frozenset((128,))}

_REFERENCES = ("https://doi.org/10.1109/SECPRI.2004.1301325",)
_TAGS = ("attack.discovery", "attack.t1046")
PORT_SCAN = About("port_scan", "low", _TAGS)
HOST_SWEEP = About("host_sweep", "low", ("attack.discovery", "attack.t1046", "attack.t1018"), _REFERENCES)
SLOW_SCAN = About("slow_scan", "low", _TAGS)
UDP_SCAN = About("udp_scan", "low", _TAGS)
ICMP_SWEEP = About("icmp_sweep", "low", ("attack.discovery", "attack.t1018"))


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
    """Port scans, host sweeps and slow scans, of TCP, UDP and ICMP."""

    name = "scan"
    kinds = frozenset(("flow",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._chosen = chosen = settings.scan
        self._span, self._slow = int(chosen.minutes * MINUTE), int(chosen.slow_minutes * MINUTE)
        self._walks: Keys[Walk] = Keys(self.most, _FIRST_AGE, Walk, Walk.plain)
        self._ports = recents(self.most, self._span)
        self._day = recents(self.most, DAY)
        self._hosts = recents(self.most, self._span)
        self._pairs = recents(self.most, self._slow)
        self._reached = recents(self.most, max(self._span, self._slow))
        self._unanswered = recents(self.most, self._span)
        self._asked = recents(self.most, self._span)
        self._silent = recents(self.most, self._span)
        self._new = recents(self.most, _QUICK)
        self.tables |= {
            "reached": self._reached,
            "walks": self._walks,
            "ports": self._ports,
            "day": self._day,
            "hosts": self._hosts,
            "pairs": self._pairs,
            "unanswered": self._unanswered,
            "asked": self._asked,
            "silent": self._silent,
            "new": self._new,
        }

    def take(self, seen: Seen) -> Iterable[Event]:
        if seen.refused is not None:
            look: Callable[[Seen, str], Iterable[Event]] = self._connection
        elif seen.transport == "udp":
            look = self._datagrams
        elif seen.transport in _REQUESTS:
            look = self._request
        elif seen.transport == "tcp" and text(seen.event, "flow.state") == "OTH" and _is_look(seen):
            look = self._port
        else:
            return ()
        where, target = self.site.where(seen.source), self.site.where(seen.destination)
        if NOWHERE in (where, target):
            return ()
        # Scans of ours from outside never end. Where neither side is ours, one of them is, and nobody has said so.
        return look(seen, "low" if where != LOCAL == target else "medium")

    def _connection(self, seen: Seen, level: str) -> Iterable[Event]:
        if seen.port < 0 or not seen.ended:
            return ()
        refused = bool(seen.refused)
        found: list[Event] = []
        if self._chosen.hosts_unanswered and self.site.where(seen.destination) == LOCAL:
            walk = self._walks.touch(seen.source, seen.time)
            if walk.step(seen.destination, refused, seen.time, seen.id):
                walk.ratio = 0.0
                failed, walk.failed = walk.failed, Recent()
                found += self._sweep(seen, failed, level, -1)
        if refused:
            found += self._failures(seen, level, self.site.where(seen.source))
        else:
            self._reach(seen)
            if _is_look(seen):
                found += self._port(seen, level)
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

    def _is_busy(self, source: str, what: int | str, time: int, span: int, failures: int) -> bool:
        """Whether so many let a source in: on a port, on any (-1), or so many ports of a host answered by UDP."""
        reached = self._reached.look((source, what), time)
        return reached is not None and reached.count(time - span) >= failures

    def _failures(self, seen: Seen, level: str, where: str) -> Iterable[Event]:
        chosen, time = self._chosen, seen.time
        yield from self._port(seen, level)
        if where == LOCAL and self.site.where(seen.destination) == LOCAL:
            day = self._day.touch((seen.source, seen.destination), time)
            if day.add(seen.port, time, seen.id, DAY, chosen.slow_ports) >= chosen.slow_ports:
                yield from self._port_scan(seen, day, level)
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

    def _port(self, seen: Seen, level: str) -> Iterable[Event]:
        """Count a port of a host that was tried."""
        ports = self._ports.touch((seen.source, seen.destination), seen.time)
        most = self._chosen.ports
        if ports.add(seen.port, seen.time, seen.id, self._span, most) >= most:
            yield from self._port_scan(seen, ports, level)

    def _datagrams(self, seen: Seen, level: str) -> Iterable[Event]:
        """Count a flow of UDP to a port that was asked and did not answer."""
        chosen, time = self._chosen, seen.time
        pair = seen.source, seen.destination
        answers = whole(seen.event, "destination.packets")
        is_answer = 0 <= seen.source_port < SERVICES <= seen.port
        if seen.port < 0 or answers < 0 or is_answer or not seen.ended:  # of half a flow nobody knows what came back
            return
        if answers:
            if self._unanswered.look(pair, time) is not None:
                self._reached.touch(pair, time).add(seen.port, time, seen.id, self._span, chosen.ports)
            return
        if whole(seen.event, "source.packets") > _PROBE or seen.port in _TRACEROUTE:
            return
        ports = self._unanswered.touch(pair, time)
        count = ports.add(seen.port, time, seen.id, self._span, chosen.ports)
        if count < chosen.ports or self._is_busy(*pair, time, self._span, count // 2):
            return
        if self.is_news(("datagrams", *pair), time):
            values = {
                "source": seen.source, "destination": seen.destination, "count": count,
                "seconds": _seconds(ports, seen), "ports": listed(sorted(ports.values)),
            }  # fmt: skip
            entities = {"source.ip": seen.source, "destination.ip": seen.destination}
            yield alert(UDP_SCAN, seen, pair, entities, values, ports, level)

    def _request(self, seen: Seen, level: str) -> Iterable[Event]:
        """Count a host that was asked by ICMP, and whether it is known not to have answered."""
        chosen, time, source = self._chosen, seen.time, seen.source
        if whole(seen.event, "icmp.type") not in _REQUESTS[seen.transport]:
            return
        hosts, silent = self._asked.touch(source, time), self._silent.touch(source, time)
        if seen.destination not in hosts.values:  # monitoring asks the same ones again and again
            self._new.touch(source, time).add(seen.destination, time, seen.id, _QUICK, chosen.hosts_silent)
        count = hosts.add(seen.destination, time, seen.id, self._span, chosen.hosts)
        if whole(seen.event, "destination.packets") == 0:
            silent.add(seen.destination, time, seen.id, self._span, chosen.hosts)
        else:
            silent.values.pop(seen.destination, None)
        unanswered = silent.count(time - self._span)
        new = self._new.look(source, time)
        is_quick = new is not None and new.count(time - _QUICK) >= chosen.hosts_silent
        mostly = count >= chosen.hosts_silent and unanswered * (3 if is_quick else 2) > count
        if (count >= chosen.hosts or mostly) and self.is_news(("requests", source), time):
            values = {
                "source": source, "count": count, "seconds": _seconds(hosts, seen), "silent": unanswered,
                "hosts": listed(hosts.values),
            }  # fmt: skip
            yield alert(ICMP_SWEEP, seen, (source,), {"source.ip": source}, values, hosts, level)

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


def _is_look(seen: Seen) -> bool:
    """Whether a connection over which nothing was said may have been a look at a port; answers to others are none."""
    if not seen.ended or seen.port < 0 or seen.source_port < SERVICES:
        return False
    return all(0 < whole(seen.event, name) <= most for name, most in _LOOK)


def _seconds(window: Recent, seen: Seen) -> float:
    return round((seen.time - window.since) / 1_000_000, 2)

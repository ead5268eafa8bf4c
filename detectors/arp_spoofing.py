"""ARP: requests and answers enter, alerts on addresses that two hosts claim, and on hosts that ask for many, leave.

An address that goes to another MAC once was given to another host. One that comes back within minutes is claimed by
both: one of them lies. Addresses that nobody has are asked for by who looks for hosts (the bound is that of Slips).
"""

from collections.abc import Iterable

from detectors.behaviour import DAY, MINUTE, SECOND, About, Behaviour, Seen, alert, listed, lists, recents, text
from pipeline.event import Event
from pipeline.networks import Site
from pipeline.settings import Behaviours

ARP_SPOOFING = About(
    "arp_spoofing", "high", ("attack.credential-access", "attack.collection", "attack.t1557", "attack.t1557.002")
)
ARP_SWEEP = About("arp_sweep", "low", ("attack.discovery", "attack.t1018"))

#: Within this an address that went comes back.
_BACK = 5 * MINUTE
_ASKED = 30 * SECOND


class ArpSpoofing(Behaviour):
    """ARP spoofing and ARP sweeps."""

    name = "arp_spoofing"
    kinds = frozenset(("arp",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._targets, self._many = settings.arp_spoofing.targets, settings.arp_spoofing.many_targets
        self._owners = lists(self.most, DAY)  # of an address: its MAC, the one before, when it went
        self._asked = recents(self.most, _ASKED)
        self._askers = lists(self.most, MINUTE)  # of an address: who has asked for it
        self.tables |= {"owners": self._owners, "asked": self._asked, "askers": self._askers}

    def take(self, seen: Seen) -> Iterable[Event]:
        mac = text(seen.event, "source.mac").upper()
        if not mac:
            return
        network = text(seen.event, "network.vlan.id")
        if seen.source and seen.source != "0.0.0.0":  # noqa: S104 - what a probe says (RFC 5227)
            yield from self._claim(seen, mac, network)
        if text(seen.event, "arp.operation") == "request" and seen.destination not in ("", seen.source):
            yield from self._ask(seen, mac, network)

    def _claim(self, seen: Seen, mac: str, network: str) -> Iterable[Event]:
        key = (network, seen.source)
        for asker in self._askers.look(key, seen.time) or ():
            if (window := self._asked.look((network, asker), seen.time)) is not None:
                window.values.pop(seen.source, None)
        self._askers.drop(key)
        owner = self._owners.touch(key, seen.time)
        if not owner:
            owner[:] = [mac, "", 0]
        elif mac != owner[0]:
            comes_back = mac == owner[1] and seen.time - owner[2] <= _BACK
            owner[:] = [mac, owner[0], seen.time]
            if comes_back and self.is_news(("owner", *key), seen.time):
                values = {"address": seen.source, "first": owner[1], "second": mac, "minutes": _BACK // MINUTE}
                entities = {"source.ip": seen.source, "source.mac": mac}
                yield alert(ARP_SPOOFING, seen, (*key, *sorted((mac, owner[1]))), entities, values, count=3)

    def _ask(self, seen: Seen, mac: str, network: str) -> Iterable[Event]:
        if self._owners.look((network, seen.destination), seen.time):
            return
        askers = self._askers.touch((network, seen.destination), seen.time)
        if mac not in askers:
            askers[:] = [*askers[-9:], mac]
        window = self._asked.touch((network, mac), seen.time)
        count = window.add(seen.destination, seen.time, seen.id, _ASKED, max(self._targets, self._many))
        level = "medium" if count >= self._many else "low"
        if count >= self._targets and self.is_news(("asked", network, mac, level), seen.time):
            values = {"mac": mac, "source": seen.source or "?", "count": count, "targets": listed(window.values)}
            entities = {"source.ip": seen.source, "source.mac": mac}
            yield alert(ARP_SWEEP, seen, (network, mac), entities, values, window, level)

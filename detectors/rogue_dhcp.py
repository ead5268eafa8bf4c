"""Rogue DHCP servers: DHCP messages enter, alerts on servers that are none of ours leave.

Without a list of servers the first one of a network that is seen is taken for ours.
"""

from collections.abc import Iterable

from detectors.behaviour import DAY, About, Behaviour, Seen, alert, lists, text, texts
from pipeline.event import Event
from pipeline.networks import NOWHERE, Networks, Site
from pipeline.settings import Behaviours

ROGUE_DHCP = About("rogue_dhcp", "high", ("attack.credential-access", "attack.collection", "attack.t1557.003"))

_OFFERS = frozenset(("OFFER", "ACK"))


class RogueDhcp(Behaviour):
    """Rogue DHCP servers."""

    name = "rogue_dhcp"
    kinds = frozenset(("dhcp",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.rogue_dhcp.servers
        self._ours = Networks(chosen) if chosen else None
        self._first = lists(self.most, 30 * DAY)
        self.tables |= {"first": self._first}

    def take(self, seen: Seen) -> Iterable[Event]:
        messages = {message.upper() for message in texts(seen.event, "dhcp.message")}
        server = text(seen.event, "dhcp.server_ip")
        if not messages & _OFFERS or self.site.where(server) == NOWHERE:
            return
        network = text(seen.event, "network.vlan.id")
        if self._ours is not None:
            known, is_ours = "", self._ours.holds(server)
        else:
            first = self._first.touch(network, seen.time)
            first[:] = first or [server]
            known, is_ours = first[0], first[0] == server
        if is_ours or not self.is_news((network, server), seen.time):
            return
        values = {
            "server": server, "known": known or "-", "client": text(seen.event, "dhcp.mac") or "?",
            "address": text(seen.event, "dhcp.assigned_ip") or "?",
        }  # fmt: skip
        yield alert(ROGUE_DHCP, seen, (network, server), {"source.ip": server}, values)

"""What was never there before: connections enter, alerts on new services of ours and on rare TLS clients leave.

For the first days everything is new, and nothing is told; then a host of ours that has been there for a day and begins
to answer on a port that it never answered on is, and a TLS fingerprint that is young and that few hosts of ours have.
Seven days and two percent are the bounds by which RITA v5 makes a threat score worse (first seen, prevalence).
"""

from collections.abc import Iterable

from detectors.behaviour import DAY, About, Behaviour, Keys, Recent, Seen, alert, listed, numbers, recents, text
from pipeline.event import Event
from pipeline.networks import LOCAL, OUTSIDE, Site
from pipeline.settings import Behaviours

NEW_SERVICE = About(
    "new_service", "informational", ("attack.persistence", "attack.command-and-control", "attack.t1571"),
    ("https://github.com/activecm/rita",),
)  # fmt: skip
RARE_CLIENT = About(
    "rare_client", "informational", ("attack.command-and-control", "attack.t1071.001"),
    ("https://github.com/activecm/rita", "https://github.com/FoxIO-LLC/ja4"),
)  # fmt: skip

#: Ports from here on are given to clients, too: an answer there need be no service.
_EPHEMERAL = 32_768
#: Ports with which somebody from elsewhere gets in: a new one is worse.
_REMOTE = frozenset((22, 23, 135, 139, 445, 3389, 4444, 5900, 5938, 5985, 5986, 8022))
#: How long a service that nobody uses is remembered.
_KEPT = 60 * DAY
#: Connections of a new fingerprint before it is told of.
_LEAST = 3


class Novelty(Behaviour):
    """New services, and rare TLS clients."""

    name = "novelty"
    kinds = frozenset(("flow", "tls"))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.novelty
        self._young = int(chosen.days * DAY)
        self._rare, self._least_hosts = chosen.percent / 100, chosen.hosts
        self._began = numbers(1, 10 * 365 * DAY)
        self._hosts = numbers(self.most, _KEPT)  # since when each host of ours is known
        self._services = numbers(self.most, _KEPT)
        self._clients = recents(1, self._young)  # hosts of ours that spoke TLS
        self._prints: Keys[list[int]] = Keys(self.most, self._young * 4, list)  # first seen, connections
        self._users = recents(self.most, self._young)
        self.told.age = max(self._young, self.told.age)
        self.tables |= {
            "began": self._began, "hosts": self._hosts, "services": self._services, "clients": self._clients,
            "prints": self._prints, "users": self._users,
        }  # fmt: skip

    def take(self, seen: Seen) -> Iterable[Event]:
        began = self._began.look("", seen.time)
        if not began:
            began = seen.time
            self._began.set("", began, seen.time)
        is_learning = seen.time < began + self._young
        if seen.kind == "tls":
            return self._client(seen, is_learning)
        return self._service(seen, is_learning)

    def _service(self, seen: Seen, is_learning: bool) -> Iterable[Event]:
        for address in (seen.source, seen.destination):
            if self.site.where(address) == LOCAL and not self._hosts.touch(address, seen.time):
                self._hosts.set(address, seen.time, seen.time)
        if seen.transport != "tcp" or seen.refused is not False or not 0 < seen.port < _EPHEMERAL:
            return
        if self.site.where(seen.destination) != LOCAL:
            return
        key = (seen.destination, seen.port)
        is_known = self._services.look(key, seen.time) is not None
        self._services.set(key, 1, seen.time)
        known_since = self._hosts.look(seen.destination, seen.time) or seen.time
        if is_known or is_learning or seen.time < known_since + DAY or not self.is_news(("service", *key), seen.time):
            return
        values = {
            "host": seen.destination, "port": f"{seen.port}/{seen.transport}", "client": seen.source,
            "days": round((seen.time - known_since) / DAY, 1),
        }  # fmt: skip
        entities = {"source.ip": seen.source, "destination.ip": seen.destination, "destination.port": seen.port}
        yield alert(NEW_SERVICE, seen, key, entities, values, level="low" if seen.port in _REMOTE else "")

    def _client(self, seen: Seen, is_learning: bool) -> Iterable[Event]:
        fingerprint = text(seen.event, "tls.client.ja4") or text(seen.event, "tls.client.ja3")
        if not fingerprint or self.site.where(seen.source) != LOCAL or self.site.where(seen.destination) != OUTSIDE:
            return
        hosts = self._clients.touch("", seen.time).add(seen.source, seen.time, seen.id, self._young, self.most)
        users: Recent = self._users.touch(fingerprint, seen.time)
        of_them = users.add(seen.source, seen.time, seen.id, self._young, 1000)
        state = self._prints.touch(fingerprint, seen.time)
        state[:] = [state[0], state[1] + 1] if state else [seen.time, 1]
        is_young = seen.time < state[0] + self._young
        if (
            is_learning
            or not is_young
            or state[1] < _LEAST
            or hosts < self._least_hosts
            or of_them > hosts * self._rare
        ):
            return
        if not self.is_news(("client", fingerprint), seen.time):
            return
        server = text(seen.event, "tls.client.server_name")
        values = {
            "fingerprint": fingerprint, "sources": listed(users.values), "server": server or seen.destination,
            "count": state[1], "hosts": hosts, "percent": round(of_them / hosts * 100, 1),
        }  # fmt: skip
        entities = {
            "source.ip": seen.source, "destination.ip": seen.destination, "destination.port": seen.port,
            "destination.domain": server,
        }  # fmt: skip
        yield alert(RARE_CLIENT, seen, (fingerprint,), entities, values, users, count=state[1])

"""Kerberoasting: tickets of Kerberos enter, alerts on sources that collect weak ones of many services leave.

A ticket is encrypted with the password of the service's account; with RC4 it can be guessed offline at leisure. Whoever
does so asks for tickets of all services that he finds, and for RC4 (MITRE ATT&CK T1558.003). The threshold is our own.
"""

from collections.abc import Iterable

from detectors.behaviour import MINUTE, About, Behaviour, Seen, alert, listed, recents, text
from pipeline.event import Event
from pipeline.networks import Site
from pipeline.settings import Behaviours

KERBEROASTING = About(
    "kerberoasting", "high", ("attack.credential-access", "attack.t1558", "attack.t1558.003"),
    ("https://attack.mitre.org/techniques/T1558/003/",),
)  # fmt: skip

#: How ciphers that are guessed fast are called by our sensor, Zeek and Suricata.
_WEAK = ("rc4-hmac", "arcfour-hmac", "des-cbc")
#: The ticket for further tickets is no service's.
_TICKETS = "krbtgt"


class KerberosRoasting(Behaviour):
    """Kerberoasting."""

    name = "kerberos_roasting"
    kinds = frozenset(("kerberos",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.kerberos_roasting
        self._services, self._span = chosen.services, int(chosen.minutes * MINUTE)
        self._windows = recents(self.most, self._span)
        self.tables |= {"windows": self._windows}

    def take(self, seen: Seen) -> Iterable[Event]:
        event = seen.event
        service = text(event, "kerberos.service").lower()
        if not seen.source or not service or service.startswith(_TICKETS):
            return
        if not text(event, "kerberos.cipher").lower().startswith(_WEAK) or text(event, "event.outcome") == "failure":
            return
        window = self._windows.touch(seen.source, seen.time)
        count = window.add(service, seen.time, seen.id, self._span, self._services)
        if count < self._services or not self.is_news((seen.source,), seen.time):
            return
        account = text(event, "kerberos.client") or text(event, "user.name")
        values = {
            "source": seen.source, "account": account or "?", "count": count, "services": listed(window.values),
            "minutes": round((seen.time - window.since) / MINUTE, 1),
        }  # fmt: skip
        entities = {"source.ip": seen.source, "user.name": account}
        yield alert(KERBEROASTING, seen, (seen.source,), entities, values, window)

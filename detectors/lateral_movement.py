"""Lateral movement over SMB: files, shares and remote calls enter, alerts on hosts that take over others leave.

A write to an administrative share and, within minutes, a call that makes the same host run something (a service, a
scheduled task, WMI): MITRE's BZAR (https://github.com/mitre-attack/bzar). And one host that opens the administrative
shares of many.
"""

from collections.abc import Iterable

from detectors.behaviour import MINUTE, About, Behaviour, Seen, alert, listed, lists, recents, text
from pipeline.event import Event
from pipeline.networks import Site
from pipeline.settings import Behaviours

_REFERENCES = ("https://github.com/mitre-attack/bzar",)
REMOTE_EXECUTION = About(
    "remote_execution", "high",
    ("attack.lateral-movement", "attack.execution", "attack.t1021.002", "attack.t1570", "attack.t1569.002"),
    _REFERENCES,
)  # fmt: skip
ADMIN_SHARES = About(
    "admin_shares", "medium", ("attack.lateral-movement", "attack.discovery", "attack.t1021.002", "attack.t1135"),
    _REFERENCES,
)  # fmt: skip

#: Calls that make the other host run something: the end point, and what the operation's name begins with (BZAR).
_EXECUTION = {
    "svcctl": ("CreateService", "CreateWowService", "StartService"),
    "atsvc": ("JobAdd", "NetrJobAdd"),
    "ITaskSchedulerService": ("SchRpcRegisterTask", "SchRpcRun", "SchRpcEnableTask"),
    "IWbemServices": ("ExecMethod",),
}
_CALLS = {endpoint.lower(): tuple(name.lower() for name in names) for endpoint, names in _EXECUTION.items()}
_SHARES = 5 * MINUTE


class LateralMovement(Behaviour):
    """Remote execution after a write to an administrative share, and many such shares opened."""

    name = "lateral_movement"
    kinds = frozenset(("smb", "dce_rpc"))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.lateral_movement
        self._within, self._most_shares = int(chosen.minutes * MINUTE), chosen.shares
        self._writes = lists(self.most, self._within)  # of source and destination: file, share, event
        self._calls = lists(self.most, self._within)  # of source and destination: call, event
        self._opened = recents(self.most, _SHARES)
        self.tables |= {"writes": self._writes, "calls": self._calls, "opened": self._opened}

    def take(self, seen: Seen) -> Iterable[Event]:
        if not seen.source or not seen.destination:
            return
        key = (seen.source, seen.destination)
        if seen.kind == "dce_rpc":
            call = _call(seen)
            if call:
                self._calls.set(key, [call, seen.id], seen.time)
                yield from self._both(seen, key)
            return
        share = text(seen.event, "smb.share").replace("/", "\\").rstrip("\\").rpartition("\\")[2].upper()
        if not share.endswith("$") or share == "IPC$":
            return
        opened = self._opened.touch((seen.source,), seen.time)
        count = opened.add((seen.destination, share), seen.time, seen.id, _SHARES, self._most_shares)
        if count >= self._most_shares and self.is_news(("shares", seen.source), seen.time):
            values = {
                "source": seen.source, "count": count,
                "shares": listed(f"\\\\{host}\\{name}" for host, name in opened.values),
            }  # fmt: skip
            yield alert(ADMIN_SHARES, seen, (seen.source,), {"source.ip": seen.source}, values, opened)
        if "WRITE" in text(seen.event, "smb.command").upper() or text(seen.event, "smb.access") == "write":
            file = text(seen.event, "file.path") or text(seen.event, "file.name")
            self._writes.set(key, [file, share, seen.id], seen.time)
            yield from self._both(seen, key)

    def _both(self, seen: Seen, key: tuple[str, str]) -> Iterable[Event]:
        write, call = self._writes.look(key, seen.time), self._calls.look(key, seen.time)
        if not write or not call or not self.is_news(("execution", *key), seen.time):
            return
        values = {
            "source": key[0], "destination": key[1], "file": write[0] or "?", "share": write[1], "call": call[0],
            "minutes": self._within // MINUTE,
        }  # fmt: skip
        entities = {"source.ip": key[0], "destination.ip": key[1], "file.path": write[0]}
        yield alert(REMOTE_EXECUTION, seen, key, entities, values, count=2)


def _call(seen: Seen) -> str:
    endpoint, operation = text(seen.event, "dce_rpc.endpoint"), text(seen.event, "dce_rpc.operation")
    begins = _CALLS.get(endpoint.lower(), ())
    return f"{endpoint}::{operation}" if begins and operation.lower().startswith(begins) else ""

"""All behaviours at once: JSON lines of events enter, in any order, alerts leave.

Events wait, sorted by their time, until the *watermark* has passed them: the latest time that was seen, less a lateness
bound. Only then do the detectors take them, in order, so the alerts are the same for every order of arrival within the
bound. An event that comes later than that takes the place of now, in those detectors to which it is not too late, and
is counted.

No input, no output, no clock: the caller brings lines and times, saves what `dump` gives and goes on with `load`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, TypeAlias

import orjson

from detectors.arp_spoofing import ArpSpoofing
from detectors.beacon import Beacon
from detectors.behaviour import DAY, SECOND, Behaviour, Seen, text
from detectors.brute_force import BruteForce
from detectors.dga import Dga
from detectors.dns_tunnel import DnsTunnel
from detectors.exfiltration import Exfiltration
from detectors.icmp_tunnel import IcmpTunnel
from detectors.kerberos_roasting import KerberosRoasting
from detectors.lateral_movement import LateralMovement
from detectors.long_connection import LongConnection
from detectors.novelty import Novelty
from detectors.rogue_dhcp import RogueDhcp
from detectors.scan import Scan
from pipeline.event import Event, decode, to_micros
from pipeline.logs import log
from pipeline.networks import Networks, Site
from pipeline.settings import Behaviours

#: Every behaviour, in the order in which they take an event.
ALL: tuple[type[Behaviour], ...] = (
    Scan,
    BruteForce,
    Beacon,
    LongConnection,
    DnsTunnel,
    Dga,
    Exfiltration,
    IcmpTunnel,
    ArpSpoofing,
    RogueDhcp,
    LateralMovement,
    KerberosRoasting,
    Novelty,
)

#: What a line has one of that tells of traffic, of a log-in, of a web server's answer to one, or of its device.
_MARKS = (
    b'"event.category":["network"]',
    b'"event.category":["authentication"',
    b'"http.response.status_code":401',
    b'"host.ip":',
)
#: Kinds of events by how their data set ends.
_KINDS = {
    **{kind: kind for kind in (
        "dns", "http", "tls", "ssh", "smb", "dce_rpc", "kerberos", "dhcp", "arp", "icmp", "ssdp", "netbios",
    )},
    "ssl": "tls", "smb_files": "smb", "smb_mapping": "smb", "smb_cmd": "smb", "icmp_packet": "icmp",
    "ntlm": "login", "ldap": "login", "ftp": "login", "pop3": "login", "imap": "login", "smtp": "login",
}  # fmt: skip
#: Further ahead of its receipt than this, in microseconds, a time is no wrong time zone but a clock that is broken.
_AHEAD = DAY
_NEVER, _ALWAYS = -(2**62), 2**62
#: Bytes of JSON lines that `dump` gives together.
_CHUNK = 4_000_000


#: A behaviour, and whether a source or a destination is excepted from it, where some are.
_Taker: TypeAlias = tuple[Behaviour, tuple[Callable[[str], bool], Callable[[str], bool]] | None]


def is_wanted(line: bytes) -> bool:
    """Say of an event's line, without reading it, whether some behaviour or the inventory could take it."""
    first, second, third, fourth = _MARKS
    return first in line or second in line or third in line or fourth in line


def wanted(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Choose those lines that some behaviour could take, with their numbers."""
    return ((number, line) for number, line in enumerate(lines) if is_wanted(line))


def kind_of(event: Event) -> str:
    """Return what an event tells of; "" where no behaviour takes it."""
    if event.get("event.action") == "network_flow":
        return "flow"
    categories = event.get("event.category")
    if isinstance(categories, list) and "network" in categories:
        kind = _KINDS.get(text(event, "event.dataset").rpartition(".")[2])
        if kind is not None:
            return kind
    if "http.response.status_code" in event:
        return "http"
    if isinstance(categories, list) and "authentication" in categories:
        return "login"
    return ""


class All:
    """Every behaviour that is enabled, and the events that wait for their place in time."""

    def __init__(self, settings: Behaviours, lateness: float | None = None) -> None:
        """`lateness`: seconds, instead of those of the settings; infinite: events wait for `finish`."""
        bound = settings.lateness_seconds if lateness is None else lateness
        self._lateness = None if bound == float("inf") else int(bound * SECOND)
        self._most_waiting = settings.waiting
        self._settings, self._site = settings, Site(settings.local_networks)
        enabled = [kind for kind in ALL if getattr(settings, kind.name).enabled]
        self.behaviours = [kind(settings, self._site) for kind in enabled]
        self._takers = self._by_kind()
        #: Time, id, line and kind. The line is read once more: to hold what was read takes longer, and more memory.
        self._waiting: list[tuple[int, str, bytes, str]] = []
        self._lanes: dict[str, int] = {}
        self._watermark = _NEVER
        self._last = (_NEVER, "")
        #: Events taken, repeated, late, too far ahead, that did not wait, and that a detector has failed on; alerts.
        self.counts: Counter[str] = Counter()

    def feed(self, event: Event, line: bytes, received: int | None = None, lane: str = "") -> list[Event]:
        """Take an event with its line; it must have an id and a readable time. Return the alerts that come of it.

        `received` is when it was received (microseconds since 1970), `lane` by which way: the slowest one holds the
        watermark.
        """
        time, identifier = to_micros(event["@timestamp"]), event["event.id"]
        if received is not None and time > received + _AHEAD:
            self.counts["too_far_ahead"] += 1
            return []
        kind = kind_of(event)
        if kind not in self._takers:
            return []
        self.counts["events"] += 1
        found: list[Event] = []
        if time < self._watermark:
            self.counts["late"] += 1
            self._take(Seen(event, identifier, kind, self._watermark), self._watermark - time, found)
            return found
        heappush(self._waiting, (time, identifier, line, kind))
        clock = time if received is None else min(time, received)
        if clock > self._lanes.get(lane, _NEVER):
            self._lanes[lane] = clock
            if self._lateness is not None:
                self._release(min(self._lanes.values()) - self._lateness, found)
        if len(self._waiting) > self._most_waiting:
            self.counts["did_not_wait"] += 1
            self._release(self._waiting[0][0] + 1, found)
        return found

    def advance(self, time: int) -> list[Event]:
        """Everything up to this time (microseconds since 1970) has come, as far as it is to come.

        Where the clock was set back behind the watermark, everything is forgotten: else all that comes would be late
        until it is there again.
        """
        found: list[Event] = []
        if self._watermark > time:
            self._watermark, self._last, self._lanes, self._waiting = _NEVER, (_NEVER, ""), {}, []
            self.behaviours = [type(each)(self._settings, self._site) for each in self.behaviours]
            self._takers = self._by_kind()
        elif self._lateness is not None:
            self._lanes = {lane: max(clock, time) for lane, clock in self._lanes.items()}
            self._release(time - self._lateness, found)
        return found

    def finish(self) -> list[Event]:
        """No more will come: take what waits."""
        found: list[Event] = []
        self._release(_ALWAYS, found)
        for each in self.behaviours:
            found += each.end(self._last[0])
        self._watermark = self._last[0]
        return found

    @property
    def waits(self) -> bool:
        """Whether an event waits for its place."""
        return bool(self._waiting)

    def detail(self) -> dict[str, int]:
        """Return counts for the health page."""
        tables = [table for each in self.behaviours for table in each.tables.values()]
        return {
            **{name: self.counts[name] for name in _COUNTS},
            "waiting": len(self._waiting), "keys": sum(map(len, tables)),
            "keys_evicted": sum(table.evicted for table in tables),
        }  # fmt: skip

    def dump(self) -> Iterator[bytes]:
        """Give everything that is held as JSON lines, some megabytes together."""
        held = [orjson.dumps(["", self._watermark, self._lanes, self.counts, self._last])]
        held += [orjson.dumps(["waiting", each[2].decode("utf-8", "replace")]) for each in sorted(self._waiting)]
        size = 0
        for each in self.behaviours:
            for row in each.dump():
                held.append(orjson.dumps([each.name, *row]))
                size += len(held[-1])
                if size >= _CHUNK:
                    yield b"\n".join(held)
                    held, size = [], 0
        yield b"\n".join(held)

    def load(self, chunks: Iterable[bytes]) -> None:
        """Go on from what `dump` gave; what is held of a behaviour that is not enabled any more is left out."""
        rows: dict[str, list[list[Any]]] = {}
        for chunk in chunks:
            for line in chunk.split(b"\n"):
                name, *row = orjson.loads(line)
                if name == "":
                    self._watermark, self._lanes, counts, last = row
                    self.counts = Counter(counts)
                    self._last = (last[0], last[1])
                elif name == "waiting":
                    waits = row[0].encode()
                    event = decode(waits)
                    when = to_micros(event["@timestamp"]), event["event.id"]
                    heappush(self._waiting, (*when, waits, kind_of(event)))
                else:
                    rows.setdefault(name, []).append(row)
        for place, each in enumerate(self.behaviours):
            try:
                each.load(rows.get(each.name, []))
            except (ValueError, TypeError, LookupError):  # of another version: begin anew, but go on
                log("detectors").exception("behaviour_forgets", behaviour=each.name)
                self.behaviours[place] = type(each)(self._settings, self._site)
        self._takers = self._by_kind()

    def _by_kind(self) -> dict[str, list[_Taker]]:
        found: dict[str, list[_Taker]] = {}
        for each in self.behaviours:
            chosen = getattr(self._settings, each.name)
            excepted = Networks(chosen.except_sources).holds, Networks(chosen.except_destinations).holds
            has_exceptions = bool(chosen.except_sources or chosen.except_destinations)
            for kind in each.kinds:
                found.setdefault(kind, []).append((each, excepted if has_exceptions else None))
        return found

    def _release(self, watermark: int, found: list[Event]) -> None:
        """Let the detectors take what lies before the watermark."""
        waiting = self._waiting
        while waiting and waiting[0][0] < watermark:
            time, identifier, line, kind = heappop(waiting)
            if (time, identifier) == self._last:
                self.counts["repeated"] += 1
                continue
            self._last = (time, identifier)
            self._take(Seen(decode(line), identifier, kind, time), 0, found)
        self._watermark = max(self._watermark, min(watermark, self._last[0] + 1) if watermark == _ALWAYS else watermark)

    def _take(self, seen: Seen, late: int, found: list[Event]) -> None:
        for each, excepted in self._takers.get(seen.kind, ()):
            if late and late > each.latest:
                continue
            if excepted is not None and (excepted[0](seen.source) or excepted[1](seen.destination)):
                continue
            try:
                raised = each.take(seen)
                if not raised:
                    continue
                raised = list(raised)
            except Exception:  # a fault of ours on one event must cost neither the others nor the other behaviours
                self.counts["failed"] += 1
                log("detectors").exception("behaviour_failed", behaviour=each.name, id=seen.id)
                continue
            self.counts["alerts"] += len(raised)
            found += raised


_COUNTS = ("events", "alerts", "repeated", "late", "too_far_ahead", "did_not_wait", "failed")

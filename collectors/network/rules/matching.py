"""What connections carry enters, hits of rules leave.

Of each side the beginning of what it sent is put into order and held; rules are asked of it as it grows, behind it of
each packet. Rules with places from the beginning (`offset`, `depth`, `startswith`) are asked of each packet as well, as
Suricata does. Once TLS is established what follows is encrypted and is not looked at.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import NamedTuple

from collectors.network import dhcp, dns, kerberos, tls
from collectors.network.conversation import KINDS, Side
from collectors.network.flows import ACK, SYN, Flow
from collectors.network.headers import TCP, UDP
from collectors.network.reading import Framed
from collectors.network.rules import tls_messages
from collectors.network.rules.buffers import DNS, PAYLOAD, SERVER, Message
from collectors.network.rules.contents import Trial
from collectors.network.rules.http_messages import HttpSide
from collectors.network.rules.rule import Bit, Packet, PacketRule
from collectors.network.rules.ruleset import RuleSet
from collectors.network.rules.threshold import Marks, Thresholds

#: Bytes of the beginning of what a side sends that are held in their order.
MAX_HEAD = 16_384
#: Bytes of all beginnings and bodies together; of connections behind that only packets are looked at.
MAX_HELD = 128_000_000
#: Rules of a side of which one content was seen and that wait for the others.
MAX_WAITING = 256
#: How far the first payload that is seen may be from the beginning of a stream, in bytes.
AHEAD = 65_536
#: First bytes of a side after which its protocol is known, or never.
ENOUGH = 16
#: Stands for no rules that wait; nothing is ever put into it.
_NONE: dict[PacketRule, None] = {}


class Place(NamedTuple):
    """A content that was found: in which buffer, where, and its bytes."""

    buffer: str
    offset: int
    content: bytes


class Hit(NamedTuple):
    """A rule that has matched: on which packet's side, when, what was found, and the bytes that were looked at."""

    rule: PacketRule
    time: int
    to_server: bool
    app: str
    places: tuple[Place, ...]
    looked_at: bytes


@dataclass(slots=True)
class Counts:
    """What became of it. What is not looked at is counted."""

    hits: int = 0
    suppressed: int = 0
    #: Sides whose beginning was not held for want of memory, and rules that could not wait.
    unheld: int = 0
    unwaited: int = 0


Emit = Callable[[Flow, Hit], None]


class Matcher:
    """Asks the rules; `rules` may be changed at any time for others."""

    def __init__(self, rules: RuleSet, emit: Emit, most_held: int = MAX_HELD) -> None:
        self.rules = rules
        self.counts = Counts()
        self.thresholds, self.marks = Thresholds(), Marks()
        self.held = 0
        self._emit = emit
        self._most_held = most_held

    def began(self, flow: Flow) -> None:
        """Watch a new connection."""
        flow.watched = Watched(self, flow)

    def ended(self, flow: Flow) -> None:
        """A connection has ended: look at what is still open."""
        if isinstance(flow.watched, Watched):
            flow.watched.end()
            flow.watched = None

    def has_room(self) -> bool:
        """Whether more may be held."""
        return self.held < self._most_held

    def detail(self) -> dict[str, int]:
        """Return counts for the health page."""
        evicted = self.thresholds.evicted + self.marks.evicted
        return {**asdict(self.counts), "counters_evicted": evicted}

    def hit(self, flow: Flow, found: Hit, packet: Packet) -> None:
        """A rule has matched: tell of it unless it is to be silent."""
        self.counts.hits += 1
        rule = found.rule
        if rule.thresholds and not self.thresholds.passes(rule, packet.source, packet.destination, found.time):
            self.counts.suppressed += 1
            return
        self._emit(flow, found)


class _Answer(Enum):
    """What a rule says of what it was asked of."""

    HIT = 1
    WAITS = 2
    NEVER = 3


_HIT, _WAITS, _NEVER = _Answer.HIT, _Answer.WAITS, _Answer.NEVER


class Watched:
    """A connection that is looked at. Its state is that of the packets that were looked at, whatever came since."""

    __slots__ = ("app", "bits", "encrypted", "flow", "handshake", "matcher", "server_said", "sides")

    def __init__(self, matcher: Matcher, flow: Flow) -> None:
        self.matcher, self.flow = matcher, flow
        self.app = _by_port(flow)
        self.encrypted = False
        self.bits: set[str] | None = None
        self.handshake: tls.Handshake | None = None
        self.server_said: dict[str, list[bytes]] | None = None
        forth, back = WatchedSide(self, to_server=True), WatchedSide(self, to_server=False)
        self.sides: tuple[WatchedSide, ...] = (back, forth)
        if flow.protocol == TCP:
            flow.forth.watcher, flow.back.watcher = forth.take_segment, back.take_segment
        else:
            flow.forth.watcher, flow.back.watcher = forth.take_datagram, back.take_datagram

    @property
    def established(self) -> bool:
        """Whether both sides take part: of TCP, the handshake is over, or was before we saw anything."""
        back, forth = self.sides
        if self.flow.protocol != TCP:
            return forth.seen and back.seen
        if (forth.flags | back.flags) & SYN:
            return bool(forth.flags & ACK and back.flags & SYN and back.flags & ACK)
        return True

    def recognise(self, start: bytes) -> bool:
        """Find out the protocol by the first bytes of a side."""
        self.app = next((kind.name for kind in KINDS if kind.looks_like(start)), "")
        if self.app == "tls":
            self.handshake = tls.Handshake()
        elif self.app == "http":
            for side in self.sides:
                side.http = HttpSide()
        return bool(self.app)

    def encrypt(self) -> None:
        """All that follows is encrypted."""
        self.encrypted = True
        for side in self.sides:
            side.forget()

    def end(self) -> None:
        """The connection is over."""
        for side in self.sides:
            side.end()
            side.forget()
        self.flow.forth.watcher = self.flow.back.watcher = None
        self.sides = ()  # else only the search for cycles frees them


class WatchedSide:
    """One side of it: what its packets have said so far (`seen`, `flags`, `sent`), and what is held of it."""

    __slots__ = (
        "_always", "_destination", "_destination_port", "_fired", "_first", "_framed",
        "_head", "_known", "_now", "_now_flags",
        "_once", "_order", "_rules", "_source", "_source_port", "_to_server", "_told", "_waiting", "_watched", "flags",
        "http", "seen", "sent",
    )  # fmt: skip

    def __init__(self, watched: Watched, to_server: bool) -> None:
        flow = watched.flow
        self._watched, self._to_server = watched, to_server
        ends = (flow.source, flow.source_port), (flow.destination, flow.destination_port)
        (self._source, self._source_port), (self._destination, self._destination_port) = (
            ends if to_server else reversed(ends)
        )
        self.seen = False
        self.flags = self.sent = self._now = self._now_flags = 0
        self._rules: RuleSet | None = None
        self._once: Sequence[PacketRule] = ()
        self._always: Sequence[PacketRule] = ()
        #: Rules that told once already.
        self._told: set[tuple[int, int]] | None = None
        #: Where the first byte belongs, as the packet says that opened the connection.
        self._first = -1
        #: What is needed only once something is sent: most connections of a scan never are.
        self._order: Side | None = None
        self._head: bytearray | None = None
        #: Whether the first bytes were looked at.
        self._known = False
        #: Rules that wait for more, and those that have matched: how much was there then.
        self._waiting: dict[PacketRule, None] = _NONE
        self._fired: dict[PacketRule, int] | None = None
        self._framed: Framed | None = None
        self.http: HttpSide | None = None

    def take_datagram(self, payload: bytes, time: int, _sequence: int, flags: int) -> None:
        """Look at a packet of another protocol than TCP."""
        watched, rules = self._watched, self._watched.matcher.rules
        if self._rules is not rules:
            self._renew(rules)
        self.seen = True
        self.sent += len(payload)
        self._now, self._now_flags = time, flags
        self._ask_of_packet(rules.candidates(PAYLOAD, payload) if payload else (), payload, len(payload))
        if watched.app == "dns" and (names := dns.questions(payload)):
            self._ask(Message(DNS, {"dns.query": names}, b"\0".join(names)))

    def take_segment(self, payload: bytes, time: int, sequence: int, flags: int) -> None:
        """Look at a packet of TCP."""
        watched, rules = self._watched, self._watched.matcher.rules
        if self._rules is not rules:
            self._renew(rules)
        self.flags |= flags
        self.sent += len(payload)
        self._now, self._now_flags = time, flags
        if not payload or watched.encrypted:
            if flags & SYN and not self.seen:
                self._first = sequence + 1
            if self._once or self._always:
                self._ask_of_packet((), b"", len(payload))
            return
        if not self.seen:
            self._begin(sequence)
        fresh = payload if self._order is None else self._order.in_order(payload, sequence)
        start = b""
        if not self._known and not watched.app:
            start = bytes(self._head or b"") + fresh
        if start:
            self._known = watched.recognise(start) or len(start) >= ENOUGH
        if self._head is not None:
            self._ask_of_head(self._head, payload, fresh, rules)
        else:
            self._ask_of_packet(rules.candidates(PAYLOAD, payload), payload, len(payload))
        if self._order is not None and fresh:
            self._read_on(start if start and watched.app else fresh)
            if self._head is None and not self._needs_order():
                self._order = None

    def end(self) -> None:
        """Nothing more comes."""
        if self.http is not None and not self._watched.encrypted and self._rules is not None:
            for message in self.http.end():
                self._ask(message)

    def forget(self) -> None:
        """Let go of what is held."""
        self._let_go()
        self._order = self.http = self._framed = None

    def _begin(self, sequence: int) -> None:
        """The first payload: from now on the beginning is held."""
        self.seen = True
        self._order = Side()
        if self._first >= 0 and (sequence - self._first) & 0xFFFFFFFF < AHEAD:  # else it was opened another time
            self._order.begin(self._first)
        if self._watched.matcher.has_room():
            self._head = bytearray()
            self._waiting = {}
        else:
            self._watched.matcher.counts.unheld += 1

    def _renew(self, rules: RuleSet) -> None:
        """Begin to ask other rules."""
        self._rules = rules
        ends = self._source, self._source_port, self._destination, self._destination_port
        protocol, told = self._watched.flow.protocol, self._told or ()
        once, always = (
            [rule for rule in found if rule.protocols is None or protocol in rule.protocols]
            for found in (rules.headers.of(*ends), rules.payloads.of(*ends))
        )
        self._once = [rule for rule in once if (rule.gid, rule.sid) not in told] or ()
        self._always = always or ()
        if self._waiting:
            self._waiting = {}
        self._fired = None

    def _needs_order(self) -> bool:
        watched = self._watched
        return self.http is not None or watched.handshake is not None or watched.app == "dns"

    def _ask_of_packet(self, candidates: Iterable[PacketRule], payload: bytes, size: int) -> None:
        """Ask rules of one packet, which is not part of a beginning that is held."""
        if self._once:
            self._ask_once()
        todo = [*candidates, *(rule for rule in self._always if payload or not rule.groups)]
        if todo:
            todo.sort(key=_order)
            message = Message(PAYLOAD, {"pkt_data": [payload]}, payload)
            packet = self._packet(size)
            for rule in todo:
                self._try(rule, message, packet)

    def _ask_of_head(self, head: bytearray, payload: bytes, fresh: bytes, rules: RuleSet) -> None:
        """Ask rules of a packet and of the beginning that it makes longer."""
        before = len(head)
        head += fresh
        self._watched.matcher.held += len(fresh)
        text = bytes(head[max(0, before - rules.carry) :]) if before else fresh
        candidates = rules.candidates(PAYLOAD, text) if fresh else []
        of_packet = candidates if fresh is payload or fresh == payload else rules.candidates(PAYLOAD, payload)
        if self._once:
            self._ask_once()
        if candidates or of_packet or self._waiting or self._always:
            self._ask_both(head, payload, candidates, of_packet)
        if len(head) >= MAX_HEAD or not self._watched.matcher.has_room():
            self._watched.matcher.counts.unheld += len(head) < MAX_HEAD
            self._let_go()

    def _ask_both(
        self, head: bytearray, payload: bytes, candidates: list[PacketRule], of_packet: list[PacketRule]
    ) -> None:
        waiting = self._waiting
        todo = {rule.order: rule for rule in (*candidates, *of_packet, *waiting, *self._always)}
        new = {rule.order for rule in of_packet}
        here = {rule.order for rule in candidates}
        always = {rule.order for rule in self._always}
        packet = self._packet(len(payload))
        alone = Message(PAYLOAD, {"pkt_data": [payload]}, payload)
        whole = Message(PAYLOAD, {"pkt_data": [bytes(head)]}, b"")
        for order in sorted(todo):
            rule = todo[order]
            if rule.on_packets and (order in new or order in always) and self._try(rule, alone, packet) is _HIT:
                waiting.pop(rule, None)
                self._has_fired(rule, len(head))
                continue
            if not rule.on_streams:
                continue
            fired = self._fired.get(rule) if self._fired is not None else None
            if fired is None:
                message = whole
            elif order in here and not rule.anchored:
                message = Message(PAYLOAD, {"pkt_data": [bytes(head[fired:])]}, b"")
            else:
                continue
            answer = self._try(rule, message, packet)
            if answer is not _WAITS:
                waiting.pop(rule, None)
            if answer is _HIT:
                self._has_fired(rule, len(head))
            elif answer is _WAITS and fired is None and order not in always and rule not in waiting:
                if len(waiting) < MAX_WAITING:
                    waiting[rule] = None
                else:
                    self._watched.matcher.counts.unwaited += 1

    def _has_fired(self, rule: PacketRule, size: int) -> None:
        if self._fired is None:
            self._fired = {}
        self._fired[rule] = size

    def _let_go(self) -> None:
        if self._head is not None:
            self._watched.matcher.held -= len(self._head)
            self._head = None
        self._waiting = _NONE
        self._fired = None

    def _ask_once(self) -> None:
        """Ask rules that are only about who speaks with whom: each tells once of a side."""
        watched, packet = self._watched, self._packet(0)
        message = Message(PAYLOAD, {}, b"")
        decided = packet.established and (self._known or bool(watched.app) or watched.flow.protocol != TCP)
        left = []
        for rule in self._once:
            if self._try(rule, message, packet) is _HIT:
                self._told = self._told or set()
                self._told.add((rule.gid, rule.sid))
            elif rule.checks or not decided:
                left.append(rule)
        self._once = left or ()

    def _read_on(self, fresh: bytes) -> None:
        """Read what the protocol says, and ask the rules about it."""
        watched = self._watched
        if self.http is not None:
            for message in self.http.take(fresh):
                self._ask(message)
        elif watched.handshake is not None:
            for kind, body in watched.handshake.take(self._to_server, fresh):
                if found := tls_messages.read(kind, body):
                    self._ask_of_tls(found)
            if watched.handshake.done:
                if watched.handshake.established:
                    watched.encrypt()
                watched.handshake = None
        elif watched.app == "dns":
            self._framed = self._framed or Framed(2)
            for each in self._framed.messages(True, fresh, dns.MAX_MESSAGE):
                if names := dns.questions(each):
                    self._ask(Message(DNS, {"dns.query": names}, b"\0".join(names)))

    def _ask_of_tls(self, message: Message) -> None:
        if message.kind == SERVER:
            self._watched.server_said = {**(self._watched.server_said or {}), **message.buffers}
            message.buffers.update(self._watched.server_said)
        self._ask(message)

    def _ask(self, message: Message) -> None:
        """Ask the rules about a message of a protocol."""
        rules = self._rules
        if rules is None:
            return
        todo = rules.candidates(message.kind, message.scanned)
        if always := rules.always.get(message.kind):
            todo = sorted({*todo, *always}, key=_order)
        if todo:
            if self._head is not None:
                message.buffers.setdefault("pkt_data", [bytes(self._head)])
            packet = self._packet(len(message.scanned))
            for rule in todo:
                self._try(rule, message, packet)

    def _packet(self, size: int) -> Packet:
        watched = self._watched
        back, forth = watched.sides
        return Packet(
            size, self._now_flags, watched.established, self._to_server, self._source, self._source_port,
            self._destination, self._destination_port, watched.flow.protocol, watched.app, back.sent, forth.sent,
        )  # fmt: skip

    def _try(self, rule: PacketRule, message: Message, packet: Packet) -> "_Answer":
        """Ask one rule; where it matches its marks are made and it is told of.

        Where all was found but the connection is in another state, that has passed; where not, more may come.
        """
        if rule.to_server is not None and rule.to_server != self._to_server:
            return _NEVER
        if rule.protocols and packet.protocol not in rule.protocols:
            return _NEVER
        if not rule.header.fits(packet.source, packet.source_port, packet.destination, packet.destination_port):
            return _NEVER
        if rule.app and rule.app != packet.app:
            return _NEVER if packet.app or self._known else _WAITS
        if rule.per_packet and not all(test(packet) for test in rule.packet_tests):
            return _NEVER
        found = matches(rule, message)
        if found is None:
            return _WAITS
        if not all(test(packet) for test in rule.packet_tests) or not all(self._has(bit) for bit in rule.checks):
            return _NEVER
        for bit in rule.marks:
            self._mark(bit)
        if not rule.silent:
            places, looked_at = found
            watched = self._watched
            hit = Hit(rule, self._now, self._to_server, watched.app, places, looked_at)
            watched.matcher.hit(watched.flow, hit, packet)
        return _HIT

    def _has(self, bit: Bit) -> bool:
        watched = self._watched
        if bit.track == "flow":
            there = watched.bits is not None and not watched.bits.isdisjoint(bit.names)
        else:
            there = watched.matcher.marks.has(bit, self._source, self._destination, self._now)
        return there == (bit.action == "isset")

    def _mark(self, bit: Bit) -> None:
        watched = self._watched
        if bit.track != "flow":
            watched.matcher.marks.mark(bit, self._source, self._destination, self._now)
            return
        if watched.bits is None:
            watched.bits = set()
        if bit.action == "set":
            watched.bits.update(bit.names)
        elif bit.action == "unset":
            watched.bits.difference_update(bit.names)
        else:
            watched.bits.symmetric_difference_update(bit.names)


def matches(rule: PacketRule, message: Message) -> tuple[tuple[Place, ...], bytes] | None:
    """Return what of a rule was found in a message, and the bytes where; None where it does not match."""
    places: list[Place] = []
    looked_at = b""
    for group in rule.groups:
        for data, lowered in message.get(group.buffer, group.transforms):
            trial = Trial(group.tests, data, lowered)
            if trial.holds():
                places += _places(group.buffer, trial)
                looked_at = looked_at or data
                break
        else:
            return None
    return tuple(places), looked_at or b"".join(message.buffers.get("pkt_data", []))


def _places(buffer: str, trial: Trial) -> Iterator[Place]:
    for _, (start, end) in sorted(trial.hits.items()):
        yield Place("payload" if buffer == "pkt_data" else buffer, start, trial.data[start:end])


def _by_port(flow: Flow) -> str:
    """Return the protocols that the sensor knows by their port."""
    ports = {flow.source_port, flow.destination_port}
    if flow.protocol not in (TCP, UDP):
        return ""
    if dns.PORT in ports:
        return "dns"
    if kerberos.PORT in ports:
        return "krb5"
    return "dhcp" if flow.protocol == UDP and ports & {dhcp.SERVER, dhcp.CLIENT} else ""


def _order(rule: PacketRule) -> int:
    return rule.order

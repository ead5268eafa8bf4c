"""What connections carry enters, hits of rules leave.

Of each side the beginning of what it sent is put into order and held; rules are asked of it as it grows, behind it of
each packet. Rules with places from the beginning (`offset`, `depth`, `startswith`) are asked of each packet as well, as
Suricata does. Once TLS is established what follows is encrypted and is not looked at.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

from collectors.network import dhcp, dns, kerberos, tls
from collectors.network.conversation import KINDS, Side
from collectors.network.flows import ACK, SYN, Flow, Half
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
#: Rules of a side of which one content was seen and that wait for the others; signs that are scanned a second time so
#: that a content is found where two packets meet.
MAX_WAITING, CARRY = 256, 128


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


class Watched:
    """A connection that is looked at."""

    __slots__ = ("app", "bits", "encrypted", "flow", "handshake", "matcher", "server_said", "sides", "unknown")

    def __init__(self, matcher: Matcher, flow: Flow) -> None:
        self.matcher, self.flow = matcher, flow
        self.app = _by_port(flow)
        #: Sides whose first bytes said nothing.
        self.unknown = 0
        self.encrypted = False
        self.bits: set[str] | None = None
        self.handshake: tls.Handshake | None = None
        self.server_said: dict[str, list[bytes]] = {}
        forth, back = WatchedSide(self, flow.forth, to_server=True), WatchedSide(self, flow.back, to_server=False)
        self.sides = (back, forth)
        if flow.protocol == TCP:
            flow.forth.watcher, flow.back.watcher = forth.take_segment, back.take_segment
        else:
            flow.forth.watcher, flow.back.watcher = forth.take_datagram, back.take_datagram

    @property
    def established(self) -> bool:
        """Whether both sides take part: of TCP, the handshake is over, or was before we saw anything."""
        forth, back = self.flow.forth, self.flow.back
        if self.flow.protocol != TCP:
            return forth.packets > 0 and back.packets > 0
        if (forth.flags | back.flags) & SYN:
            return bool(forth.flags & ACK and back.flags & SYN and back.flags & ACK)
        return True

    def recognise(self, payload: bytes) -> None:
        """Find out the protocol by the first bytes of a side."""
        self.app = next((kind.name for kind in KINDS if kind.looks_like(payload)), "")
        self.unknown += not self.app
        if self.app == "tls":
            self.handshake = tls.Handshake()
        elif self.app == "http":
            for side in self.sides:
                side.http = HttpSide()

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


class WatchedSide:
    """One side of it."""

    __slots__ = (
        "_always", "_destination", "_destination_port", "_fired", "_followed", "_framed", "_half", "_head", "_known",
        "_last_flags", "_last_time", "_once", "_order", "_rules", "_source", "_source_port", "_to_server", "_waiting",
        "_watched", "http",
    )  # fmt: skip

    def __init__(self, watched: Watched, half: Half, to_server: bool) -> None:
        flow = watched.flow
        self._watched, self._half, self._to_server = watched, half, to_server
        ends = (flow.source, flow.source_port), (flow.destination, flow.destination_port)
        (self._source, self._source_port), (self._destination, self._destination_port) = (
            ends if to_server else reversed(ends)
        )
        self._rules: RuleSet | None = None
        self._once: list[PacketRule] = []
        self._always: list[PacketRule] = []
        self._order: Side | None = Side()
        self._head: bytearray | None = bytearray()
        self._followed = True
        self._known = False
        #: Rules that wait for more, and those that have matched: what was there then.
        self._waiting: dict[PacketRule, None] = {}
        self._fired: dict[PacketRule, int] = {}
        self._framed: Framed | None = None
        self._last_time = self._last_flags = 0
        self.http: HttpSide | None = None

    def take_datagram(self, payload: bytes, time: int, _sequence: int, flags: int) -> None:
        """Look at a packet of another protocol than TCP."""
        watched, rules = self._watched, self._watched.matcher.rules
        if self._rules is not rules:
            self._renew(rules)
        self._last_time, self._last_flags = time, flags
        if not payload:
            self._ask_of_packet((), payload)
            return
        self._ask_of_packet(rules.candidates(PAYLOAD, payload), payload)
        if watched.app == "dns" and (names := dns.questions(payload)):
            self._ask(Message(DNS, {"dns.query": names}, b"\0".join(names)))

    def take_segment(self, payload: bytes, time: int, sequence: int, flags: int) -> None:
        """Look at a packet of TCP."""
        watched, rules = self._watched, self._watched.matcher.rules
        if self._rules is not rules:
            self._renew(rules)
        self._last_time, self._last_flags = time, flags
        if not payload or watched.encrypted:
            if self._once or self._always:
                self._ask_of_packet((), b"" if watched.encrypted else payload)
            return
        if not watched.app and not self._known and watched.unknown < 2:
            watched.recognise(payload)
        self._known = True
        fresh = self._order.in_order(payload, sequence) if self._order is not None else payload
        if self._head is not None:
            self._ask_of_head(self._head, payload, fresh, rules)
        else:
            self._ask_of_packet(rules.candidates(PAYLOAD, payload), payload)
        if self._order is not None and fresh:
            self._read_on(fresh)
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

    def _renew(self, rules: RuleSet) -> None:
        """Begin to ask other rules."""
        self._rules = rules
        ends = self._source, self._source_port, self._destination, self._destination_port
        protocol = self._watched.flow.protocol
        self._once, self._always = (
            [rule for rule in found if rule.protocols is None or protocol in rule.protocols]
            for found in (rules.headers.of(*ends), rules.payloads.of(*ends))
        )
        self._waiting.clear()
        self._fired.clear()

    def _needs_order(self) -> bool:
        watched = self._watched
        return self.http is not None or watched.handshake is not None or watched.app == "dns"

    def _ask_of_packet(self, candidates: Iterable[PacketRule], payload: bytes) -> None:
        """Ask rules of one packet, which is not part of a beginning that is held."""
        if self._once:
            self._ask_once()
        todo = [*candidates, *(rule for rule in self._always if payload or not rule.groups)]
        if todo:
            todo.sort(key=_order)
            message = Message(PAYLOAD, {"pkt_data": [payload]}, payload)
            packet = self._packet(len(payload))
            for rule in todo:
                self._try(rule, message, packet)

    def _ask_of_head(self, head: bytearray, payload: bytes, fresh: bytes, rules: RuleSet) -> None:
        """Ask rules of a packet and of the beginning that it makes longer."""
        before = len(head)
        head += fresh
        self._watched.matcher.held += len(fresh)
        text = bytes(head[max(0, before - CARRY) :]) if before else fresh
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
            if rule.on_packets and (order in new or order in always) and self._try(rule, alone, packet):
                waiting.pop(rule, None)
                self._fired[rule] = len(head)
                continue
            if not rule.on_streams:
                continue
            fired = self._fired.get(rule)
            if fired is None:
                message = whole
            elif order in here and not rule.anchored:
                message = Message(PAYLOAD, {"pkt_data": [bytes(head[fired:])]}, b"")
            else:
                continue
            if self._try(rule, message, packet):
                waiting.pop(rule, None)
                self._fired[rule] = len(head)
            elif fired is None and order not in always and rule not in waiting:
                if len(waiting) < MAX_WAITING:
                    waiting[rule] = None
                else:
                    self._watched.matcher.counts.unwaited += 1

    def _let_go(self) -> None:
        if self._head is not None:
            self._watched.matcher.held -= len(self._head)
            self._head = None
        self._waiting.clear()
        self._fired.clear()

    def _ask_once(self) -> None:
        """Ask rules that are only about who speaks with whom: each tells once of a side."""
        watched, packet = self._watched, self._packet(0)
        message = Message(PAYLOAD, {}, b"")
        decided = packet.established and (self._known or watched.flow.protocol != TCP)
        self._once = [
            rule for rule in self._once if not self._try(rule, message, packet) and (rule.checks or not decided)
        ]

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
                if names := dns.questions(each[2:]):
                    self._ask(Message(DNS, {"dns.query": names}, b"\0".join(names)))

    def _ask_of_tls(self, message: Message) -> None:
        if message.kind == SERVER:
            self._watched.server_said |= message.buffers
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
        flow = watched.flow
        return Packet(
            size, self._last_flags, watched.established, self._to_server, self._source, self._source_port,
            self._destination, self._destination_port, flow.protocol, watched.app, flow.back.payload,
            flow.forth.payload,
        )  # fmt: skip

    def _try(self, rule: PacketRule, message: Message, packet: Packet) -> bool:
        """Ask one rule; where it matches its marks are made and it is told of."""
        if (rule.app and rule.app != packet.app) or (rule.protocols and packet.protocol not in rule.protocols):
            return False
        if not rule.header.fits(packet.source, packet.source_port, packet.destination, packet.destination_port):
            return False
        if not all(test(packet) for test in rule.packet_tests):
            return False
        if rule.checks and not all(self._has(bit) for bit in rule.checks):
            return False
        found = matches(rule, message)
        if found is None:
            return False
        for bit in rule.marks:
            self._mark(bit)
        if not rule.silent:
            places, looked_at = found
            watched = self._watched
            hit = Hit(rule, self._last_time, self._to_server, watched.app, places, looked_at)
            watched.matcher.hit(watched.flow, hit, packet)
        return True

    def _has(self, bit: Bit) -> bool:
        watched = self._watched
        if bit.track == "flow":
            there = watched.bits is not None and not watched.bits.isdisjoint(bit.names)
        else:
            there = watched.matcher.marks.has(bit, self._source, self._destination, self._last_time)
        return there == (bit.action == "isset")

    def _mark(self, bit: Bit) -> None:
        watched = self._watched
        if bit.track != "flow":
            watched.matcher.marks.mark(bit, self._source, self._destination, self._last_time)
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

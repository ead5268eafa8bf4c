"""Packets enter, connections leave: the table of flows, with how each TCP connection went.

Both directions of a connection have a key each, so one look-up of bytes as they lie in the packet finds the right
counters. A flow ends when it was silent for as long as its kind may be, when its TCP connection was closed, or when the
table is full; a long one is told of on the way. Time is that of the packets.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Any

from collectors.network.capture_files import Buffer, Place
from collectors.network.headers import (
    ETHERNET,
    ICMP,
    ICMP6,
    TCP,
    TUNNELS,
    UDP,
    Arp,
    Headers,
    MalformedError,
    NotIpError,
    parse,
)

SECOND = 1_000_000
FIN, SYN, RST, ACK = 1, 2, 4, 16
#: How long a flow may be silent, in microseconds: a TCP connection that was never answered (Zeek's
#: `tcp_attempt_delay`), one that is closed, one that is open, and all else.
ATTEMPT, CLOSED, OPEN, OTHER = 5 * SECOND, 2 * SECOND, 300 * SECOND, 60 * SECOND
#: How often a flow that goes on is told of.
INTERIM = 300 * SECOND
#: Fragments whose first piece is remembered.
MAX_FRAGMENTS = 4_096
#: Payloads that wait for their readers.
MAX_UNREAD = 1_000
#: A port below this is a server's.
_SERVERS = 1024
#: What of a full table is ended at once, oldest first.
_EVICTED_SHARE = 0.01
#: How far packets may be apart for the timers to be looked at one by one, in seconds.
_FAR = 600


class Half:
    """What one side of a flow has sent. `bytes` with IP headers, `payload` without TCP's and UDP's."""

    __slots__ = ("bytes", "flags", "flow", "last", "other", "packets", "payload", "reader", "watcher")

    def __init__(self, flow: "Flow") -> None:
        self.flow = flow
        self.packets = self.bytes = self.payload = self.flags = self.last = 0
        #: Takes the payload, the time and the TCP sequence number; None once nothing more is to be learned.
        self.reader: Callable[[bytes, int, int], None] | None = None
        #: Takes the payload, the time, the TCP sequence number and flags (of ICMP: type and code, a byte each); also of
        #: packets without payload that begin a connection or have flags that this side had not sent yet.
        self.watcher: Callable[[bytes, int, int, int], None] | None = None
        self.other: Half


class Flow:
    """A connection: who began it and what both sides sent. Times are microseconds since 1970."""

    __slots__ = (
        "back", "common", "conversation", "destination", "destination_port", "forth", "hits",
        "key", "macs", "name", "protocol",
        "service", "source", "source_port", "start", "told", "transactions", "vlan", "watched",
    )  # fmt: skip

    def __init__(self, headers: Headers, key: bytes, start: int) -> None:
        self.key = key
        self.source, self.destination = headers.source, headers.destination
        self.source_port, self.destination_port = headers.source_port, headers.destination_port
        self.protocol = headers.protocol
        self.macs, self.vlan = headers.macs, headers.vlan
        self.start = self.told = start
        #: The protocol that was recognised, and the flow's own name.
        self.service = self.name = ""
        #: How many questions and answers, and how many hits of packet rules, were told of.
        self.transactions = self.hits = 0
        #: What all its events have in common, once it was asked for.
        self.common: dict[str, Any] | None = None
        #: Whoever reads what both sides say.
        self.conversation: Any = None
        #: Whoever asks packet rules of it.
        self.watched: Any = None
        self.forth, self.back = Half(self), Half(self)
        self.forth.other, self.back.other = self.back, self.forth

    @property
    def last(self) -> int:
        """When the last packet was seen."""
        return max(self.forth.last, self.back.last)

    @property
    def state(self) -> str:
        """How a TCP connection went, by Zeek's names (`conn_state`); of others `SF` when answered, else `S0`."""
        if self.protocol != TCP:
            return "SF" if self.back.packets else "S0"
        return _tcp_state(self.forth.flags, self.back.flags)

    def turn(self) -> None:
        """The first packet that was seen was an answer: who was taken for the destination began."""
        self.source, self.destination = self.destination, self.source
        self.source_port, self.destination_port = self.destination_port, self.source_port
        self.macs = self.macs[6:] + self.macs[:6]
        self.forth, self.back = self.back, self.forth

    def patience(self) -> int:
        """How long it may be silent."""
        if self.protocol != TCP:
            return OTHER
        forth, back = self.forth.flags, self.back.flags
        if (forth | back) & RST or forth & back & FIN:
            return CLOSED
        return OPEN if self.back.packets and not (forth & SYN and not back & ACK) else ATTEMPT


def _tcp_state(forth: int, back: int) -> str:
    if not (forth | back) & SYN:
        return "OTH"
    if forth & SYN and back & SYN:
        return _ended(forth, back)
    if forth & SYN:
        if back & RST:
            return "REJ"
        return "RSTOS0" if forth & RST else "SH" if forth & FIN else "S0" if not back else "OTH"
    return "RSTRH" if back & RST else "SHR" if back & FIN else "OTH"


def _ended(forth: int, back: int) -> str:
    if forth & RST:
        return "RSTO"
    if back & RST:
        return "RSTR"
    return {0: "S1", 1: "S2", 2: "S3", 3: "SF"}[(forth & FIN) + 2 * (back & FIN)]


@dataclass(slots=True)
class Counts:
    """What came, and what could not be read."""

    packets: int = 0
    bytes: int = 0
    flows: int = 0
    malformed: int = 0
    not_ip: int = 0
    fragments: int = 0
    fragments_lost: int = 0
    evicted: int = 0


class FlowTable:
    """The flows that are going on, at most `most`.

    `ended(flow)` is called with each flow at its end, `told(flow)` on its way, `began(flow)` with a new one: it may put
    readers on its halves; `arp(message, time)` with each ARP message.
    """

    def __init__(
        self,
        ended: Callable[[Flow], None],
        told: Callable[[Flow], None],
        began: Callable[[Flow], None] = lambda _: None,
        arp: Callable[[Arp, int], None] = lambda *_: None,
        most: int = 200_000,
    ) -> None:
        self.counts = Counts()
        self.time = 0
        self._ended, self._told, self._began, self._arp = ended, told, began, arp
        self._most = most
        self._tcp: dict[bytes, Half] = {}
        self._udp: dict[bytes, Half] = {}
        self._others: dict[bytes, Half] = {}
        self._timers: dict[int, list[Flow]] = {}
        self._swept = 0
        self._fragments: dict[bytes, tuple[int, int]] = {}
        self._unread: list[tuple[Half, bytes, int, int, int]] = []

    def __len__(self) -> int:
        return (len(self._tcp) + len(self._udp) + len(self._others)) // 2

    def take(self, buffer: Buffer, packets: Iterable[Place]) -> None:  # noqa: PLR0912, PLR0915 -- what every packet costs
        """Count the packets, which lie in the buffer, to their flows."""
        tcp, udp, usual, unread = self._tcp, self._udp, _USUAL, self._unread
        now, size_of_all, number = self.time, 0, 0
        due = (self._swept + 1) * SECOND if self._swept else 0
        try:
            for number, (time, at, length, wire, link) in enumerate(packets, 1):  # noqa: B007 -- the last one counts
                size_of_all += wire
                if time > now:
                    now = time
                    if now >= due:
                        self.time = now
                        self._sweep()
                        due = (self._swept + 1) * SECOND
                if length >= 54 and link == ETHERNET:
                    kind, version, size, fragment, protocol, sequence, offset, flags = usual(buffer, at)
                    if kind == 0x0800 and version == 0x45 and not fragment & 0x3FFF:
                        if protocol == TCP:
                            half = tcp.get(buffer[at + 26 : at + 38])
                            head = 20 + (offset >> 4) * 4
                            if half is not None and size >= head >= 40 and flags & _BEGINS != SYN:
                                half.packets += 1
                                half.bytes += size
                                half.last = time
                                if size > head:
                                    half.payload += size - head
                                    if half.reader is not None or half.watcher is not None:
                                        end = at + min(length, 14 + size)
                                        unread.append((half, buffer[at + 14 + head : end], time, sequence, flags))
                                        if len(unread) >= MAX_UNREAD:
                                            self._read()
                                if flags & ~half.flags:
                                    if size == head and half.watcher is not None:
                                        unread.append((half, b"", time, sequence, flags))
                                    self._flagged(half, flags, time)
                                continue
                        elif protocol == UDP:
                            half = udp.get(buffer[at + 26 : at + 38])
                            if half is not None and size >= 28:
                                half.packets += 1
                                half.bytes += size
                                half.payload += size - 28
                                half.last = time
                                if half.reader is not None or half.watcher is not None:
                                    unread.append((half, buffer[at + 42 : at + min(length, 14 + size)], time, 0, 0))
                                    if len(unread) >= MAX_UNREAD:
                                        self._read()
                                continue
                        if size >= 28 and length >= 14 + size:
                            self._take_usual(buffer, time, at, size, protocol)
                            continue
                self._take_one(buffer, time, at, length, link)
        finally:
            self._read()
            self.time = now
            self.counts.packets += number
            self.counts.bytes += size_of_all

    def tick(self, time: int) -> None:
        """No packets came, and it is this time, in microseconds since 1970."""
        if time > self.time:
            self.time = time
            self._sweep()

    def finish(self) -> None:
        """End all flows: nothing more comes."""
        for halves in (self._tcp, self._udp, self._others):
            for flow in {id(half.flow): half.flow for half in halves.values()}.values():
                self._ended(flow)
            halves.clear()
        self._timers.clear()

    def _take_usual(self, buffer: Buffer, time: int, at: int, size: int, protocol: int) -> None:
        """Take a whole packet of the usual form that is the first of its flow."""
        place, end = at + 34, at + 14 + size
        if protocol not in (TCP, UDP) or (protocol == TCP and (size < 40 or buffer[at + 46] >> 4 < 5)):
            self._take_one(buffer, time, at, end - at, ETHERNET)
            return
        first, second = _PORTS(buffer, place)
        if protocol == UDP and second in TUNNELS:
            self._take_one(buffer, time, at, end - at, ETHERNET)
            return
        macs = buffer[at : at + 12]
        source, destination = buffer[at + 26 : at + 30], buffer[at + 30 : place]
        headers = Headers(source, destination, protocol, first, second, size, place, end, macs, 0)
        flags = sequence = 0
        payload = place + 8
        if protocol == TCP:
            sequence, offset, flags = _TCP(buffer, place)
            payload = place + (offset >> 4) * 4
        self._count(headers, buffer[at + 26 : at + 38], time, flags, sequence, buffer[payload:end])

    def _take_one(self, buffer: Buffer, time: int, at: int, length: int, link: int) -> None:
        """Take a packet that is not of the usual form, or the first of its flow."""
        try:
            headers = parse(buffer, at, length, link)
        except MalformedError:
            self.counts.malformed += 1
            return
        except NotIpError:
            self.counts.not_ip += 1
            return
        if isinstance(headers, Arp):
            self._arp(headers, time)
            return
        if headers.fragment:
            headers = self._of_fragment(headers)
        flags = sequence = 0
        payload = headers.transport
        if headers.first and headers.protocol == TCP:
            if headers.end - headers.transport < 20:
                self.counts.malformed += 1
                return
            sequence, offset, flags = _TCP(buffer, headers.transport)
            if offset >> 4 < 5:
                self.counts.malformed += 1
                return
            payload += (offset >> 4) * 4
        elif headers.first and headers.protocol in (UDP, ICMP, ICMP6):
            payload += 8
            if headers.protocol != UDP:
                flags = int.from_bytes(buffer[headers.transport : headers.transport + 2], "big")
        self._count(headers, _key(headers), time, flags, sequence, buffer[payload : headers.end])

    def _count(self, headers: Headers, key: bytes, time: int, flags: int, sequence: int, payload: bytes) -> None:
        half = self._half(headers, key, time, flags)
        half.packets += 1
        half.bytes += headers.size
        half.last = time
        half.payload += len(payload)
        if flags & ~half.flags and headers.protocol == TCP:
            self._flagged(half, flags, time)
        if ((payload and half.reader is not None) or half.watcher is not None) and not headers.fragment:
            self._unread.append((half, payload, time, sequence, flags))
            if len(self._unread) >= MAX_UNREAD:
                self._read()

    def _read(self) -> None:
        """Give what was sent to its readers: many at once, for what one of them needs is at hand for the next."""
        for half, payload, time, sequence, flags in self._unread:
            if half.reader is not None and payload:
                half.reader(payload, time, sequence)
            if half.watcher is not None:
                half.watcher(payload, time, sequence, flags)
        self._unread.clear()

    def _of_fragment(self, headers: Headers) -> Headers:
        """Give a piece of a packet the ports of its first one."""
        self.counts.fragments += 1
        if headers.first:
            if len(self._fragments) >= MAX_FRAGMENTS:
                self._fragments.pop(next(iter(self._fragments)))
            self._fragments[headers.fragment] = headers.source_port, headers.destination_port
            return headers
        ports = self._fragments.get(headers.fragment)
        if ports is None:
            self.counts.fragments_lost += 1
            return headers
        return headers._replace(source_port=ports[0], destination_port=ports[1])

    def _half(self, headers: Headers, key: bytes, time: int, flags: int) -> Half:
        """Return the counters that a packet belongs to, new ones where it is the first of its flow."""
        halves = self._of_protocol(headers.protocol)
        half = halves.get(key)
        if half is not None and not _is_new(half.flow, flags):
            return half
        if half is not None:
            self._read()
            self._end(half.flow)
        if len(self) >= self._most:
            self._evict()
        flow = Flow(headers, key, time)
        self.counts.flows += 1
        half = flow.forth
        halves[_turned(key, len(headers.source))] = flow.back
        halves[key] = half  # last: of an address that speaks with itself both keys are the same
        if flags & (SYN | ACK) == SYN | ACK or (
            not flags & SYN and headers.source_port < _SERVERS <= headers.destination_port
        ):
            flow.turn()
        self._wake(flow, time + flow.patience())
        self._began(flow)
        return half

    def _of_protocol(self, protocol: int) -> dict[bytes, Half]:
        return self._tcp if protocol == TCP else self._udp if protocol == UDP else self._others

    def _flagged(self, half: Half, flags: int, time: int) -> None:
        """Note TCP flags that this side had not sent yet; a connection that they close may be silent no longer."""
        half.flags |= flags
        if flags & (FIN | RST) and half.flow.patience() == CLOSED:
            self._wake(half.flow, time + CLOSED)

    def _wake(self, flow: Flow, due: int) -> None:
        self._timers.setdefault(due // SECOND + 1, []).append(flow)

    def _sweep(self) -> None:
        """Look at the flows whose time may have come."""
        self._read()
        now = self.time // SECOND
        if not self._swept:
            self._swept = now
        far = now - self._swept > _FAR
        for second in sorted(at for at in self._timers if at <= now) if far else range(self._swept, now + 1):
            for flow in self._timers.pop(second, ()):
                self._look_at(flow)
        self._swept = now

    def _look_at(self, flow: Flow) -> None:
        half = self._of_protocol(flow.protocol).get(flow.key)
        if half is None or half.flow is not flow:
            return  # it has ended already
        due = flow.last + flow.patience()
        if due <= self.time:
            self._end(flow)
            return
        if self.time - flow.told >= INTERIM:
            flow.told = self.time
            self._told(flow)
        self._wake(flow, min(due, flow.told + INTERIM))

    def _end(self, flow: Flow) -> None:
        halves = self._of_protocol(flow.protocol)
        halves.pop(flow.key)
        halves.pop(_turned(flow.key, len(flow.source)), None)
        self._ended(flow)
        for each in (flow.forth, flow.back):
            del each.flow, each.other  # else only the search for cycles frees them

    def _evict(self) -> None:
        """Make room: end those that would end first."""
        self._read()
        wanted = max(1, int(self._most * _EVICTED_SHARE))
        for second in sorted(self._timers):
            waiting = self._timers[second]
            while waiting and wanted:
                flow = waiting.pop()
                half = self._of_protocol(flow.protocol).get(flow.key)
                if half is not None and half.flow is flow:
                    self._end(flow)
                    self.counts.evicted += 1
                    wanted -= 1
            if not waiting:
                del self._timers[second]
            if not wanted:
                return


def _key(headers: Headers) -> bytes:
    """Return what a direction of a flow is found by: addresses and ports as they lie in the packet."""
    ports = headers.source_port << 16 | headers.destination_port
    rest = b"" if headers.protocol in (TCP, UDP) else bytes((headers.protocol,))
    return headers.source + headers.destination + ports.to_bytes(4, "big") + rest


def _turned(key: bytes, address: int) -> bytes:
    """Return the key of the other direction; an address has so many bytes."""
    ports = 2 * address
    pair = key[ports + 2 : ports + 4] + key[ports : ports + 2]
    return key[address:ports] + key[:address] + pair + key[ports + 4 :]


def _is_new(flow: Flow, flags: int) -> bool:
    """Whether a packet begins another connection between the same ports."""
    return flags & (SYN | ACK) == SYN and flow.protocol == TCP and flow.patience() == CLOSED


#: Of these flags only SYN stands in a packet that begins a connection.
_BEGINS = SYN | ACK
#: Ethernet, IPv4, TCP: EtherType, version and header length, size, fragment, protocol, sequence, offset, flags.
_USUAL = Struct("!12xHBxH2xHxB14xI4xBB").unpack_from
_TCP, _PORTS = Struct("!4xI4xBB").unpack_from, Struct("!HH").unpack_from

"""The segments of a TCP connection or the datagrams of a flow enter, its transactions leave.

Of TCP each side's bytes are put into their order first. Which protocol it is, its first bytes say; the port only where
these are a length and nothing else.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from collectors.network import (
    dce_rpc,
    dhcp,
    dns,
    http,
    icmp,
    kerberos,
    ldap,
    netbios,
    rdp,
    smb,
    ssdp,
    ssh,
    text_logins,
    tls,
)
from collectors.network.flows import Flow, Half
from collectors.network.headers import ICMP, ICMP6, TCP, UDP
from collectors.network.reading import Reader, Transaction


class Kind(NamedTuple):
    """A protocol over TCP: its name, how its first bytes look, and what reads it."""

    name: str
    looks_like: Callable[[bytes], bool]
    reader: Callable[[], Reader]


KINDS: tuple[Kind, ...] = (
    Kind("tls", tls.looks_like, tls.TlsReader),
    Kind("http", http.looks_like, http.HttpReader),
    Kind("ssh", ssh.looks_like, ssh.SshReader),
    Kind("smb", smb.looks_like, smb.SmbReader),
    Kind("dcerpc", dce_rpc.looks_like, dce_rpc.DceRpcReader),
    Kind("rdp", rdp.looks_like, rdp.RdpReader),
    Kind("ldap", ldap.looks_like, ldap.LdapReader),
    Kind("text log-in", text_logins.looks_like, text_logins.TextLoginReader),
)
#: Segments of a side that came too early and are kept, and bytes of a connection that are read in order.
MAX_EARLY, MAX_ORDERED = 16, 262_144
_HALF = 1 << 31
_MASK = (1 << 32) - 1
Emit = Callable[[Flow, Transaction], None]


class Side:
    """Puts the segments of one side into their order (RFC 9293, 3.4); a gap that stays is jumped over."""

    __slots__ = ("_early", "_next")

    def __init__(self) -> None:
        self._next = -1
        self._early: dict[int, bytes] = {}

    def begin(self, sequence: int) -> None:
        """Say where the first byte belongs, from the packet that opened the connection."""
        if self._next < 0:
            self._next = sequence & _MASK

    def in_order(self, payload: bytes, sequence: int) -> bytes:
        """Return what this segment makes complete."""
        if self._next < 0:
            self._next = sequence
        ahead = (sequence - self._next) & _MASK
        if ahead >= _HALF:  # seen before, at least the beginning
            payload = payload[_MASK + 1 - ahead :]
        elif ahead:
            self._early.setdefault(sequence, payload)
            if len(self._early) <= MAX_EARLY:
                return b""
            self._next = min(self._early, key=lambda at: (at - self._next) & _MASK)
            payload = self._early.pop(self._next)
        self._next = (self._next + len(payload)) & _MASK
        if not self._early:
            return payload
        return payload + b"".join(self._follow())

    def _follow(self) -> Iterable[bytes]:
        while (payload := self._early.pop(self._next, None)) is not None:
            self._next = (self._next + len(payload)) & _MASK
            yield payload


class Conversation:
    """What both sides of a flow say, read for as long as there is something to learn."""

    __slots__ = ("_emit", "_flow", "_read", "_reader", "_sides")

    def __init__(self, flow: Flow, emit: Emit, reader: Reader | None = None) -> None:
        self._flow, self._emit, self._reader = flow, emit, reader
        #: Of the destination and of the source.
        self._sides: tuple[Side, Side] | None = None
        self._read = 0
        flow.forth.reader, flow.back.reader = self._of_source, self._of_destination
        flow.conversation = self

    def end(self) -> None:
        """The flow is over."""
        if self._reader is not None:
            for each in self._reader.end():
                self._emit(self._flow, each)
        self._stop()

    def _of_source(self, payload: bytes, time: int, sequence: int) -> None:
        self._take(True, payload, time, sequence)

    def _of_destination(self, payload: bytes, time: int, sequence: int) -> None:
        self._take(False, payload, time, sequence)

    def _take(self, from_source: bool, payload: bytes, time: int, sequence: int) -> None:
        reader = self._reader
        if reader is None:
            reader = self._recognised(from_source, payload)
            if reader is None:
                return
        if reader.ordered and self._flow.protocol == TCP:
            self._read += len(payload)
            if self._sides is None:
                self._sides = Side(), Side()
            payload = self._sides[from_source].in_order(payload, sequence)
        if payload:
            for each in reader.take(from_source, payload, time):
                self._emit(self._flow, each)
        if reader.done or (reader.ordered and self._read > MAX_ORDERED):
            self.end()

    def _recognised(self, from_source: bool, payload: bytes) -> Reader | None:
        """Return who reads this; a side whose first bytes nobody knows is listened to no more."""
        for kind in KINDS:
            if kind.looks_like(payload):
                self._reader = kind.reader()
                return self._reader
        half: Half = self._flow.forth if from_source else self._flow.back
        half.reader = None
        return None

    def _stop(self) -> None:
        self._flow.forth.reader = self._flow.back.reader = None
        self._flow.conversation = None


def listen(flow: Flow, emit: Emit) -> None:
    """Have a new flow read, where it may be of a protocol that we know."""
    if flow.protocol == TCP:
        reader = _FRAMED.get(flow.destination_port) or _FRAMED.get(flow.source_port)
        Conversation(flow, emit, reader() if reader is not None else None)
    elif flow.protocol == UDP:
        reader = _DATAGRAMS.get(flow.destination_port) or _DATAGRAMS.get(flow.source_port)
        if reader is not None:
            Conversation(flow, emit, reader())
    elif flow.protocol in (ICMP, ICMP6):
        Conversation(flow, emit, icmp.IcmpReader(flow.source_port, flow.destination_port))


#: Who reads a TCP connection whose first bytes are only a length, and who reads datagrams, by the port.
_FRAMED: dict[int, Callable[[], Reader]] = {
    dns.PORT: lambda: dns.DnsReader(framed=True),
    kerberos.PORT: lambda: kerberos.KerberosReader(framed=True),
}
_DATAGRAMS: dict[int, Callable[[], Reader]] = {
    dns.PORT: dns.DnsReader,
    dns.MULTICAST: lambda: dns.DnsReader("mdns"),
    dns.LLMNR: lambda: dns.DnsReader("llmnr"),
    kerberos.PORT: kerberos.KerberosReader,
    dhcp.SERVER: dhcp.DhcpReader,
    dhcp.CLIENT: dhcp.DhcpReader,
    ssdp.PORT: ssdp.SsdpReader,
    netbios.PORT: netbios.NetbiosReader,
}

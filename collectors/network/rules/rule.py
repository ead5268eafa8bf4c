"""What a packet rule is once its keywords have their meaning."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.network.rules.contents import Test
from collectors.network.rules.header import Header


class Group(NamedTuple):
    """Tests of one buffer."""

    buffer: str
    transforms: tuple[str, ...]
    tests: tuple[Test, ...]


class Packet(NamedTuple):
    """What a rule may ask of the packet and the connection: payload, flags (of ICMP: type and code), and its side."""

    size: int
    flags: int
    established: bool
    to_server: bool
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    protocol: int
    app: str
    sent_by_server: int
    sent_by_client: int


PacketTest = Callable[[Packet], bool]


class Threshold(NamedTuple):
    """How often a rule may tell: `kind` is limit, threshold, both, or detection_filter."""

    kind: str
    track: str
    times: int
    seconds: int


class Bit(NamedTuple):
    """A mark on a connection (flowbits), or on an address or a pair of them for some time (xbits)."""

    action: str
    names: tuple[str, ...]
    track: str = "flow"
    seconds: int = 0


@dataclass(slots=True, eq=False)
class PacketRule:
    """A rule. `kinds` are the kinds of messages it is about; `fast` is looked for first, None: there is nothing."""

    sid: int
    gid: int
    revision: int
    message: str
    category: str
    priority: int
    references: list[str]
    metadata: dict[str, list[str]]
    header: Header
    protocols: frozenset[int] | None
    app: str
    kinds: tuple[str, ...]
    groups: tuple[Group, ...]
    to_server: bool | None
    packet_tests: tuple[PacketTest, ...]
    checks: tuple[Bit, ...]
    marks: tuple[Bit, ...]
    silent: bool
    thresholds: tuple[Threshold, ...]
    #: Of a payload: packets alone, streams alone, or both.
    on_packets: bool
    on_streams: bool
    #: A packet's own size, flags or type matter: it is looked at in every packet.
    per_packet: bool
    fast: bytes | None
    place: str
    #: Where it stands among all, so that who sets a mark comes before who asks for it.
    order: int = field(default=0)
    anchored: bool = False

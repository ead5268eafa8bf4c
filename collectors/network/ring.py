"""A network interface enters, blocks of packets as the kernel wrote them leave: an AF_PACKET ring (TPACKET_V3).

Source: the kernel's Documentation/networking/packet_mmap.rst and include/uapi/linux/if_packet.h. Packets are read where
they lie; what the ring had no room for is counted by the kernel.
"""

import mmap
import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct, pack
from types import TracebackType

from collectors.network import bpf
from collectors.network.capture_files import Place
from collectors.network.headers import ETHERNET, RAW

_SOL_PACKET, _ETH_P_ALL = 263, 0x0003
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _FANOUT, _IGNORE_OUTGOING = 1, 5, 6, 10, 18, 23
_TPACKET_V3, _PROMISCUOUS, _FANOUT_HASH, _FANOUT_DEFRAG = 2, 1, 0, 0x8000
_BLOCK = 1 << 20
_FRAME = 2_048
#: How long the kernel fills a block before it gives it away, in milliseconds.
_RETIRE_MS = 50
_USER, _KERNEL = 1, 0
#: Of a block: whose it is, how many packets, where the first one is (struct tpacket_hdr_v1, behind version and offset).
_HEAD, _STATUS = Struct("=8xIII").unpack_from, Struct("=I")
_STATUS_AT = 8
#: Of a packet: next, seconds, nanoseconds, captured, on the wire, and where its link header begins (tpacket3_hdr).
_PACKET = Struct("=IIIII4xH").unpack_from
#: Packets, dropped packets, times that the ring was full (struct tpacket_stats_v3).
_COUNTS = Struct("=III")
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772


class Ring:
    """The packets of one interface, from now on.

    Raises:
        OSError: there is no such interface, or the right to listen is missing (CAP_NET_RAW).
    """

    def __init__(
        self,
        interface: str,
        megabytes: int = 32,
        promiscuous: bool = True,
        fanout: int | None = None,
        program: bytes = b"",
    ) -> None:
        """`fanout`: rings with the same number share the packets of the interface, each flow whole in one.

        `program`: the kernel asks it of each packet (`bpf.compiled`), and passes over those that it does not take.
        """
        self._blocks = max(2, megabytes * 1_000_000 // _BLOCK)
        self._at = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing until it is bound
        try:
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
            frames = self._blocks * (_BLOCK // _FRAME)
            wanted = pack("IIIIIII", _BLOCK, self._blocks, _FRAME, frames, _RETIRE_MS, 0, 0)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, wanted)
            self.buffer = mmap.mmap(self._socket.fileno(), self._blocks * _BLOCK, mmap.MAP_SHARED)
            if program:
                bpf.attach(self._socket, program)
            self._socket.bind((interface, _ETH_P_ALL))
            kind = self._socket.getsockname()[3]
            self.link = ETHERNET if kind in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK) else RAW
            if kind == _ARPHRD_LOOPBACK:  # there everything comes in that went out
                self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
            if promiscuous:
                number = socket.if_nametoindex(interface)
                member = pack("iHH8s", number, _PROMISCUOUS, 0, b"")
                self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
            if fanout is not None:
                wish = (_FANOUT_HASH | _FANOUT_DEFRAG) << 16 | fanout & 0xFFFF
                self._socket.setsockopt(_SOL_PACKET, _FANOUT, pack("I", wish))
        except BaseException:
            self._socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)

    def blocks(self, patience: float) -> Iterator[list[Place]]:
        """Yield the packets of each block that is full, until there is none for `patience` seconds.

        A block is the kernel's again when the next one is asked for: until then its packets lie in `buffer`.

        Raises:
            OSError: the interface is down or gone.
        """
        while True:
            start = self._at * _BLOCK
            status, count, first = _HEAD(self.buffer, start)
            if not status & _USER:
                if not self._poll.poll(patience * 1000):
                    return
                if fault := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(fault, os.strerror(fault))
                status, count, first = _HEAD(self.buffer, start)
                if not status & _USER:
                    return
            yield self._packets(start + first, count)
            _STATUS.pack_into(self.buffer, start + _STATUS_AT, _KERNEL)
            self._at = (self._at + 1) % self._blocks

    def _packets(self, at: int, count: int) -> list[Place]:
        found: list[Place] = []
        for _ in range(count):
            following, seconds, nanoseconds, length, wire, begin = _PACKET(self.buffer, at)
            found.append((seconds * 1_000_000 + nanoseconds // 1_000, at + begin, length, wire, self.link))
            at += following
        return found

    def count(self) -> int:
        """Return how many packets the kernel had no room for since this was last asked."""
        _, dropped, _ = _COUNTS.unpack(self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))
        return int(dropped)

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._poll.unregister(self._socket)
        self.buffer.close()
        self._socket.close()

    def __enter__(self) -> "Ring":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

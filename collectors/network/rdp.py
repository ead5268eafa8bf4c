"""The connection request of RDP ([MS-RDPBCGR] 2.2.1.1) enters, one transaction leaves."""

import re
from collections.abc import Iterator

from collectors.network.reading import Fields, Transaction, text

_COOKIE = re.compile(rb"Cookie: mstshash=([^\r\n]{1,256})\r\n")
_SECURITY = ((8, "rdstls"), (2, "nla"), (1, "tls"))
_NEGOTIATION = b"\x01\x00\x08\x00"


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak RDP: TPKT (RFC 1006) with an X.224 connection request."""
    return len(data) > 10 and data[:2] == b"\x03\x00" and data[5] == 0xE0


class RdpReader:
    """One connection of RDP."""

    ordered = True

    def __init__(self) -> None:
        self.done = False

    def take(self, _from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the request, which is the first segment."""
        self.done = True
        fields: Fields = {"network.protocol": "rdp"}
        if found := _COOKIE.search(data):
            fields["rdp.cookie"] = text(found[1])
        at = data.find(_NEGOTIATION)
        if at >= 0 and at + 8 <= len(data):
            wanted = int.from_bytes(data[at + 4 : at + 8], "little")
            fields["rdp.security"] = next((name for bit, name in _SECURITY if wanted & bit), "rdp")
        yield Transaction(time, "rdp", fields)

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())

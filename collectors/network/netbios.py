"""NetBIOS names over UDP (RFC 1002, section 4.2) enter, one transaction each question or registration leaves."""

from collections.abc import Iterator
from struct import Struct, error

from collectors.network.reading import Fields, Transaction, text

PORT = 137
_HEAD = Struct("!HHHHHH").unpack_from
_OPERATIONS = {0: "query", 5: "registration", 6: "release", 7: "wack", 8: "refresh"}
#: What stands behind a name (its 16th byte): that of a machine for others to log in to, or of a file server.
_OF_A_MACHINE = frozenset((0x00, 0x20))
#: In the flags of a registered name: that of a group.
_GROUP = 0x8000
MAX_TOLD = 50


class NetbiosReader:
    """One flow of the name service."""

    ordered = False

    def __init__(self) -> None:
        self.done = False
        self._told: set[tuple[str, str, bool]] = set()

    def take(self, _from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read a message; what is repeated is told of once."""
        try:
            fields = read_message(data)
        except (error, IndexError, ValueError):
            return
        said = (fields["netbios.operation"], fields["netbios.name"], "event.outcome" in fields)
        if said not in self._told:
            self._told.add(said)
            self.done = len(self._told) >= MAX_TOLD
            yield Transaction(time, "netbios", fields)

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())


def read_message(data: bytes) -> Fields:
    """Return the fields of a message. `source.domain` is the sender's own name, where it registers one.

    Raises:
        ValueError, struct.error, IndexError: it is none.
    """
    _, flags, questions, answers, _, more = _HEAD(data)
    operation = flags >> 11 & 15
    if operation not in _OPERATIONS or questions + answers != 1 or data[12] != 32 or data[45] != 0:
        raise ValueError("no message of the NetBIOS name service")
    letters = bytes((data[at] - 65) << 4 | (data[at + 1] - 65) for at in range(13, 45, 2) if _encoded(data, at))
    name, suffix = text(letters[:15].rstrip(b" \0")), letters[15]
    fields: Fields = {
        "network.protocol": "netbios", "netbios.operation": _OPERATIONS[operation], "netbios.name": name,
        "netbios.type": f"{suffix:02X}",
    }  # fmt: skip
    if flags & 0x8000:
        fields["event.outcome"] = "failure" if flags & 15 else "success"
    elif operation in (5, 8) and more and suffix in _OF_A_MACHINE:
        group = int.from_bytes(data[62:64], "big") & _GROUP if len(data) >= 64 else 0
        if not group and name:
            fields["source.domain"] = name
    return fields


def _encoded(data: bytes, at: int) -> bool:
    if not (65 <= data[at] <= 80 and 65 <= data[at + 1] <= 80):
        raise ValueError("no name in first-level encoding (RFC 1001, section 14.1)")
    return True

"""DHCP messages (RFC 2131, options of RFC 2132) enter, one transaction each leaves."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from collectors.network.reading import Fields, Transaction, text

SERVER, CLIENT = 67, 68
_COOKIE = b"\x63\x82\x53\x63"
_MESSAGES = ("", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM")
#: Options that are read; a message has a few dozen at most.
MAX_OPTIONS = 128


class DhcpReader:
    """One flow of DHCP."""

    ordered = False

    def __init__(self) -> None:
        self.done = False

    def take(self, _from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read a message."""
        if (fields := read_message(data)) is not None:
            yield Transaction(time, "dhcp", fields)

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())


def read_message(data: bytes) -> Fields | None:
    """Return the fields of a message; None for what is none."""
    if len(data) < 244 or data[236:240] != _COOKIE or data[2] > 16:
        return None
    options = _options(data)
    kind = options.get(53, b"\0")[0] if options.get(53) else 0
    fields: Fields = {
        "network.protocol": "dhcp",
        "dhcp.message": [_MESSAGES[kind] if 0 < kind < len(_MESSAGES) else f"TYPE{kind}"],
        "dhcp.mac": "-".join(f"{one:02X}" for one in data[28 : 28 + min(data[2], 6)]),
    }
    if any(data[16:20]):
        fields["dhcp.assigned_ip"] = str(IPv4Address(data[16:20]))
    if len(options.get(54, b"")) == 4:
        fields["dhcp.server_ip"] = str(IPv4Address(options[54]))
    if len(options.get(50, b"")) == 4:
        fields["dhcp.requested_ip"] = str(IPv4Address(options[50]))
    if len(options.get(51, b"")) == 4:
        fields["dhcp.lease_seconds"] = int.from_bytes(options[51], "big")
    if host := options.get(12):
        fields["dhcp.host_name"] = text(host.rstrip(b"\0"), 255)
    if maker := options.get(60):
        fields["dhcp.vendor_class"] = text(maker.rstrip(b"\0"), 255)
    if wanted := options.get(55):
        fields["dhcp.options"] = ",".join(map(str, wanted))
    return fields


def _options(data: bytes) -> dict[int, bytes]:
    """Return the options by number; the first of each."""
    found: dict[int, bytes] = {}
    at = 240
    while at < len(data) and len(found) < MAX_OPTIONS:
        number = data[at]
        if number == 255:
            break
        if number == 0:
            at += 1
            continue
        if at + 1 >= len(data):
            break
        found.setdefault(number, data[at + 2 : at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    return found

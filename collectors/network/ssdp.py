"""SSDP messages (UPnP Device Architecture 2.0, section 1) enter, one transaction each leaves."""

from collections.abc import Iterator

from collectors.network.reading import Fields, Transaction, text

PORT = 1900
_METHODS = {b"NOTIFY * HTTP/1.": "NOTIFY", b"M-SEARCH * HTTP/": "M-SEARCH", b"HTTP/1.1 200 OK\r": "RESPONSE"}
_HEADERS = {
    b"server": "ssdp.server", b"nt": "ssdp.target", b"st": "ssdp.target", b"usn": "ssdp.usn",
    b"location": "url.original", b"user-agent": "user_agent.original",
}  # fmt: skip
#: Messages of one flow that are told of: a device repeats itself.
MAX_TOLD = 50
_MAX_HEADERS = 40


class SsdpReader:
    """One flow of SSDP."""

    ordered = False

    def __init__(self) -> None:
        self.done = False
        self._told: set[tuple[bool, str, str]] = set()

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read a message; what a side says again is told of once."""
        fields = read_message(data)
        if fields is None:
            return
        said = (from_source, fields["ssdp.method"], fields.get("ssdp.target", ""))
        if said not in self._told:
            self._told.add(said)
            self.done = len(self._told) >= MAX_TOLD
            yield Transaction(time, "ssdp", fields)

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())


def read_message(data: bytes) -> Fields | None:
    """Return the fields of a message; None for what is none."""
    method = _METHODS.get(data[:16])
    if method is None:
        return None
    fields: Fields = {"network.protocol": "ssdp", "ssdp.method": method}
    for line in data[:4096].split(b"\r\n")[1:_MAX_HEADERS]:
        name, _, value = line.partition(b":")
        if field := _HEADERS.get(name.strip().lower()):
            fields.setdefault(field, text(value.strip(), 300))
    return fields

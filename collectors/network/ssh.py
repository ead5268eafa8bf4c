"""The version lines of SSH (RFC 4253, 4.2) enter, one transaction leaves."""

from collections.abc import Iterator

from collectors.network.reading import Fields, Transaction, text

#: Bytes of a version line (RFC 4253 has 255).
MAX_LINE = 255


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak SSH."""
    return data.startswith(b"SSH-")


class SshReader:
    """One connection of SSH."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._time = 0
        self._unread = {True: b"", False: b""}
        self._fields: Fields = {}

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read a side's version line."""
        name = f"ssh.{'client' if from_source else 'server'}.version"
        self._time = self._time or time
        if name not in self._fields:
            self._unread[from_source] = unread = (self._unread[from_source] + data)[:MAX_LINE]
            line, end, _ = unread.partition(b"\n")
            if (end or len(unread) >= MAX_LINE) and looks_like(line):
                self._fields[name] = text(line.rstrip(b"\r"))
        if len(self._fields) == 2:
            yield from self.end()

    def end(self) -> Iterator[Transaction]:
        """Yield what was read of both sides."""
        if self._fields and not self.done:
            yield Transaction(self._time, "ssh", {"network.protocol": "ssh", **self._fields})
        self.done = True

"""Framing: a TCP stream's pieces enter, syslog messages leave (RFC 6587, RFC 5425).

Both framings, told apart for each message by its first byte: a digit starts octet counting (`57 <34>1 …`), anything else
runs to the next line feed.
"""

from dataclasses import dataclass, field

#: Digits of an octet count; more is no count.
_COUNT_DIGITS = 7


@dataclass(slots=True)
class Framing:
    """The unfinished end of a stream. `cut` counts the bytes of messages past `limit` that were left out."""

    limit: int
    cut: int = 0
    _rest: bytes = b""
    _skip: int = 0  # bytes of a counted message still to be left out
    _skip_line: bool = field(default=False)  # the rest of a line is to be left out

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now, without their line ends."""
        if not self._rest and not self._skip and not self._skip_line and data[:1] == b"<" and data[-1:] == b"\n":
            lines = data.split(b"\n")
            lines.pop()
            if max(map(len, lines)) <= self.limit and _all_lines(lines):
                return [line.rstrip(b"\r\0") for line in lines if line]
        return self._slow(data)

    def end(self) -> list[bytes]:
        """Return what is left when the stream ends."""
        rest, self._rest = self._rest, b""
        return [rest.rstrip(b"\r\n\0")] if rest.strip(b"\r\n\0") else []

    def _slow(self, data: bytes) -> list[bytes]:
        buffer = self._rest + data
        self._rest = b""
        messages: list[bytes] = []
        at = 0
        while at < len(buffer):
            at = self._leave_out(buffer, at)
            if at >= len(buffer):
                break
            if buffer[at] in b"\r\n\0":
                at += 1
                continue
            step = (
                self._counted(buffer, at, messages)
                if buffer[at : at + 1].isdigit()
                else self._line(buffer, at, messages)
            )
            if step is None:
                break
            at = step
        return messages

    def _leave_out(self, buffer: bytes, at: int) -> int:
        if self._skip:
            step = min(self._skip, len(buffer) - at)
            self._skip -= step
            self.cut += step
            return at + step
        if self._skip_line:
            end = buffer.find(b"\n", at)
            self._skip_line = end < 0
            stop = len(buffer) if end < 0 else end + 1
            self.cut += stop - at
            return stop
        return at

    def _counted(self, buffer: bytes, at: int, messages: list[bytes]) -> int | None:
        space = buffer.find(b" ", at, at + _COUNT_DIGITS + 1)
        digits = buffer[at:space] if space >= 0 else buffer[at : at + _COUNT_DIGITS + 1]
        if not digits.isdigit() or (space < 0 and len(digits) > _COUNT_DIGITS):
            return self._line(buffer, at, messages)
        if space < 0:
            self._rest = buffer[at:]
            return None
        start, length = space + 1, int(digits)
        if len(buffer) > start and buffer[start : start + 1] != b"<":
            return self._line(buffer, at, messages)  # a line that happens to start with a number
        taken = min(length, self.limit)
        if len(buffer) - start < taken:
            self._rest = buffer[at:]
            return None
        messages.append(buffer[start : start + taken].rstrip(b"\r\n\0"))
        self._skip = length - taken
        return start + taken

    def _line(self, buffer: bytes, at: int, messages: list[bytes]) -> int | None:
        end = buffer.find(b"\n", at)
        stop = len(buffer) if end < 0 else end
        if stop - at > self.limit:
            messages.append(buffer[at : at + self.limit])
            self._skip_line = True
            return at + self.limit
        if end < 0:
            self._rest = buffer[at:]
            return None
        messages.append(buffer[at:end].rstrip(b"\r\0"))
        return end + 1


def _all_lines(lines: list[bytes]) -> bool:
    """Whether no line starts an octet count: then a split at the line feeds is all there is to do."""
    return not any(line[:1].isdigit() for line in lines)

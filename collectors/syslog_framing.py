"""Framing: a TCP stream's pieces enter, syslog messages leave (RFC 6587, RFC 5425).

Both framings, told apart for each message by its start: a number, a space and `<` is octet counting (`57 <34>1 …`),
anything else runs to the next line feed or NUL (RFC 6587 section 3.4.2). However a stream is cut into pieces, its
messages are the same.
"""

import re
from dataclasses import dataclass, field

#: Digits of an octet count; more is no count.
_COUNT_DIGITS = 7
_LINE_END = re.compile(rb"[\n\0]")
_COUNT = re.compile(rb"\d{1,7} (?=<)")


@dataclass(slots=True)
class Framing:
    """The unfinished end of a stream, at most `limit` bytes and a count.

    A longer message leaves as its first `limit` + 1 bytes, so that one sees that it was cut; the rest is left out.
    """

    limit: int
    _rest: bytes = b""
    _skip: int = 0  # bytes of a counted message still to be left out
    _skip_line: bool = field(default=False)  # the rest of a line is to be left out

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now, without their line ends."""
        if not self._rest and not self._skip and not self._skip_line and data[:1] == b"<" and data[-1:] == b"\n":
            lines = data.split(b"\n")
            lines.pop()
            if max(map(len, lines)) <= self.limit and b"\0" not in data and _plain(lines):
                return [message for line in lines if (message := line.rstrip(b"\r"))]
        return self._slow(data)

    def end(self) -> list[bytes]:
        """Return what is left when the stream ends: a message without its end, or less than its count said."""
        rest, self._rest = self._rest, b""
        rest = _COUNT.sub(b"", rest, 1) if rest[:1].isdigit() else rest
        return [message] if (message := rest.strip(b"\r\n\0")) else []

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
            take = self._counted if buffer[at : at + 1].isdigit() else self._line
            step = take(buffer, at, messages)
            if step is None:
                self._rest = buffer[at:]
                break
            at = step
        return messages

    def _leave_out(self, buffer: bytes, at: int) -> int:
        if self._skip:
            step = min(self._skip, len(buffer) - at)
            self._skip -= step
            return at + step
        if self._skip_line:
            end = _LINE_END.search(buffer, at)
            self._skip_line = end is None
            return end.end() if end else len(buffer)
        return at

    def _counted(self, buffer: bytes, at: int, messages: list[bytes]) -> int | None:
        head = buffer[at : at + _COUNT_DIGITS + 2]
        digits, space, after = head.partition(b" ")
        if not digits.isdigit() or len(digits) > _COUNT_DIGITS or after[:1] not in (b"", b"<"):
            return self._line(buffer, at, messages)  # a line that happens to start with a number
        if not space or not after:
            return None
        start, length = at + len(digits) + 1, int(digits)
        taken = min(length, self.limit + 1)
        if len(buffer) - start < taken:
            return None
        if message := buffer[start : start + taken].rstrip(b"\r\n\0"):
            messages.append(message)
        self._skip = length - taken
        return start + taken

    def _line(self, buffer: bytes, at: int, messages: list[bytes]) -> int | None:
        found = _LINE_END.search(buffer, at)
        stop = found.start() if found else len(buffer)
        if stop - at > self.limit:
            messages.append(buffer[at : at + self.limit + 1])
            self._skip_line = True
            return at + self.limit + 1
        if found is None:
            return None
        messages.append(buffer[at:stop].rstrip(b"\r"))
        return found.end()


def _plain(lines: list[bytes]) -> bool:
    """Whether no line starts an octet count or with a stray carriage return: then the line feeds are all there is."""
    return not any(line[:1].isdigit() or line[:1] == b"\r" for line in lines)

"""Protocols of lines enter, FTP (RFC 959), POP3 (RFC 1939), IMAP (RFC 9051) and SMTP (RFC 4954): log-ins leave.

Each is a transaction with the account and whether it was let in; passwords are passed over.
"""

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator

from collectors.network.reading import Fields, Transaction, text

#: What sides say first: servers greet, and of a greeting that was missed the client's first line tells.
_BEGINNINGS = (b"220 ", b"220-", b"+OK ", b"* OK", b"USER ", b"EHLO ", b"HELO ")
_GREETINGS = {b"+": "pop3", b"*": "imap"}
#: A line that is longer is no command and no answer that is read.
MAX_LINE = 1_000
#: Behind these nothing is in clear text any more, or a letter follows.
_LAST = (b"AUTH TLS", b"AUTH SSL", b"STARTTLS", b"STLS", b"DATA")
_SMTP_NOT_IN = (b"535", b"534", b"454", b"530")
_IMAP_LOGIN = re.compile(rb"(\S+) LOGIN \"?([^\s\"]+)", re.IGNORECASE)
_AUTH = re.compile(rb"(?:(\S+) AUTHENTICATE|AUTH) (PLAIN|LOGIN)(?: (\S+))?$", re.IGNORECASE)


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak one of them."""
    return data.startswith(_BEGINNINGS)


class TextLoginReader:
    """One connection of FTP, POP3, IMAP or SMTP."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._unread = {True: b"", False: b""}
        self._protocol = ""
        self._user = b""
        #: What asks for a name that is still to come, and how an answer to a log-in begins that waits for it.
        self._name_comes = ""
        self._waiting: tuple[int, str, bytes] | None = None

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the lines of a side."""
        *lines, rest = (self._unread[from_source] + data).split(b"\n")
        self._unread[from_source] = rest[:MAX_LINE]
        for line in lines:
            if self.done:
                return
            if from_source:
                self._command(line[:MAX_LINE].rstrip(), time)
            else:
                yield from self._answer(line[:MAX_LINE])

    def end(self) -> Iterator[Transaction]:
        """Nothing is told of a log-in without an answer."""
        return iter(())

    def _command(self, line: bytes, time: int) -> None:
        word = line[:5].upper()
        if self._name_comes:
            self._user, name_comes = _name(line, self._name_comes), self._name_comes
            self._name_comes = ""
            self._waiting = time, name_comes, b""
        elif word == b"USER ":
            self._protocol = self._protocol or "ftp"
            self._user = line[5:]
        elif word in (b"PASS ", b"PASS"):
            self._waiting = time, "PASS", b""
        elif word in (b"EHLO ", b"HELO "):
            self._protocol = "smtp"
        elif found := _AUTH.match(line):
            way = found[2].decode().upper()
            if found[3] and found[3] != b"=":
                self._user = _name(found[3], way)
                self._waiting = time, way, found[1] or b""
            else:
                self._name_comes = way
        elif found := _IMAP_LOGIN.match(line):
            self._user = found[2]
            self._waiting = time, "LOGIN", found[1]
        elif line.upper().endswith(_LAST):
            self.done = True

    def _answer(self, line: bytes) -> Iterator[Transaction]:
        if not self._protocol:
            self._protocol = _GREETINGS.get(line[:1], "")
        if self._waiting is None:
            return
        time, way, tag = self._waiting
        let_in = _let_in(self._protocol, line, tag)
        if let_in is None:
            return
        self._waiting = None
        self.done = let_in
        fields: Fields = {"network.protocol": self._protocol or "ftp", "event.code": way}
        if self._user:
            fields["user.name"] = text(self._user, 255)
        fields["event.outcome"] = "success" if let_in else "failure"
        yield Transaction(time, fields["network.protocol"], fields)


def _let_in(protocol: str, line: bytes, tag: bytes) -> bool | None:
    """Whether an answer says that somebody is let in; None where it says nothing of that."""
    if protocol == "pop3":
        return True if line.startswith(b"+OK") else False if line.startswith(b"-ERR") else None
    if protocol == "imap":
        said = line[len(tag) + 1 :].upper() if line.startswith(tag + b" ") else b""
        return True if said.startswith(b"OK") else False if said.startswith((b"NO", b"BAD")) else None
    if protocol == "smtp":
        return True if line.startswith(b"235") else False if line.startswith(_SMTP_NOT_IN) else None
    return True if line.startswith((b"230", b"232")) else False if line.startswith((b"530", b"430")) else None


def _name(given: bytes, way: str) -> bytes:
    """Return the account in what a client says of itself, in Base64 (PLAIN: RFC 4616)."""
    try:
        said = a2b_base64(given)
    except Error:
        return b""
    return said.split(b"\0")[1] if way == "PLAIN" and said.count(b"\0") >= 2 else said if way == "LOGIN" else b""

"""LDAP (RFC 4511) over TCP enters: who binds, and was he let in, leaves.

Names of NTLM within a bind ([MS-ADTS] 5.1.1) are read, too. What follows a log-in that succeeded is not looked at.
"""

from collections.abc import Iterator

from collectors.network.ntlm import log_in_of
from collectors.network.reading import Fields, Transaction, text

#: Tags: a message, a whole number, bind request and response, a search, the simple way to bind.
_MESSAGE, _INTEGER, _BIND, _ANSWER, _SEARCH, _SIMPLE = 0x30, 0x02, 0x60, 0x61, 0x63, 0x80
_CODES = {0: "success", 7: "authMethodNotSupported", 8: "strongerAuthRequired", 49: "invalidCredentials"}
_GOES_ON = 14  # saslBindInProgress
#: Bytes of a message that is read, and binds that wait for their answer.
MAX_MESSAGE, MAX_WAITING = 65_536, 16


def looks_like(data: bytes) -> bool:
    """Whether a client begins to speak LDAP: a message with a number, and a bind or a search in it."""
    if len(data) < 7 or data[0] != _MESSAGE:
        return False
    begin = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    number = data[begin : begin + 2]
    return len(number) == 2 and number[0] == _INTEGER and data[begin + 2 + number[1] :][:1] in (b"\x60", b"\x63")


class LdapReader:
    """One connection of LDAP."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._unread = {True: b"", False: b""}
        self._waiting: dict[bytes, tuple[int, Fields]] = {}

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the messages of a side."""
        unread = self._unread[from_source] + data
        while len(unread) >= 2:
            tag, begin, end = _element(unread, 0)
            if tag != _MESSAGE or end > MAX_MESSAGE:
                self.done = True  # encrypted from here on, or out of step
                return
            if len(unread) < end:
                break
            yield from self._message(from_source, unread[begin:end], time)
            unread = unread[end:]
        self._unread[from_source] = unread

    def end(self) -> Iterator[Transaction]:
        """Nothing is told of a bind without an answer."""
        return iter(())

    def _message(self, from_source: bool, message: bytes, time: int) -> Iterator[Transaction]:
        _, begin, end = _element(message, 0)
        number = message[begin:end]
        operation, begin, _ = _element(message, end)
        if from_source and operation == _BIND and len(self._waiting) < MAX_WAITING:
            self._waiting[number] = time, _bind(message[begin:])
        elif not from_source and operation == _ANSWER and number in self._waiting:
            asked, fields = self._waiting.pop(number)
            _, begin, end = _element(message, begin)
            code = int.from_bytes(message[begin:end], "big")
            if code == _GOES_ON:
                return
            self.done = code == 0 and bool(fields.get("user.name"))
            how = {"ldap.result": _CODES.get(code, str(code)), "event.outcome": "failure" if code else "success"}
            yield Transaction(asked, "ldap", {"network.protocol": "ldap", "ldap.operation": "bind", **fields, **how})


def _bind(body: bytes) -> Fields:
    """Of BindRequest (4.2): version, name, then the way of authentication with what belongs to it."""
    _, _, at = _element(body, 0)
    _, begin, end = _element(body, at)
    way = body[end : end + 1]
    name = text(body[begin:end], 255)
    fields: Fields = {"user.name": name} if name else {}
    if way and way[0] == _SIMPLE:
        return {**fields, "ldap.authentication": "simple"}
    return {**fields, "ldap.authentication": "sasl", **log_in_of(body[end:])}


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Return an element's tag and where its content begins and ends (BER); 0 for the tag where there is none."""
    if len(data) < at + 2:
        return 0, len(data), len(data)
    length, begin = data[at + 1], at + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[at + 2 : begin], "big")
    return data[at], begin, begin + length

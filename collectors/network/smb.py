"""SMB 1 and 2 ([MS-CIFS], [MS-SMB2]) over TCP enters: log-ins, shares, files and the calls in named pipes leave.

Of SMB 1 only log-ins and shares are read; what SMB 3 encrypts is told as such.
"""

from collections import OrderedDict
from collections.abc import Iterator
from struct import Struct, error
from typing import NamedTuple

from collectors.network.dce_rpc import Calls
from collectors.network.ntlm import log_in_of
from collectors.network.reading import Fields, Transaction

SMB1, SMB2, SMB3 = b"\xffSMB", b"\xfeSMB", b"\xfdSMB"
_HEAD = Struct("<4x2x2xIH2xIIQ4xIQ").unpack_from
_HEAD_SIZE = 64
_NEGOTIATE, _SESSION, _TREE, _CREATE, _READ, _WRITE, _IOCTL = 0, 1, 3, 5, 8, 9, 11
_OLD_SESSION, _OLD_TREE = 0x73, 0x75
_RESPONSE = 1
_PIPE_TRANSCEIVE = 0x0011C017
_TWO, _FOUR, _PAIR = (Struct(form).unpack_from for form in ("<H", "<I", "<HH"))
_DIALECTS = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1", 0x02FF: "2"}
_WRITES = 0x0000_0002 | 0x0000_0004 | 0x4000_0000 | 0x1000_0000 | 0x0001_0000  # data, append, generic, all, delete
_MORE = 0xC000_0016  # STATUS_MORE_PROCESSING_REQUIRED
_STATUSES = {
    0: "SUCCESS", 0xC000006D: "LOGON_FAILURE", 0xC0000022: "ACCESS_DENIED", 0xC000006A: "WRONG_PASSWORD",
    0xC0000064: "NO_SUCH_USER", 0xC0000072: "ACCOUNT_DISABLED", 0xC0000234: "ACCOUNT_LOCKED_OUT",
    0xC0000034: "OBJECT_NAME_NOT_FOUND", 0xC00000CC: "BAD_NETWORK_NAME", 0xC000015B: "LOGON_TYPE_NOT_GRANTED",
}  # fmt: skip
#: Requests that wait for their answer, shares and open pipes that are known, and the longest message that is read.
MAX_WAITING, MAX_SHARES, MAX_PIPES, MAX_MESSAGE = 256, 256, 64, 131_072


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak SMB: a session message (RFC 1002, 4.3.1) with its sign."""
    return len(data) >= 8 and data[0] == 0 and data[4:8] in (SMB1, SMB2, SMB3)


class _Header(NamedTuple):
    status: int
    command: int
    flags: int
    following: int
    message: int
    tree: int
    session: int


class SmbReader:
    """One connection of SMB."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._unread = {True: bytearray(), False: bytearray()}
        self._skip = {True: 0, False: 0}
        self._waiting: OrderedDict[int, tuple[int, Fields]] = OrderedDict()
        self._shares: dict[int, str] = {}
        self._pipes: OrderedDict[bytes, Calls] = OrderedDict()
        self._version = ""
        self._encrypted = False

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the messages of a side; of large ones, such as what is written to files, only the beginning."""
        if self._skip[from_source]:
            passed = min(self._skip[from_source], len(data))
            self._skip[from_source] -= passed
            data = data[passed:]
        unread = self._unread[from_source]
        unread += data
        while len(unread) >= 8:
            length = int.from_bytes(unread[1:4], "big")
            if unread[0] != 0 or unread[4:8] not in (SMB1, SMB2, SMB3):
                self.done = True  # out of step: a part was lost
                return
            if len(unread) < 4 + length and length <= MAX_MESSAGE:
                return
            message = bytes(unread[4 : 4 + length])
            self._skip[from_source] = max(0, 4 + length - len(unread))
            del unread[: 4 + length]
            try:
                yield from self._message(from_source, message, time)
            except (error, IndexError):
                continue

    def end(self) -> Iterator[Transaction]:
        """Yield the requests without an answer."""
        while self._waiting:
            _, (time, fields) = self._waiting.popitem(last=False)
            yield Transaction(time, "smb", fields)

    def _message(self, from_source: bool, message: bytes, time: int) -> Iterator[Transaction]:
        if message.startswith(SMB3):
            if not self._encrypted:
                self._encrypted = True
                yield Transaction(time, "smb", self._said("ENCRYPTED"))
        elif message.startswith(SMB1):
            yield from self._old(message, time)
        else:
            at = 0
            while True:  # some are bound together
                header = _Header(*_HEAD(message, at))
                end = at + header.following if header.following else len(message)
                body = message[at + _HEAD_SIZE : end]
                if header.flags & _RESPONSE:
                    yield from self._response(header, body)
                else:
                    yield from self._request(header, body, time)
                if not _HEAD_SIZE <= header.following < len(message) - at:
                    return
                at += header.following

    def _old(self, message: bytes, time: int) -> Iterator[Transaction]:
        """Read a message of SMB 1 ([MS-CIFS] 2.2.3.1): its command, status, flags, and the number of the request."""
        command, (status,), (number,) = message[4], _FOUR(message, 5), _TWO(message, 30)
        is_answer = message[9] & 0x80
        if command == _OLD_TREE and not is_answer:
            start = message.find(b"\\\0\\\0")
            if start >= 0:
                share = message[start:].decode("utf-16-le", "replace").partition("\0")[0]
                yield Transaction(
                    time, "smb", {**self._said("TREE_CONNECT"), "smb.version": "1", "smb.share": share[:500]}
                )
        elif command == _OLD_SESSION and not is_answer:
            self._waiting[number] = time, {**self._said("SESSION_SETUP"), "smb.version": "1", **_log_in(message[32:])}
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
        elif command == _OLD_SESSION and number in self._waiting:
            asked, fields = self._waiting.pop(number)
            if status != _MORE:
                yield Transaction(asked, "smb", {**fields, **_how(status)})

    def _said(self, command: str) -> Fields:
        fields: Fields = {"network.protocol": "smb", "smb.command": command}
        if self._version:
            fields["smb.version"] = self._version
        return fields

    def _request(self, header: _Header, body: bytes, time: int) -> Iterator[Transaction]:
        fields: Fields | None = None
        if header.command == _SESSION:
            offset, length = _PAIR(body, 12)
            fields = _log_in(body[_place(offset) :][:length])
        elif header.command == _TREE:
            offset, length = _PAIR(body, 4)
            fields = {"smb.share": _text(body, _place(offset), length)}
        elif header.command == _CREATE:
            offset, length = _PAIR(body, 44)
            (access,) = _FOUR(body, 24)
            fields = self._file(header.tree, _text(body, _place(offset), length), bool(access & _WRITES))
        elif header.command in (_WRITE, _IOCTL):
            yield from self._through_pipe(header.command, body, time)
        if fields is not None:
            self._waiting[header.message] = time, {**self._said(_COMMANDS[header.command]), **fields}
            if len(self._waiting) > MAX_WAITING:
                _, (earlier, unanswered) = self._waiting.popitem(last=False)
                yield Transaction(earlier, "smb", unanswered)

    def _file(self, tree: int, name: str, writes: bool) -> Fields:
        share = self._shares.get(tree, "")
        fields: Fields = {"smb.share": share} if share else {}
        if share.upper().endswith("IPC$"):
            return {**fields, "smb.pipe": name}
        return {
            **fields,
            "file.path": name,
            "file.name": name.rpartition("\\")[2],
            "smb.access": "write" if writes else "read",
        }

    def _through_pipe(self, command: int, body: bytes, time: int) -> Iterator[Transaction]:
        """Read the call that is written to a pipe."""
        if command == _WRITE:
            (offset,), (length,), identifier = _TWO(body, 2), _FOUR(body, 4), body[16:32]
        else:
            (kind,), identifier = _FOUR(body, 4), body[8:24]
            (offset,), (length,) = _FOUR(body, 24), _FOUR(body, 28)
            if kind != _PIPE_TRANSCEIVE:
                return
        calls = self._pipes.get(identifier)
        if calls is not None:
            yield from calls.take(body[_place(offset) :][:length], time)

    def _response(self, header: _Header, body: bytes) -> Iterator[Transaction]:
        if header.command == _NEGOTIATE and not header.status:
            (dialect,) = _TWO(body, 4)
            self._version = _DIALECTS.get(dialect, f"0x{dialect:04x}")
        if header.command not in _COMMANDS or header.message not in self._waiting or header.status == 0x103:
            return
        time, fields = self._waiting.pop(header.message)
        if header.command == _SESSION and header.status == _MORE and "user.name" not in fields:
            return  # the log-in goes on
        if header.command == _TREE and not header.status and len(self._shares) < MAX_SHARES:
            self._shares[header.tree] = fields["smb.share"]
        if header.command == _CREATE and not header.status and "smb.pipe" in fields:
            self._pipes[body[64:80]] = Calls(fields["smb.pipe"])
            if len(self._pipes) > MAX_PIPES:
                self._pipes.popitem(last=False)
        fields |= _how(header.status)
        if self._version:
            fields["smb.version"] = self._version
        yield Transaction(time, "smb", fields)


def _how(status: int) -> Fields:
    return {
        "smb.status": _STATUSES.get(status, f"0x{status:08x}"),
        "event.outcome": "success" if status >> 30 != 3 else "failure",
    }


def _place(offset: int) -> int:
    """Return where in the body something is whose place counts from the header."""
    return max(0, offset - _HEAD_SIZE)


def _text(body: bytes, at: int, length: int) -> str:
    return body[at : at + min(length, 1_000)].decode("utf-16-le", "replace")


def _log_in(token: bytes) -> Fields:
    """Read who logs in, where NTLM says it; Kerberos does not say it here."""
    if not token:
        return {}
    return {"smb.authentication": "ntlm" if b"NTLMSSP\0" in token else "kerberos", **log_in_of(token)}


_COMMANDS = {_SESSION: "SESSION_SETUP", _TREE: "TREE_CONNECT", _CREATE: "CREATE"}

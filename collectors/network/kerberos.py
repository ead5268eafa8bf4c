"""Kerberos (RFC 4120) over UDP and TCP enters, one transaction each request with its answer leaves."""

from collections.abc import Iterator

from collectors.network.reading import Fields, Framed, Transaction, text

PORT = 88
_REQUESTS, _ANSWERS, _ERROR = {10: "AS", 12: "TGS"}, {11: "AS", 13: "TGS"}, 30
_ERRORS = {
    6: "KDC_ERR_C_PRINCIPAL_UNKNOWN", 7: "KDC_ERR_S_PRINCIPAL_UNKNOWN", 12: "KDC_ERR_POLICY",
    14: "KDC_ERR_ETYPE_NOSUPP", 18: "KDC_ERR_CLIENT_REVOKED", 23: "KDC_ERR_KEY_EXPIRED",
    24: "KDC_ERR_PREAUTH_FAILED", 25: "KDC_ERR_PREAUTH_REQUIRED", 32: "KRB_AP_ERR_TKT_EXPIRED", 37: "KRB_AP_ERR_SKEW",
}  # fmt: skip
_CIPHERS = {
    1: "des-cbc-crc", 3: "des-cbc-md5", 17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96", 23: "rc4-hmac",
}  # fmt: skip
#: Types of pre-authentication that show that who asks knows a secret: the ticket that a request for another one has
#: with it, a time stamp (RFC 4120, 7.5.2), a certificate (RFC 4556), FAST (RFC 6113).
_PROOFS = frozenset((1, 2, 16, 136, 138))
#: Bytes of a message, and values within each other and in one message that are read.
MAX_MESSAGE, MAX_DEPTH, MAX_VALUES = 65_536, 12, 400
Path = tuple[int, ...]


class KerberosReader:
    """One flow of Kerberos."""

    def __init__(self, framed: bool = False) -> None:
        """`framed`: each message has its length in front of it, as over TCP."""
        self.done = False
        self.ordered = framed
        self._framed = Framed(4)
        self._asked: tuple[int, Fields] | None = None

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the messages in `data`."""
        if not self.ordered:
            yield from self._message(data, time)
            return
        for message in self._framed.messages(from_source, data, MAX_MESSAGE):
            yield from self._message(message, time)

    def end(self) -> Iterator[Transaction]:
        """Yield the request without an answer."""
        if self._asked is not None:
            yield Transaction(self._asked[0], "kerberos", self._asked[1])
        self._asked = None

    def _message(self, message: bytes, time: int) -> Iterator[Transaction]:
        kind = message[0] & 0x1F if message and message[0] & 0xE0 == 0x60 else 0
        values = dict(_values(message))
        if kind in _REQUESTS:
            yield from self.end()
            self._asked = time, {"network.protocol": "kerberos", "kerberos.request": _REQUESTS[kind], **_asked(values)}
        elif kind in _ANSWERS or kind == _ERROR:
            asked, fields = self._asked or (time, {"network.protocol": "kerberos"})
            self._asked = None
            yield Transaction(asked, "kerberos", {**fields, **_answered(values, kind == _ERROR)})


def _asked(values: dict[Path, bytes]) -> Fields:
    """Of KDC-REQ (5.4.1): padata [3] with types [1]; req-body [4], in it cname [1], realm [2], sname [3], etype [8]."""
    proofs = {int.from_bytes(value, "big") for path, value in values.items() if path[:2] == (3, 1)}
    ciphers = [value for path, value in values.items() if path[:2] == (4, 8)]
    client, realm = _name(values, (4, 1)), text(values.get((4, 2, 0), b""), 255)
    fields: Fields = {
        "kerberos.client": client, "kerberos.service": _name(values, (4, 3)), "kerberos.realm": realm,
        "user.name": client, "user.domain": realm if client else "",
        "kerberos.ciphers": [_cipher(each) for each in ciphers[:20]],
    }  # fmt: skip
    known = {name: value for name, value in fields.items() if value}
    return {**known, "kerberos.preauthentication": not proofs.isdisjoint(_PROOFS)}


def _answered(values: dict[Path, bytes], failed: bool) -> Fields:
    """Of KRB-ERROR (5.9.1): error-code [6]; of KDC-REP (5.4.2): ticket [5] with its enc-part [3] and etype [0]."""
    if failed:
        code = int.from_bytes(values.get((6, 0), b"\0"), "big")
        return {"kerberos.error": _ERRORS.get(code, str(code)), "event.outcome": "failure"}
    fields: Fields = {"event.outcome": "success"}
    if cipher := values.get((5, 3, 0, 0)):
        fields["kerberos.cipher"] = _cipher(cipher)
    if client := _name(values, (4,)):
        fields["kerberos.client"] = client
    return fields


def _cipher(raw: bytes) -> str:
    number = int.from_bytes(raw, "big", signed=True)
    return _CIPHERS.get(number, str(number))


def _name(values: dict[Path, bytes], place: Path) -> str:
    """Return a PrincipalName (5.2.2): its name-string is [1], a sequence of texts."""
    parts = [text(value, 255) for path, value in values.items() if path[: len(place) + 1] == (*place, 1)]
    return "/".join(parts)


def _values(message: bytes) -> Iterator[tuple[Path, bytes]]:
    """Yield the primitive values of a DER message with the numbers of the context tags that lead to them.

    Behind these stands the value's number within its innermost tag.
    """
    counts: dict[Path, int] = {}
    waiting: list[tuple[int, int, Path, int]] = [(0, len(message), (), 0)]
    for _ in range(MAX_VALUES):
        if not waiting:
            return
        at, end, path, depth = waiting.pop()
        if at + 2 > end:
            continue
        tag, length, begin = message[at], message[at + 1], at + 2
        if length & 0x80:
            begin += length & 0x7F
            length = int.from_bytes(message[at + 2 : begin], "big") if length & 0x7F <= 4 else end
        stop = min(end, begin + length)
        waiting.append((stop, end, path, depth))
        inner = (*path, tag & 0x1F) if tag & 0xE0 == 0xA0 else path
        if tag & 0x20 and depth < MAX_DEPTH and tag & 0x1F != 0x1F:
            waiting.append((begin, stop, inner, depth + 1))
        else:
            number = counts.get(inner, 0)
            counts[inner] = number + 1
            yield (*inner, number), message[begin:stop]

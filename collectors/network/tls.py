"""The beginning of TLS (RFC 5246, 8446) enters, one transaction leaves: names, versions, certificate, JA3 and JA4.

JA3 and JA3S: https://github.com/salesforce/ja3. JA4: https://github.com/FoxIO-LLC/ja4 (technical_details/JA4.md); only
JA4 itself is used, which is under the BSD licence.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct, error

from cryptography import x509

from collectors.network.reading import Fields, Transaction, text

_HANDSHAKE, _ALERT, _DATA, _CHANGE = 22, 21, 23, 20
_HELLO, _SERVER_HELLO, _CERTIFICATE, _DONE = 1, 2, 11, 14
_RECORD, _TWO = Struct("!BHH").unpack_from, Struct("!H").unpack_from
#: Bytes of a side's handshake that are read; long chains of certificates have about 10 KB.
MAX_HANDSHAKE = 32_768
_NAME, _GROUPS, _FORMATS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43
_VERSION_NAMES = {0x0304: "1.3", 0x0303: "1.2", 0x0302: "1.1", 0x0301: "1.0", 0x0300: "ssl3", 0x0002: "ssl2"}
_JA4_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak TLS."""
    return data[:2] == b"\x16\x03" and len(data) > 5 and data[5] in (_HELLO, _SERVER_HELLO)


@dataclass(slots=True)
class Hello:
    """What a client or server says first."""

    version: int
    ciphers: list[int]
    extensions: list[int] = field(default_factory=list)
    name: str = ""
    protocols: list[bytes] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    formats: list[int] = field(default_factory=list)
    signatures: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


class TlsReader:
    """One connection of TLS."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._time = 0
        self._records = {True: bytearray(), False: bytearray()}
        self._messages = {True: bytearray(), False: bytearray()}
        self._fields: Fields = {"network.protocol": "tls"}

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the records of a side, until the handshake has said what it says in the clear."""
        self._time = self._time or time
        records, messages = self._records[from_source], self._messages[from_source]
        records += data
        while not self.done and len(records) >= 5:
            kind, _, length = _RECORD(records)
            if len(records) < 5 + length:
                break
            if kind == _HANDSHAKE:
                messages += records[5 : 5 + length]
                self._read(messages)
            elif kind in (_DATA, _CHANGE) and "tls.version" in self._fields:
                self._fields["tls.established"] = self.done = True
            elif kind == _ALERT or kind not in (_HANDSHAKE, _CHANGE, _DATA):
                self.done = True
            del records[: 5 + length]
        if len(records) > MAX_HANDSHAKE or len(messages) > MAX_HANDSHAKE:
            self.done = True
        if self.done:
            yield from self._told()

    def end(self) -> Iterator[Transaction]:
        """Yield what was read of a connection that ended early."""
        if not self.done:
            self.done = True
            yield from self._told()

    def _told(self) -> Iterator[Transaction]:
        if len(self._fields) > 1:
            self._fields.setdefault("tls.established", False)
            yield Transaction(self._time, "tls", self._fields)

    def _read(self, messages: bytearray) -> None:
        """Read the handshake messages that are complete."""
        while len(messages) >= 4:
            length = int.from_bytes(messages[1:4], "big")
            if len(messages) < 4 + length:
                return
            kind, body = messages[0], bytes(messages[4 : 4 + length])
            del messages[: 4 + length]
            try:
                self._message(kind, body)
            except (error, IndexError):
                self._fields["error.message"] = "a TLS handshake message that contradicts itself"
                self.done = True

    def _message(self, kind: int, body: bytes) -> None:
        if kind == _HELLO:
            hello = read_hello(body, client=True)
            self._fields["tls.client.ja3"], self._fields["tls.client.ja4"] = ja3(hello), ja4(hello)
            if hello.name:
                self._fields["tls.client.server_name"] = hello.name
            if hello.protocols:
                self._fields["tls.client.protocols"] = [text(each, 100) for each in hello.protocols[:20]]
        elif kind == _SERVER_HELLO:
            hello = read_hello(body, client=False)
            version = hello.versions[0] if hello.versions else hello.version
            self._fields["tls.version"] = _VERSION_NAMES.get(version, f"0x{version:04x}")
            self._fields["tls.cipher"] = f"0x{hello.ciphers[0]:04x}"
            self._fields["tls.server.ja3s"] = ja3s(hello)
            if hello.protocols:
                self._fields["tls.next_protocol"] = text(hello.protocols[0], 100)
        elif kind == _CERTIFICATE and "tls.server.hash.sha256" not in self._fields and len(body) > 6:
            length = int.from_bytes(body[3:6], "big")
            self._fields.update(_of_certificate(body[6 : 6 + length]))
        elif kind == _DONE:
            self._fields.setdefault("tls.resumed", False)


def read_hello(body: bytes, client: bool) -> Hello:
    """Read a ClientHello or ServerHello.

    Raises:
        struct.error, IndexError: it is cut off.
    """
    (version,) = _TWO(body)
    at = 34 + 1 + body[34]
    if client:
        (length,) = _TWO(body, at)
        hello = Hello(version, _numbers(body[at + 2 : at + 2 + length]))
        at += 2 + length
        at += 1 + body[at]
    else:
        hello = Hello(version, [_TWO(body, at)[0]])
        at += 3
    if at + 2 > len(body):
        return hello
    end = min(len(body), at + 2 + _TWO(body, at)[0])
    at += 2
    while at + 4 <= end:
        kind, length = _TWO(body, at)[0], _TWO(body, at + 2)[0]
        hello.extensions.append(kind)
        _extension(hello, kind, body[at + 4 : min(end, at + 4 + length)], client)
        at += 4 + length
    return hello


def _extension(hello: Hello, kind: int, value: bytes, client: bool) -> None:
    if kind == _NAME and len(value) > 5:
        hello.name = text(value[5 : 5 + _TWO(value, 3)[0]], 255).lower().rstrip(".")
    elif kind == _GROUPS:
        hello.groups = _numbers(value[2:])
    elif kind == _FORMATS:
        hello.formats = list(value[1:])
    elif kind == _SIGNATURES:
        hello.signatures = _numbers(value[2:])
    elif kind == _VERSIONS:
        hello.versions = _numbers(value[1:] if client else value)
    elif kind == _ALPN:
        at = 2
        while at < len(value):
            hello.protocols.append(value[at + 1 : at + 1 + value[at]])
            at += 1 + value[at]


def ja3(hello: Hello) -> str:
    """Return the JA3 fingerprint of a client: MD5 of what it offers, in its order."""
    parts = (hello.ciphers, hello.extensions, hello.groups, hello.formats)
    return _md5(",".join([str(hello.version), *("-".join(map(str, _real(part))) for part in parts)]))


def ja3s(hello: Hello) -> str:
    """Return the JA3S fingerprint of a server."""
    extensions = "-".join(map(str, _real(hello.extensions)))
    return _md5(f"{hello.version},{hello.ciphers[0]},{extensions}")


def ja4(hello: Hello, transport: str = "t") -> str:
    """Return the JA4 fingerprint of a client; `transport` is `q` for QUIC."""
    ciphers, extensions = _real(hello.ciphers), _real(hello.extensions)
    version = max(_real(hello.versions), default=hello.version)
    first = (
        f"{transport}{_JA4_VERSIONS.get(version, '00')}{'d' if _NAME in hello.extensions else 'i'}"
        f"{min(len(ciphers), 99):02}{min(len(extensions), 99):02}{_ends(hello.protocols)}"
    )
    offered = ",".join(sorted(f"{each:04x}" for each in ciphers))
    known = ",".join(sorted(f"{each:04x}" for each in extensions if each not in (_NAME, _ALPN)))
    signatures = ",".join(f"{each:04x}" for each in _real(hello.signatures))
    return f"{first}_{_short(offered)}_{_short(f'{known}_{signatures}' if signatures else known)}"


def _ends(protocols: Sequence[bytes]) -> str:
    """Return the first and last sign of the first protocol; of one that is no ASCII text, those of its hexadecimal."""
    if not protocols or not protocols[0]:
        return "00"
    first, last = protocols[0][:1], protocols[0][-1:]
    if first.isalnum() and last.isalnum():
        return (first + last).decode("ascii")
    return first.hex()[0] + last.hex()[-1]


def _short(listed: str) -> str:
    return hashlib.sha256(listed.encode()).hexdigest()[:12] if listed else "000000000000"


def _md5(offered: str) -> str:
    return hashlib.md5(offered.encode(), usedforsecurity=False).hexdigest()


def _real(values: Sequence[int]) -> list[int]:
    """Leave out GREASE (RFC 8701), which means nothing."""
    return [value for value in values if value & 0x0F0F != 0x0A0A or value >> 8 != value & 0xFF]


def _numbers(raw: bytes) -> list[int]:
    return [_TWO(raw, at)[0] for at in range(0, len(raw) - 1, 2)]


def _of_certificate(encoded: bytes) -> Fields:
    fields: Fields = {
        "tls.server.hash.sha1": hashlib.sha1(encoded, usedforsecurity=False).hexdigest(),
        "tls.server.hash.sha256": hashlib.sha256(encoded).hexdigest(),
    }
    try:
        found = x509.load_der_x509_certificate(encoded)
        fields["tls.server.subject"] = found.subject.rfc4514_string()[:1000]
        fields["tls.server.issuer"] = found.issuer.rfc4514_string()[:1000]
        fields["tls.server.not_before"] = found.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        fields["tls.server.not_after"] = found.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    except Exception as fault:  # what a foreign certificate does to the library costs its names alone
        fields["error.message"] = f"a certificate that cannot be read: {type(fault).__name__}"[:200]
    return fields

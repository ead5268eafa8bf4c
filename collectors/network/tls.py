"""The beginning of TLS (RFC 5246, 8446) enters, one transaction leaves: names, versions, certificate, JA3 and JA4.

JA3 and JA3S: https://github.com/salesforce/ja3. JA4: https://github.com/FoxIO-LLC/ja4 (technical_details/JA4.md); only
JA4 itself is used, which is under the BSD licence.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, error, unpack
from typing import Any, TypeVar

from cryptography import x509

from collectors.network.reading import Fields, Transaction, text

T = TypeVar("T")
_HANDSHAKE, _ALERT, _DATA, _CHANGE = 22, 21, 23, 20
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, _DONE = 1, 2, 11, 14
_RECORD, _PAIR, _TWO = (Struct(form).unpack_from for form in ("!BHH", "!HH", "!H"))
#: Bytes of a side's handshake that are read; long chains of certificates have about 10 KB.
MAX_HANDSHAKE = 32_768
#: Offers that are remembered with their fingerprints: a network has few kinds of programs. Longer ones are not: those
#: of programs have up to a hundred numbers.
_REMEMBERED, _USUAL = 4_096, 250
_NAME, _GROUPS, _FORMATS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43
_READ = frozenset((_NAME, _GROUPS, _FORMATS, _SIGNATURES, _ALPN, _VERSIONS))
_VERSION_NAMES = {0x0304: "1.3", 0x0303: "1.2", 0x0302: "1.1", 0x0301: "1.0", 0x0300: "SSLv3", 0x0002: "SSLv2"}
_JA4_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak TLS."""
    return data[:2] == b"\x16\x03" and len(data) > 5 and data[5] in (CLIENT_HELLO, SERVER_HELLO)


@dataclass(slots=True)
class Hello:
    """What a client or server says first."""

    version: int
    ciphers: Sequence[int]
    extensions: Sequence[int] = ()
    name: str = ""
    protocols: Sequence[bytes] = ()
    groups: Sequence[int] = ()
    formats: Sequence[int] = ()
    signatures: Sequence[int] = ()
    versions: Sequence[int] = ()


class Handshake:
    """Cuts what both sides send in order into the messages of the handshake, for as long as it is in the clear."""

    __slots__ = ("_answered", "_messages", "_records", "done", "established")

    def __init__(self) -> None:
        #: Nothing more is to be learned; and whether that is because all else is encrypted.
        self.done = self.established = False
        self._answered = False
        #: Of each side, what there is of a record and of a message that are not complete yet.
        self._records, self._messages = [b"", b""], [b"", b""]

    def take(self, from_source: bool, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the kind and the body of each message that is complete."""
        if rest := self._records[from_source]:
            data = rest + data
        at, size = 0, len(data)
        while not self.done and at + 5 <= size:
            kind, _, length = _RECORD(data, at)
            end = at + 5 + length
            if end > size:
                break
            if kind == _HANDSHAKE:
                yield from self._complete(from_source, data[at + 5 : end])
            elif kind in (_DATA, _CHANGE) and self._answered:
                self.established = self.done = True
            elif kind == _ALERT or kind not in (_HANDSHAKE, _CHANGE, _DATA):
                self.done = True
            at = end
        self._records[from_source] = data[at:]
        if size - at > MAX_HANDSHAKE or len(self._messages[from_source]) > MAX_HANDSHAKE:
            self.done = True

    def _complete(self, from_source: bool, data: bytes) -> Iterator[tuple[int, bytes]]:
        if rest := self._messages[from_source]:
            data = rest + data
        at, size = 0, len(data)
        while at + 4 <= size:
            end = at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
            if end > size:
                break
            kind = data[at]
            self._answered = self._answered or kind == SERVER_HELLO
            yield kind, data[at + 4 : end]
            at = end
        self._messages[from_source] = data[at:]


class TlsReader:
    """One connection of TLS."""

    __slots__ = ("_fields", "_handshake", "_time", "done")
    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._time = 0
        self._handshake = Handshake()
        self._fields: Fields = {"network.protocol": "tls"}

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the records of a side, until the handshake has said what it says in the clear."""
        self._time = self._time or time
        for kind, body in self._handshake.take(from_source, data):
            try:
                self._message(kind, body)
            except (error, IndexError):
                self._fields["error.message"] = "a TLS handshake message that contradicts itself"
                self._handshake.done = True
        if self._handshake.established and "tls.version" in self._fields:
            self._fields["tls.established"] = True
        self.done = self._handshake.done
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

    def _message(self, kind: int, body: bytes) -> None:
        if kind == CLIENT_HELLO:
            hello = read_hello(body, client=True)
            self._fields["tls.client.ja3"], self._fields["tls.client.ja4"] = ja3(hello), ja4(hello)
            if hello.name:
                self._fields["tls.client.server_name"] = hello.name
            if hello.protocols:
                self._fields["tls.client.protocols"] = [text(each, 100) for each in hello.protocols[:20]]
        elif kind == SERVER_HELLO:
            hello = read_hello(body, client=False)
            version = hello.versions[0] if hello.versions else hello.version
            self._fields["tls.version"] = _VERSION_NAMES.get(version, f"0x{version:04x}")
            self._fields["tls.cipher"] = f"0x{hello.ciphers[0]:04x}"
            self._fields["tls.server.ja3s"] = ja3s(hello)
            if hello.protocols:
                self._fields["tls.next_protocol"] = text(hello.protocols[0], 100)
        elif kind == CERTIFICATE and "tls.server.hash.sha256" not in self._fields and len(body) > 6:
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
        hello = Hello(version, _TWO(body, at))
        at += 3
    if at + 2 > len(body):
        return hello
    end = min(len(body), at + 2 + _TWO(body, at)[0])
    at += 2
    kinds: list[int] = []
    while at + 4 <= end:
        kind, length = _PAIR(body, at)
        at += 4
        kinds.append(kind)
        if kind in _READ:
            _extension(hello, kind, body[at : min(end, at + length)], client)
        at += length
    hello.extensions = tuple(kinds)
    return hello


def _extension(hello: Hello, kind: int, value: bytes, client: bool) -> None:
    if kind == _NAME and len(value) > 5:
        hello.name = text(value[5 : 5 + _TWO(value, 3)[0]], 255).lower().rstrip(".")
    elif kind == _GROUPS:
        hello.groups = _numbers(value[2:])
    elif kind == _FORMATS:
        hello.formats = value[1:]
    elif kind == _SIGNATURES:
        hello.signatures = _numbers(value[2:])
    elif kind == _VERSIONS:
        hello.versions = _numbers(value[1:] if client else value)
    elif kind == _ALPN:
        at, protocols = 2, []
        while at < len(value):
            protocols.append(value[at + 1 : at + 1 + value[at]])
            at += 1 + value[at]
        hello.protocols = tuple(protocols)


def ja3(hello: Hello) -> str:
    """Return the JA3 fingerprint of a client: MD5 of what it offers, in its order."""
    return _md5(hello.version, tuple(hello.ciphers), tuple(hello.extensions), tuple(hello.groups), tuple(hello.formats))


def ja3_text(hello: Hello) -> str:
    """Return what the JA3 fingerprint of a client is made of."""
    return _listed(hello.version, (hello.ciphers, hello.extensions, hello.groups, hello.formats))


def ja3s(hello: Hello) -> str:
    """Return the JA3S fingerprint of a server."""
    return _md5(hello.version, (hello.ciphers[0],), tuple(hello.extensions))


def ja4(hello: Hello, transport: str = "t") -> str:
    """Return the JA4 fingerprint of a client; `transport` is `q` for QUIC."""
    begin, end = _ja4(
        hello.version, tuple(hello.versions), tuple(hello.ciphers), tuple(hello.extensions), tuple(hello.signatures)
    )
    return f"{transport}{begin}{_ends(hello.protocols)}_{end}"


def _remembered(make: Callable[..., T]) -> Callable[..., T]:
    """Remember what was made of offers of the usual length."""
    known = lru_cache(maxsize=_REMEMBERED)(make)

    def made(*parts: Any) -> T:
        length = sum(len(part) for part in parts if not isinstance(part, int))
        return known(*parts) if length <= _USUAL else make(*parts)

    return made


@_remembered
def _ja4(
    version: int,
    versions: tuple[int, ...],
    ciphers: tuple[int, ...],
    extensions: tuple[int, ...],
    signatures: tuple[int, ...],
) -> tuple[str, str]:
    """Return what stands before the protocol in JA4, behind the transport, and what stands after it."""
    version = max(_real(versions), default=version)
    count, hashed = _offered(ciphers, ())
    more, hashed_extensions = _offered(extensions, signatures, (_NAME, _ALPN))
    named = "d" if _NAME in extensions else "i"
    begin = f"{_JA4_VERSIONS.get(version, '00')}{named}{min(count, 99):02}{min(more, 99):02}"
    return begin, f"{hashed}_{hashed_extensions}"


def _offered(values: tuple[int, ...], after: tuple[int, ...], left_out: tuple[int, ...] = ()) -> tuple[int, str]:
    """Return how many real values there are, and the first signs of the hash of them, sorted, and of what follows."""
    real = _real(values)
    listed = ",".join(sorted(f"{each:04x}" for each in real if each not in left_out))
    if after := _real(after):
        listed += "_" + ",".join(f"{each:04x}" for each in after)
    return len(real), hashlib.sha256(listed.encode()).hexdigest()[:12] if listed else "000000000000"


@_remembered
def _md5(version: int, *parts: Sequence[int]) -> str:
    return hashlib.md5(_listed(version, parts).encode(), usedforsecurity=False).hexdigest()


def _listed(version: int, parts: Iterable[Sequence[int]]) -> str:
    return ",".join([str(version), *("-".join(map(str, _real(part))) for part in parts)])


def _ends(protocols: Sequence[bytes]) -> str:
    """Return the first and last sign of the first protocol; of one that is no ASCII text, those of its hexadecimal."""
    if not protocols or not protocols[0]:
        return "00"
    first, last = protocols[0][:1], protocols[0][-1:]
    if first.isalnum() and last.isalnum():
        return (first + last).decode("ascii")
    return first.hex()[0] + last.hex()[-1]


def _real(values: Sequence[int]) -> tuple[int, ...]:
    """Leave out GREASE (RFC 8701), which means nothing."""
    return tuple(value for value in values if value & 0x0F0F != 0x0A0A or value >> 8 != value & 0xFF)


@_remembered
def _numbers(raw: bytes) -> tuple[int, ...]:
    return unpack(f"!{len(raw) // 2}H", raw[: len(raw) // 2 * 2])


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

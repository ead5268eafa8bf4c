"""Messages of a TLS handshake enter, buffers for rules leave."""

import hashlib
from struct import error

from cryptography import x509
from cryptography.x509.oid import NameOID

from collectors.network import tls
from collectors.network.rules.buffers import CLIENT, SERVER, Message

#: Certificates of a chain.
MAX_CERTIFICATES = 10


def read(kind: int, body: bytes) -> Message | None:
    """Return a message that rules ask for; None for others and for one that contradicts itself."""
    try:
        if kind == tls.CLIENT_HELLO:
            return _client(tls.read_hello(body, client=True))
        if kind == tls.SERVER_HELLO:
            value = tls.ja3s(tls.read_hello(body, client=False)).encode()
            return Message(SERVER, {"ja3s.hash": [value]}, value)
    except (error, IndexError):
        return None
    return _certificates(body) if kind == tls.CERTIFICATE else None


def _client(hello: tls.Hello) -> Message:
    values = {"ja3.hash": tls.ja3(hello), "ja3.string": tls.ja3_text(hello), "ja4.hash": tls.ja4(hello)}
    if hello.name:
        values["tls.sni"] = hello.name
    buffers = {name: [value.encode()] for name, value in values.items()}
    return Message(CLIENT, buffers, b"\0".join(value for (value,) in buffers.values()))


def _certificates(body: bytes) -> Message | None:
    """Read the chain; the names are those of the first, whose owner this is."""
    chain: list[bytes] = []
    at = 3
    while at + 3 <= len(body) and len(chain) < MAX_CERTIFICATES:
        end = at + 3 + int.from_bytes(body[at : at + 3], "big")
        chain.append(body[at + 3 : end])
        at = end
    if not chain:
        return None
    sha1 = hashlib.sha1(chain[0], usedforsecurity=False).hexdigest()
    buffers = {"tls.certs": chain, "tls.cert_fingerprint": [_pairs(sha1).encode()]}
    try:
        found = x509.load_der_x509_certificate(chain[0])
        serial = f"{found.serial_number:X}"
        buffers |= {
            "tls.cert_subject": [_name(found.subject)], "tls.cert_issuer": [_name(found.issuer)],
            "tls.cert_serial": [_pairs(serial.zfill(len(serial) + len(serial) % 2)).encode()],
        }  # fmt: skip
    except Exception:  # noqa: S110 -- a foreign certificate that the library does not take costs its names alone
        pass
    return Message(SERVER, buffers, b"\0".join(value for values in buffers.values() for value in values))


def _name(name: x509.Name) -> bytes:
    """Write a name as Suricata does: in the certificate's order, `C=VN, O=…, CN=…`."""
    parts = (
        f"{'emailAddress' if each.oid == NameOID.EMAIL_ADDRESS else each.rfc4514_attribute_name}={_value(each.value)}"
        for each in name
    )
    return ", ".join(parts).encode("utf-8", "replace")


def _value(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()


def _pairs(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))

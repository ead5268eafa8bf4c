"""Keys that messages are signed with: a profile's `[signing]` enters, something that signs leaves.

A key is an RSA key of a file, or one in a PKCS#11 token (OASIS PKCS #11 v3.1), which never leaves the token.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from pipeline.messages import HaidangError
from pipeline.outward import Stopped, secret_of
from sharing.profile import Signing

_LEAST_BITS = 2048
#: A key of our own: its bits, and how long its certificate is good, in days.
_BITS, _DAYS = 3072, 1095


def make(certificate: Path, key_file: Path, organ: str, identifier: str, days: int = _DAYS) -> None:
    """Make an RSA key and a certificate for it, signed by itself: for whom no authority gives one.

    Raises:
        HaidangError: one of the files is there already.
    """
    for file in (certificate, key_file):
        if file.exists():
            raise HaidangError("sharing.key_is_there", file=file)
    key = rsa.generate_private_key(65537, _BITS)
    name = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organ.encode()[:64].decode("utf-8", "ignore")),
        x509.NameAttribute(NameOID.COMMON_NAME, identifier[:64]),
    ])  # fmt: skip
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    certificate.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened_file:
        opened_file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(made.public_bytes(Encoding.PEM))


class Key(Protocol):
    """Signs; as signxml asks a key to."""

    def sign(self, data: bytes, padding: Any, algorithm: Any) -> bytes:
        """Return the signature (RSASSA-PKCS1-v1_5, RFC 8017 section 8.2, with SHA-256)."""


def certificate_of(signing: Signing) -> x509.Certificate:
    """Return the certificate that goes with the signature.

    Raises:
        HaidangError: it cannot be read, is over, or not begun.
    """
    assert signing.certificate is not None  # a profile that signs has one
    return valid_certificate(signing.certificate)


def valid_certificate(file: Path) -> x509.Certificate:
    """Return the certificate of a PEM file.

    Raises:
        HaidangError: it cannot be read, is over, or not begun.
    """
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise HaidangError("sharing.bad_certificate", file=file, fault=error) from error
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        first, last = certificate.not_valid_before_utc.date(), certificate.not_valid_after_utc.date()
        raise HaidangError("sharing.certificate_over", file=file, first=first, last=last, today=now.date())
    return certificate


@contextmanager
def opened(signing: Signing, certificate: x509.Certificate) -> Iterator[Key]:
    """Give the key of a profile; that of a token while its session lasts.

    Raises:
        HaidangError: it cannot be had, is no RSA key of 2048 bits or more, or belongs to another certificate.
    """
    if signing.pkcs11_module is not None:
        with _of_token(signing, certificate) as token_key:
            yield token_key
        return
    assert signing.key is not None  # a profile that signs has one
    yield _of_file(signing.key, signing.passphrase_file, certificate)


def _of_file(file: Path, passphrase_file: Path | None, certificate: x509.Certificate) -> rsa.RSAPrivateKey:
    try:
        passphrase = secret_of(SecretStr(""), passphrase_file).encode() or None
        key = load_pem_private_key(file.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError, Stopped) as error:
        raise HaidangError("sharing.bad_key", file=file, fault=error) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise HaidangError("sharing.weak_key", file=file, bits=_LEAST_BITS)
    if key.public_key() != certificate.public_key():
        raise HaidangError("sharing.other_key", file=file)
    return key


class _TokenKey:
    def __init__(self, key: Any) -> None:
        self._key = key

    def sign(self, data: bytes, padding: Any, algorithm: Any) -> bytes:
        from pkcs11 import Mechanism

        assert isinstance(padding, PKCS1v15) and isinstance(algorithm, SHA256)
        return bytes(self._key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS))


@contextmanager
def _of_token(signing: Signing, certificate: x509.Certificate) -> Iterator[Key]:
    import pkcs11

    module = signing.pkcs11_module
    place = f"{module} {signing.pkcs11_token} {signing.pkcs11_key}"
    try:
        pin = secret_of(SecretStr(""), signing.pin_file)
        token = pkcs11.lib(str(module)).get_token(token_label=signing.pkcs11_token)
        session = token.open(user_pin=pin)
    except (pkcs11.PKCS11Error, RuntimeError, OSError, Stopped) as error:
        fault = str(error) or type(error).__name__
        raise HaidangError("sharing.bad_token", token=place, fault=fault) from error
    with session:
        try:
            key = session.get_key(label=signing.pkcs11_key, object_class=pkcs11.ObjectClass.PRIVATE_KEY)
            modulus = int.from_bytes(key[pkcs11.Attribute.MODULUS], "big")
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            fault = str(error) or type(error).__name__
            raise HaidangError("sharing.bad_token", token=place, fault=fault) from error
        public = certificate.public_key()
        if modulus.bit_length() < _LEAST_BITS:
            raise HaidangError("sharing.weak_key", file=place, bits=_LEAST_BITS)
        if not isinstance(public, rsa.RSAPublicKey) or public.public_numbers().n != modulus:
            raise HaidangError("sharing.other_key", file=place)
        yield _TokenKey(key)

"""Certificates: settings enter, TLS contexts leave; where they name no certificate, one is made.

Senders trust the listeners' certificate itself, so that one is signed by itself. Browsers trust an authority: the API's
certificate is signed by an authority of the site's own, which lasts, so that it is put into a browser once.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings import Settings

#: How long a certificate of our own is good, in days; it is made anew 30 days before its end.
_DAYS, _RENEW_DAYS = 825, 30
#: The same of the authority, and of what it signs: browsers take no longer ones (CA/Browser Forum BR 6.3.2, of 2020).
_AUTHORITY_DAYS, _API_DAYS = 3650, 397
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


def server_context(settings: Settings) -> ssl.SSLContext:
    """Return the context of all TLS listeners (TLS 1.2 and later, RFC 5425 section 4.2).

    Raises:
        HaidangError: the certificate or key of the settings cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = settings.tls.certificate, settings.tls.key
    try:
        certificate, key = _chosen(settings)
        if certificate is None:
            raise FileNotFoundError("[tls] names a key and no certificate")
        context.load_cert_chain(certificate, key, password="")  # a key with a password is refused, not asked for
    except OSError as error:  # also ssl.SSLError
        raise HaidangError("collectors.bad_certificate", certificate=certificate, key_file=key, fault=error) from error
    return context


def client_context(settings: Settings) -> ssl.SSLContext:
    """Return the context of a client that trusts the listeners' certificate itself, whatever name it has.

    Raises:
        OSError: the certificate cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(_chosen(settings)[0])
    return context


def _chosen(settings: Settings) -> tuple[Path | None, Path | None]:
    """Return the certificate of the settings and its key; where they name neither, our own."""
    if settings.tls.certificate is None and settings.tls.key is None:
        return own_certificate(settings.data_dir / "tls", settings.observer)
    return settings.tls.certificate, settings.tls.key


def own_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Return the paths of a self-signed certificate and its key, made when missing or nearly over."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not _good(certificate, key):
        folder.mkdir(parents=True, exist_ok=True)
        _make(certificate, key, host)
        log("tls").info("certificate_made", path=str(certificate))
    return certificate, key


@dataclass(frozen=True, slots=True)
class Served:
    """What the API is served with; `authority` is the certificate that a browser must trust, where it is our own."""

    certificate: Path
    key: Path
    authority: Path | None = None

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a browser must trust, as browsers show it."""
        found = x509.load_pem_x509_certificate((self.authority or self.certificate).read_bytes())
        return found.fingerprint(hashes.SHA256()).hex(":").upper()


def is_served(settings: Settings) -> bool:
    """Say whether the API speaks TLS: as set, else wherever others than this machine reach it."""
    if settings.api.tls is not None:
        return settings.api.tls
    try:
        return not ip_address(settings.api.host).is_loopback
    except ValueError:
        return settings.api.host != "localhost"


def api_certificate(settings: Settings) -> Served:
    """Return the API's certificate: that of the settings, else our own, made when missing, nearly over, or for another
    name than this machine has now.

    Raises:
        HaidangError: what the settings name cannot be used.
    """
    if settings.tls.certificate is not None or settings.tls.key is not None:
        server_context(settings)  # says what is wrong with it
        assert settings.tls.certificate is not None and settings.tls.key is not None
        return Served(settings.tls.certificate, settings.tls.key)
    folder = settings.data_dir / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    certificate, key = folder / "api.pem", folder / "api.key"
    if not _good(authority, authority_key):
        _make_authority(authority, authority_key, settings.observer)
        log("tls").info("authority_made", path=str(authority))
    names = _names_of(settings)
    if not (_good(certificate, key) and _is_for(certificate, names) and _signed(certificate, authority)):
        _make_signed(certificate, key, names, authority, authority_key)
        log("tls").info("certificate_made", path=str(certificate))
    return Served(certificate, key, authority)


def _names_of(settings: Settings) -> list[x509.GeneralName]:
    """Return the names and addresses under which this machine may be reached."""
    own = socket.gethostname()
    names = {"localhost", own, socket.getfqdn(), settings.observer}
    addresses = {"127.0.0.1", "::1", settings.api.host}
    with suppress(OSError):
        addresses |= {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(own, None)}
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((elsewhere, 9))  # sends nothing; says which of our addresses would
            addresses.add(asked.getsockname()[0])
    made: list[x509.GeneralName] = [x509.DNSName(name) for name in sorted(names) if _HOST_NAME.fullmatch(name)]
    for address in sorted(addresses):
        with suppress(ValueError):
            if not (found := ip_address(address)).is_unspecified:
                made.append(x509.IPAddress(found))
    return made


def _is_for(certificate: Path, names: Iterable[x509.GeneralName]) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return set(names) <= set(held)


def _signed(certificate: Path, authority: Path) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.read_bytes()))
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return True


def _good(certificate: Path, key: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)  # they belong together
        end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return False
    return end - datetime.now(UTC) > timedelta(days=_RENEW_DAYS)


def _make(certificate: Path, key_path: Path, host: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    if _HOST_NAME.fullmatch(host) and host != "localhost":  # an observer may also be called "UBND xã Đông Hà"
        names.append(x509.DNSName(host))
    signed = (
        _begun(_name(host), _name(host), key, _DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(certificate, signed, key_path, key)


def _make_authority(certificate: Path, key_path: Path, host: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Hai Dang {host}")
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    signed = (
        _begun(name, name, key, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(certificate, signed, key_path, key)


def _make_signed(
    certificate: Path, key_path: Path, names: list[x509.GeneralName], authority: Path, authority_key: Path
) -> None:
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    signer = serialization.load_pem_private_key(authority_key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)  # we have made it
    key = ec.generate_private_key(ec.SECP256R1())
    public = issuer.public_key()
    signed = (
        _begun(_name(socket.gethostname()), issuer.subject, key, _API_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)  # type: ignore[arg-type]
        .sign(signer, hashes.SHA256())
    )
    _write(certificate, signed, key_path, key)


def _name(text: str) -> x509.Name:
    short = text.encode()[:64].decode("utf-8", "ignore") or "localhost"  # ub-common-name, RFC 5280 appendix A.1
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)])


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> Any:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _write(certificate: Path, signed: x509.Certificate, key_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

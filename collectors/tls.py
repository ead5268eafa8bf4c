"""The listeners' certificate: settings enter, a TLS context leaves; where they name no certificate, one is made."""

import os
import re
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings import Settings

#: How long a certificate of our own is good, in days; it is made anew 30 days before its end.
_DAYS, _RENEW_DAYS = 825, 30
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


def _good(certificate: Path, key: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)  # they belong together
        end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return False
    return end - datetime.now(UTC) > timedelta(days=_RENEW_DAYS)


def _make(certificate: Path, key_path: Path, host: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    short = host.encode()[:64].decode("utf-8", "ignore") or "localhost"  # ub-common-name, RFC 5280 appendix A.1
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    if _HOST_NAME.fullmatch(host) and host != "localhost":  # an observer may also be called "UBND xã Đông Hà"
        names.append(x509.DNSName(host))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

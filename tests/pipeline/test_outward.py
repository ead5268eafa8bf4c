"""What is said of a receiver that cannot be spoken with: what is wrong, what to do, and what the library said."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.outward import reason
from pipeline.outward.posting import Poster
from pipeline.outward.watchdog import Watchdog
from tests.sharing.conftest import signing_key


@pytest.fixture
def plain() -> Iterator[http.server.HTTPServer]:
    """A web server without TLS, on a free port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(60)


def said(url: str, ca: Path | None = None) -> str:
    watchdog = Watchdog()
    poster = Poster(watchdog, 10, ["0.0.0.0/0", "::/0"], ca)
    try:
        with pytest.raises(OSError) as caught:
            poster.post(url, b"", {})
    finally:
        poster.close()
        watchdog.stop()
    return reason(caught.value)


def _over(file: Path) -> Path:
    """Make a certificate of 127.0.0.1 that ended yesterday, and its key; return its file."""
    key = rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "over")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(key, SHA256())
    )
    file.write_bytes(made.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.with_suffix(".key").write_bytes(pem)
    return file


def test_a_site_without_tls_is_named_as_one(plain: http.server.HTTPServer) -> None:
    text = said(f"https://127.0.0.1:{plain.server_address[1]}/")
    assert "http://" in text and "SSL" in text


def test_a_name_that_nobody_has_is_told(plain: http.server.HTTPServer) -> None:
    assert "DNS" in said("https://nobody.invalid/")


def test_a_certificate_of_a_stranger_another_name_or_time_is_told_apart(
    plain: http.server.HTTPServer, tmp_path: Path
) -> None:
    good, over = signing_key(tmp_path, "receiver"), _over(tmp_path / "over.pem")
    expected = {None: "`ca`", good: "name", over: "ended"}
    for ca, word in expected.items():
        file = ca or good
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, file.with_suffix(".key"))
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def answer(listening: socket.socket = listening, context: ssl.SSLContext = context) -> None:
                connection, _ = listening.accept()
                with connection, pytest.raises(OSError):
                    context.wrap_socket(connection, server_side=True)

            thread = threading.Thread(target=answer)
            thread.start()
            text = said(f"https://127.0.0.1:{listening.getsockname()[1]}/", ca)
            thread.join(60)
        assert word in text and "CERTIFICATE_VERIFY_FAILED" in text, text

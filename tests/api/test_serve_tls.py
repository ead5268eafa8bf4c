"""The API over TLS: with an authority of the site's own that a browser trusts once, or with given certificates."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import select

from pipeline.identity import users
from pipeline.messages import HaidangError
from pipeline.settings import Api, Settings, Tls
from pipeline.state import open_state
from pipeline.state.tables import stages
from pipeline.tls import api_certificate, is_served
from tests.conftest import eventually

_ROOT = Path(__file__).parents[2]
_PASSWORD = "một mật khẩu dài"


@contextmanager
def _running(folder: Path, **more: str) -> Iterator[dict[str, Any]]:
    """Run the API's process over TLS; give what it says of itself."""
    chosen = {"HAIDANG_DATA_DIR": str(folder), "HAIDANG_API__PORT": "0", "HAIDANG_API__TLS": "true", **more}
    engine = open_state(folder)

    def detail() -> dict[str, Any]:
        with engine.connect().execution_options(read_only=True) as connection:
            found: dict[str, Any] = connection.scalar(select(stages.c.detail).where(stages.c.stage == "api")) or {}
        return found if found.get("ready") else {}

    process = subprocess.Popen([sys.executable, "-m", "api"], cwd=_ROOT, env={**os.environ, **chosen})
    try:
        yield eventually(detail, 30)
    finally:
        process.terminate()
        process.wait(60)
        engine.dispose()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_a_browser_that_trusts_the_authority_logs_in_and_no_other_does(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.begin() as connection:
        users.create_user(connection, "an", "viewer", _PASSWORD)
    engine.dispose()
    with _running(tmp_path) as said:
        assert said["address"].startswith("https://127.0.0.1:")
        authority = Path(said["authority"])
        made = x509.load_pem_x509_certificate(authority.read_bytes())
        assert said["fingerprint"] == made.fingerprint(hashes.SHA256()).hex(":").upper()
        trusting = ssl.create_default_context(cafile=str(authority))
        with httpx.Client(base_url=said["address"], verify=trusting, timeout=60) as browser:
            same = {"Origin": said["address"]}
            answer = browser.post("/api/v1/login", json={"name": "an", "password": _PASSWORD}, headers=same)
            assert answer.headers["set-cookie"].startswith("__Host-haidang_session=")
            assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
            assert browser.get("/api/v1/me").json()["name"] == "an"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(said["address"])
        port = int(said["address"].rpartition(":")[2])
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(plain)


def test_given_certificates_are_served(tmp_path: Path) -> None:
    authority = trustme.CA()
    given = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "given.pem", tmp_path / "given.key"
    certificate.write_bytes(b"".join(pem.bytes() for pem in given.cert_chain_pems))
    key.write_bytes(given.private_key_pem.bytes())
    with _running(tmp_path / "site", HAIDANG_TLS__CERTIFICATE=str(certificate), HAIDANG_TLS__KEY=str(key)) as said:
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        assert httpx.get(f"{said['address']}/api/v1/me", verify=trusting, timeout=60).status_code == 401
    assert not (tmp_path / "site" / "tls").exists()


def test_the_authority_lasts_and_its_certificate_follows_the_machine(tmp_path: Path) -> None:
    first = api_certificate(Settings(data_dir=tmp_path))
    assert first.authority is not None
    kept = [path.read_bytes() for path in (first.authority, first.certificate)]
    again = api_certificate(Settings(data_dir=tmp_path))
    assert [path.read_bytes() for path in (first.authority, again.certificate)] == kept
    other = api_certificate(Settings(data_dir=tmp_path, api=Api(host="192.0.2.77")))
    assert first.authority.read_bytes() == kept[0]
    assert other.certificate.read_bytes() != kept[1]
    names = x509.load_pem_x509_certificate(other.certificate.read_bytes()).extensions
    held = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.0.2.77" in [str(each) for each in held.get_values_for_type(x509.IPAddress)]
    for file in (first.key, tmp_path / "tls" / "authority.key"):
        assert file.stat().st_mode & 0o077 == 0
    first.authority.unlink()
    assert api_certificate(Settings(data_dir=tmp_path)).authority == first.authority  # and all signed by the new one
    assert first.authority.read_bytes() != kept[0]


@pytest.mark.parametrize(
    ("host", "tls", "served"),
    [
        ("127.0.0.1", None, False), ("::1", None, False), ("localhost", None, False), ("0.0.0.0", None, True),
        ("10.0.0.5", None, True), ("siem.example.vn", None, True), ("127.0.0.1", True, True), ("0.0.0.0", False, False),
    ],
)  # fmt: skip
def test_whoever_others_reach_speaks_tls_unless_told_otherwise(
    tmp_path: Path, host: str, tls: bool | None, served: bool
) -> None:
    assert is_served(Settings(data_dir=tmp_path, api=Api(host=host, tls=tls))) is served


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nonsense")
    for tls in (Tls(certificate=tmp_path / "bad.pem", key=tmp_path / "bad.pem"), Tls(key=tmp_path / "bad.pem")):
        with pytest.raises(HaidangError, match="cannot be used"):
            api_certificate(Settings(data_dir=tmp_path, tls=tls))

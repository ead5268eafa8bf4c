"""A real Keycloak for the tests: a folder to make enters, an identity provider on a free port of loopback leaves."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.conftest import need

CACHE = Path(__file__).parents[2] / ".cache" / "keycloak"
VERSION = "26.7.3"
ARCHIVE = CACHE / f"keycloak-quarkus-dist-{VERSION}.zip"
_ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
REALM, CLIENT, SECRET = "haidang", "haidang", "bi-mat-cua-site"
#: Users, their passwords and their groups.
USERS = {
    "an": ("mat-khau-an", ["siem-analysts"]),
    "binh": ("mat-khau-binh", []),
    "chau": ("mat-khau-chau", ["siem-admins"]),
}
_START_SECONDS = 240.0


def fetch() -> None:
    """Bring the distribution into the cache."""
    if ARCHIVE.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    goal = ["dependency:copy", f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={CACHE}", "-Dmdep.useBaseVersion=true"]
    subprocess.run(["mvn", "-q", "-B", *goal], cwd=CACHE, check=True, stdout=subprocess.DEVNULL)


class Keycloak:
    """An identity provider of this test run, with one realm."""

    def __init__(self, folder: Path) -> None:
        need(ARCHIVE.exists() and shutil.which("java") is not None, "Keycloak (python -m tests.needs brings it)")
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(folder)
        self._home = next(folder.glob("keycloak-*"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{self.port}/realms/{REALM}"
        imported = self._home / "data" / "import"
        imported.mkdir(parents=True)
        (imported / "realm.json").write_bytes(orjson.dumps(_realm()))
        self._console = folder / "console"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = ["--http-host", "127.0.0.1", "--http-port", str(self.port), "--import-realm"]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                ["sh", str(self._home / "bin" / "kc.sh"), "start-dev", *where],
                env={**os.environ, "JAVA_OPTS_APPEND": "-Xmx512m"}, stdout=console, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                said = self._console.read_text("utf-8", "replace")[-2000:]
                assert self._process.poll() is None and time.monotonic() < deadline, said
                time.sleep(0.3)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _realm() -> dict[str, Any]:
    groups = sorted({group for _, held in USERS.values() for group in held})
    mapper = {
        "name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
        "config": {"claim.name": "groups", "full.path": "false", "id.token.claim": "true"},
    }  # fmt: skip
    return {
        "realm": REALM, "enabled": True, "sslRequired": "none", "groups": [{"name": group} for group in groups],
        "clients": [{
            "clientId": CLIENT, "enabled": True, "protocol": "openid-connect", "publicClient": False, "secret": SECRET,
            "redirectUris": ["http://127.0.0.1:*"], "attributes": {"pkce.code.challenge.method": "S256"},
            "protocolMappers": [mapper],
        }],
        "users": [{
            "username": name, "enabled": True, "email": f"{name}@example.vn", "emailVerified": True,
            "firstName": name, "lastName": name, "groups": held,
            "credentials": [{"type": "password", "value": password, "temporary": False}],
        } for name, (password, held) in USERS.items()],
    }  # fmt: skip


@contextmanager
def running(folder: Path) -> Iterator[Keycloak]:
    """Start one, and stop it in the end."""
    folder.mkdir()
    server = Keycloak(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()

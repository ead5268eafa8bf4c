"""An authority and a site that shares with it: keys, a profile, the simulator behind TLS, alerts of the queue."""

import json
import threading
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine

from pipeline.bus.sqlite import SqliteBus
from pipeline.event import Event, event_id, format_time
from pipeline.outward.watchdog import Watchdog
from pipeline.settings import Settings
from pipeline.settings import State as StateSettings
from pipeline.stage import Stage
from pipeline.state import open_state
from response import queue
from sharing import book
from sharing.profile import Named, load, shipped
from sharing.share import share
from sharing.simulator import Simulator
from tests.services.postgres import Postgres

SERVER = "186.169.47.11"


def signing_key(folder: Path, name: str = "signing", days: tuple[float, float] = (-1, 365), bits: int = 2048) -> Path:
    """Make an RSA key and its certificate, good from and until so many days from now; return the certificate's file."""
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(name, bits)
    subject = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"), x509.NameAttribute(NameOID.COMMON_NAME, f"UBND xã {name}"),
    ])  # fmt: skip
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.key").write_bytes(pem)
    file = folder / f"{name}.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return file


def c2_alert(number: int, host: str = "", **fields: Any) -> Event:
    """An alert that a machine spoke with a server of attackers; each number is another machine."""
    now = format_time(datetime.now(UTC))
    return {
        "@timestamp": now, "event.id": event_id("alert", number), "event.kind": "alert", "rule.id": "indicator.c2",
        "rule.name": "C2 server", "rule.level": "high", "tags": ["attack.command-and-control"],
        "source.ip": f"10.0.{number // 200}.{number % 200 + 10}", "destination.ip": SERVER,
        "host.name": host or f"PC-{number}", "threat.software.name": "AsyncRAT", "alert.count": 1,
        "alert.direction": "contact", "organization.id": "G10.22",
        "alert.evidence": [{
            "process.executable": "C:\\Users\\Nguyễn Văn A\\AppData\\svchost.exe", "process.hash.md5": "AB" * 16,
            "process.hash.sha256": "cd" * 32,
        }], **fields,
    }  # fmt: skip


@cache
def _key(name: str, bits: int) -> rsa.RSAPrivateKey:
    """Keys take long to make: those of one name are the same in all tests."""
    return rsa.generate_private_key(65537, bits)


class Party:
    """A site that shares with a simulated authority; `run` works in a thread until `stop`."""

    def __init__(self, folder: Path, engine: Engine, simulator: Simulator) -> None:
        told = {"observer": "may-thu", "language": "en", "sources": [], "data_dir": folder}
        self.settings = Settings.model_validate(told)
        self.folder, self.engine, self.simulator = folder / "sharing", engine, simulator
        self.url = f"https://127.0.0.1:{simulator.server_address[1]}/"
        self.stage = Stage("sharing", self.settings, engine, SqliteBus(folder / "bus", 10**9))
        self.watchdog = Watchdog()
        self._thread: threading.Thread | None = None

    def profile(self, name: str = "bo", template: str = "cv2290", **changes: Any) -> Named:
        """Write a profile with a key that the authority knows; `changes` are `section__name=value`."""
        certificate = self.folder / f"{name}-signing.pem"
        if not certificate.exists():
            signing_key(self.folder, f"{name}-signing")
        (self.simulator.folder / "registered" / f"{name}.pem").write_bytes(certificate.read_bytes())
        told = {
            "organ__id": "G10.22", "organ__name": "Sở Nội vụ", "endpoint__url": self.url,
            "endpoint__ca": str(self.simulator.certificate), "endpoint__allow_private": ["127.0.0.0/8"],
            "endpoint__timeout_seconds": 2, "signing__certificate": f"{name}-signing.pem",
            "signing__key": f"{name}-signing.key", "schedule__every_minutes": 0.1, **changes,
        }  # fmt: skip
        file = self.folder / f"{name}.toml"
        file.write_text(edited(shipped()[template].read_text("utf-8"), told), "utf-8")
        return load(file)

    def confirm(self, named: Named) -> Named:
        """Let its messages really leave."""
        book.confirm(self.engine, named, "an", "test")
        return named

    def raise_alerts(self, *raised: Event) -> None:
        """Put alerts into the queue, as the response stage does."""
        with self.engine.begin() as connection:
            queue.save(connection, [queue.row(each, "syslog") for each in raised])

    def run(self) -> None:
        """Start to share."""
        self.stage.stopping.clear()
        self._thread = threading.Thread(target=share, args=(self.stage,))
        self._thread.start()

    def stop(self) -> None:
        """Share no more."""
        self.stage.stopping.set()
        if self._thread is not None:
            self._thread.join(60)
            self._thread = None

    def close(self) -> None:
        """End it."""
        self.stop()
        self.watchdog.stop()
        self.stage.bus.close()
        self.engine.dispose()

    def messages(self, **fits: Any) -> list[dict[str, Any]]:
        """What became of messages, the first one first."""
        found: list[dict[str, Any]] = book.listed(self.engine, limit=100_000, **fits)["messages"]
        return found[::-1]


def edited(text: str, changes: dict[str, Any]) -> str:
    """Return a profile's text with values set (`section__name`); None takes one out."""
    told = tomllib.loads(text)
    for place, value in changes.items():
        section, _, name = place.rpartition("__")
        table = told.setdefault(section, {}) if section else told
        table[name] = value
    lines = [f"{n} = {json.dumps(each)}" for n, each in told.items() if not isinstance(each, dict) and each is not None]
    for section, table in told.items():
        if isinstance(table, dict):
            lines += [f"[{section}]", *(f"{n} = {json.dumps(v)}" for n, v in table.items() if v is not None)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def simulator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Simulator]:
    """The authority, on a free port; with the parameter "client" it asks for the certificate `client.pem`."""
    signing_key(tmp_path / "authority", "warning")  # else it makes one of its own each time
    client = signing_key(tmp_path / "authority", "client") if getattr(request, "param", "") == "client" else None
    made = Simulator("127.0.0.1", 0, tmp_path / "authority", [], client)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    made.book.close()
    thread.join(60)


@pytest.fixture
def party(tmp_path: Path, simulator: Simulator) -> Iterator[Party]:
    """A site on SQLite."""
    yield from _party(tmp_path / "site", StateSettings(), simulator)


@pytest.fixture(params=["sqlite", "postgresql"])
def parties(request: pytest.FixtureRequest, tmp_path: Path, simulator: Simulator) -> Iterator[Party]:
    """A site on each kind of state."""
    settings = StateSettings()
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        settings = StateSettings.model_validate({"url": postgres.new_database()})
    yield from _party(tmp_path / "site", settings, simulator)


def _party(folder: Path, settings: StateSettings, simulator: Simulator) -> Iterator[Party]:
    made = Party(folder, open_state(folder, settings), simulator)
    yield made
    made.close()

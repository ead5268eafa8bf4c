"""`bench sharing`: a day's facts are built, signed, sent to the simulated authority over TLS; the figures leave."""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, insert, select

from pipeline.bus.sqlite import SqliteBus
from pipeline.event import event_id
from pipeline.logs import unlogged
from pipeline.outward.watchdog import Watchdog
from pipeline.settings import Settings, default_data_dir
from pipeline.stage import Stage
from pipeline.state import open_state
from pipeline.state.tables import alerts, share_messages
from sharing import SENT, book
from sharing.courier import Courier
from sharing.drafting import build
from sharing.keys import make
from sharing.profile import Named, load, shipped

_EVENTS = 100_000
#: What a day's facts may take, in seconds.
_LIMIT_SECONDS = 60.0
_PART = 2000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return how long a day's alerts take until the last receipt; `ok`: less than a minute."""
    count = chosen.events or _EVENTS
    default_data_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=default_data_dir(), prefix="bench-") as name, unlogged():
        folder = Path(name)
        with _authority(folder / "authority") as (url, ca):
            return _measured(folder, url, ca, count)


def _measured(folder: Path, url: str, ca: Path, count: int) -> dict[str, Any]:
    settings = Settings.model_validate({"data_dir": folder / "site", "sources": [], "observer": "bench"})
    engine = open_state(settings.data_dir)
    named = _profile(folder, url, ca)
    with engine.begin() as connection:
        book.known(connection, named.name, time.time() - 1)
    book.confirm(engine, named, "bench", "bench")
    _raise(engine, count)
    stage = Stage("sharing", settings, engine, SqliteBus(settings.data_dir / "bus", 10**9))
    leads, watchdog = threading.Event(), Watchdog()
    courier = Courier(stage, named, watchdog, leads, lambda connection: None)
    begun = time.perf_counter()
    messages = len(build(engine, settings, named))
    built = time.perf_counter()
    while courier.sign():
        pass
    signed = time.perf_counter()
    while courier.send():
        pass
    sent = time.perf_counter()
    with engine.connect() as connection:
        done = connection.scalar(select(func.count()).where(share_messages.c.status == SENT))
        size = connection.scalar(select(func.sum(func.length(share_messages.c.signed))))
    watchdog.stop()
    stage.bus.close()
    engine.dispose()
    return {
        "alerts": count, "messages": messages, "receipts": done, "signed_mb": (size or 0) / 1e6,
        "build_seconds": built - begun, "sign_seconds": signed - built, "send_seconds": sent - signed,
        "seconds": sent - begun, "facts_per_second": count / (sent - begun),
        "ok": done == messages and sent - begun < _LIMIT_SECONDS * count / _EVENTS,
    }  # fmt: skip


def _raise(engine: Engine, count: int) -> None:
    """Put a day's alerts into the state: each tells of another machine's contact, one in ten of malware."""
    now = time.time()
    for start in range(0, count, _PART):
        rows = [_row(number, now) for number in range(start, min(start + _PART, count))]
        with engine.begin() as connection:
            connection.execute(insert(alerts), rows)


def _row(number: int, now: float) -> dict[str, Any]:
    host = f"PC-{number}"
    document = {
        "@timestamp": "2026-11-24T05:17:44Z", "event.id": event_id("bench", number), "rule.id": "indicator.c2",
        "rule.name": "C2", "rule.level": "high", "tags": ["attack.command-and-control"], "host.name": host,
        "source.ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", "destination.ip": "203.0.113.9",
        "alert.count": 1, "threat.software.name": "AsyncRAT",
        "alert.evidence": [{"process.executable": "C:\\x\\svchost.exe", "process.hash.md5": "ab" * 16}] * 5,
    }  # fmt: skip
    if number % 10 == 0:
        found = {"event.category": ["malware"], "threat.software.name": "Trojan.X", "file.path": f"C:\\{number}"}
        document |= {"rule.id": "av", "tags": ["attack.execution"], "alert.evidence": [found]}
    return {
        "id": document["event.id"], "time": 1_795_497_464_000_000 + number, "created": now, "rule_id": "indicator.c2",
        "rule_name": "C2", "level": "high", "status": "new", "source": "bench", "document": document,
        "owner": "", "note": "", "suppression": "", "group_id": document["event.id"],
    }  # fmt: skip


def _profile(folder: Path, url: str, ca: Path) -> Named:
    profiles = folder / "site" / "sharing"
    profiles.mkdir(parents=True)
    make(profiles / "signing.pem", profiles / "signing.key", "bench", "bench")
    pem = (profiles / "signing.pem").read_bytes()
    (folder / "authority" / "registered" / "bench.pem").write_bytes(pem)
    text = (
        shipped()["cv2290"]
        .read_text("utf-8")
        .replace("G00", "G01")
        .replace("Tên đơn vị", "bench")
        .replace('url = ""', f'url = "{url}/"\nca = "{ca}"', 1)
    )
    file = profiles / "bench.toml"
    file.write_text(text.replace("timeout_seconds", 'allow_private = ["127.0.0.0/8"]\ntimeout_seconds', 1), "utf-8")
    return load(file)


@contextmanager
def _authority(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run the simulator in a process of its own; yields its address and its certificate."""
    command = "import sys; from pipeline.command import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", command, "sharing", "simulator", "--folder", str(folder), "--port", "0"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter
    assert process.stdout is not None
    try:
        url = next(word for word in process.stdout.readline().split() if word.startswith("https://"))
        yield url, folder / "certificate.pem"
    finally:
        process.kill()
        process.communicate()

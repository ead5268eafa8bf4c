"""A site is backed up while events flow in, and restored as another one: nothing is missing there, nothing is double."""

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipeline.backup.make import LEFT_OUT
from pipeline.backup.of_state import KEPT
from pipeline.backup.restore import restore
from tests.conftest import eventually
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow


class Sender:
    """Sends numbered log-ins of root over TCP until told to stop, as fast as they are taken."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send, args=(port,))
        self._thread.start()

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()

    def _send(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as stream:
            while not self._enough.wait(0.02):
                lines = range(self.sent, self.sent + 100)
                stream.sendall(b"".join(b"<86>Nov 24 10:00:00 may sshd[%d]: line number %d\n" % (n, n) for n in lines))
                self.sent += 100
                if self.sent % 5000 == 100:
                    stream.sendall(
                        b"<86>Nov 24 10:00:00 may sshd[%d]: Accepted password for root from 203.0.113.9 port 9 ssh2\n"
                        % self.sent
                    )


def _settled(site: Site) -> dict[str, Any] | None:
    """The account of the source once nothing waits; it adds up before, too."""
    account: dict[str, Any] = json.loads(site.run("sources", "--check", "--json").stdout)
    return account if not account["held"] else None


def _log_in(site: Site, password: str) -> dict[str, Any]:
    address = site.stages()["api"]["detail"]["address"]
    body = json.dumps({"name": "admin", "password": password}).encode()
    request = urllib.request.Request(f"{address}/api/v1/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def test_a_backup_of_a_running_site_is_a_site_elsewhere(
    make_site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: Site = make_site("source")
    password = eventually(lambda: re.search(r"password: (\S+)", (source.data_dir / "run.out").read_text("utf-8")))
    token = source.token("may-chu")
    sender = Sender(source.port("tcp"))
    file = tmp_path / "site.tar.zst"
    try:
        eventually(lambda: sender.sent > 4000)
        eventually(source.alerts, pause=0.5)
        source.run("backup", str(file), "--events")
    finally:
        sender.stop()
    there = {path.name.removesuffix("-wal").removesuffix("-shm") for path in source.data_dir.iterdir()}
    assert there - {"run.out"} <= {*KEPT, *LEFT_OUT}  # what is new there is kept or left out on purpose
    source.kill()

    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "elsewhere"))
    restore(file, tmp_path / "elsewhere")
    site = Site(tmp_path / "elsewhere", keep=True)
    try:
        site.start()
        account = eventually(lambda: _settled(site), 30)
        assert account["received"] > 4000
        assert account["received"] == account["stored"] + account["already_stored"]
        assert site.count("*") == account["received"]
        assert _log_in(site, password[1])["name"] == "admin"
        assert len(site.alerts()) == site.count_alerts() > 0
        port = site.port("http")
        event = b'{"@timestamp": "2026-11-24T10:00:00Z", "message": "afterwards"}'
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/events", event, {"Authorization": f"Bearer {token}"}
        )
        urllib.request.urlopen(request, timeout=30).close()
        site.await_count("message:afterwards", 1)
    finally:
        site.kill()

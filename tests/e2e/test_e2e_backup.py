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
        eventually(lambda: sender.sent > 8000 and source.alerts())
        source.run("backup", str(file), "--events")
    finally:
        sender.stop()
    source.kill()

    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "elsewhere"))
    restore(file, tmp_path / "elsewhere")
    site = Site(tmp_path / "elsewhere", keep=True)
    try:
        site.start()
        check = site.run("sources", "--check", "--json")
        account = json.loads(check.stdout)
        assert account["missing"] == 0
        received = account["received"]
        assert received > 8000
        eventually(lambda: json.loads(site.run("sources", "--check", "--json").stdout)["held"] == 0)
        balance = site.sources()["syslog"]
        assert balance["received"] == balance["stored"] + balance["already_stored"] == received
        assert site.count("*") == received
        numbers = {event["message"] for event in site.search("message:number", size=10_000)}
        assert len(numbers) == min(10_000, site.count("message:number"))
        assert _log_in(site, password[1])["name"] == "admin"
        assert site.alerts()
        assert len(site.alerts()) == site.count_alerts()
        port = site.port("http")
        event = b'{"@timestamp": "2026-11-24T10:00:00Z", "message": "afterwards"}'
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/events", event, {"Authorization": f"Bearer {token}"}
        )
        urllib.request.urlopen(request, timeout=30).close()
        site.await_count("message:afterwards", 1)
        assert site.run("sources", "--check").returncode == 0
    finally:
        site.kill()

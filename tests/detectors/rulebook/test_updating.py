"""Packs that are updated by themselves, from a server with TLS on loopback that answers, or takes its time."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trustme
from doors import rule
from sqlalchemy import Engine
from test_sources import zipped

from detectors.rulebook import revisions
from detectors.rulebook.changes import Rulebook
from detectors.rulebook.sources import fetch
from detectors.rulebook.updating import Updates
from pipeline.event import Event
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.stage import Stage

#: Longer than the command needs to start and to ask, in seconds.
_PATIENCE = 6


class Maker:
    """Whoever publishes the pack. While it is `slow` an answer begins, and a byte of it comes now and then."""

    def __init__(self) -> None:
        self.rules = zipped({"rules/a.yml": rule(7, "Gate opened", "gate").encode()})
        self.slow = False
        self.asked = 0
        self.cut_off = threading.Event()
        self.ended = threading.Event()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.rules)))
        request.end_headers()
        if not self.slow:
            request.wfile.write(self.rules)
            return
        try:
            for byte in self.rules:
                request.wfile.write(bytes([byte]))
                if self.ended.wait(0.1):
                    return
        except OSError:
            self.cut_off.set()


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def address(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the pack lies; this process and those that it starts trust the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            maker.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/pack.zip"
    maker.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def updates(
    engine: Engine, settings: Settings, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Updates]:
    """Of a site that has the pack, and looks for a newer one all the time."""
    (settings.data_dir / "haidang.toml").write_text(f'sources = []\n[detectors]\nrules = ["{folder}"]\n', "utf-8")
    monkeypatch.delenv("HAIDANG_CONFIG", raising=False)
    monkeypatch.setattr("detectors.rulebook.updating._LOOK_SECONDS", 0.0)
    Rulebook(engine, settings, "an").pack(address, "doors", every_hours=1e-6).make()
    made = Updates(cast(Stage, SimpleNamespace(engine=engine, settings=settings)))
    yield made
    made.close()


def look(updates: Updates, until: Callable[[], bool], seconds: float) -> None:
    """Let it look, as the detectors do, until something has come about."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        updates.look(leads=True)
        time.sleep(0.02)


def test_an_update_that_takes_too_long_is_ended_and_is_an_alert(
    updates: Updates, maker: Maker, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.slow = True
    monkeypatch.setattr("detectors.rulebook.updating._PATIENCE", _PATIENCE)
    began = time.monotonic()
    found: list[Event] = []
    look(updates, lambda: bool(found.extend(updates.alerts()) or found), 60)
    assert time.monotonic() - began >= _PATIENCE
    assert maker.asked == 2  # for the import, and by the update: it came as far as the server
    assert maker.cut_off.wait(60)  # nothing goes on reading
    (alert,) = found
    assert alert["rule.id"] == "haidang.rules_update_failed"
    assert "doors" in alert["rule.description"]
    assert f"It took longer than {_PATIENCE} seconds and was ended." in alert["rule.description"]
    assert revisions.current(engine).number == 1
    # The next one finds a server that answers.
    maker.slow = False
    maker.rules = zipped({"rules/a.yml": rule(7, "Gate opened", "gates").encode()})
    monkeypatch.setattr("detectors.rulebook.updating._PATIENCE", 60)
    look(updates, lambda: revisions.current(engine).number == 2, 60)
    newest = revisions.current(engine)
    assert (newest.who, newest.address, newest.action) == ("haidang", "automatic", "update")


def test_a_server_that_sends_little_by_little_is_not_waited_for_without_end(
    address: str, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.slow = True
    monkeypatch.setattr("detectors.https._PATIENCE", 1.0)
    began = time.monotonic()
    with pytest.raises(HaidangError, match="it took longer than 1 seconds"):
        fetch(address)
    assert time.monotonic() - began < 5

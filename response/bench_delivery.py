"""`bench delivery`: messages a second through each kind of channel to a receiver here leave, while alerts enter."""

import argparse
import http.server
import secrets
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline.bus import open_bus
from pipeline.delivery import SENT
from pipeline.delivery.routing import Routing
from pipeline.event import Event, event_id, format_time
from pipeline.logs import start_log
from pipeline.settings import Settings, default_data_dir
from pipeline.stage import Stage
from pipeline.state import open_state
from pipeline.state.tables import deliveries
from response import queue
from response.delivery.deliver import deliver

_EVENTS = 5_000
#: Alerts that enter together, as in a burst.
_TOGETHER = 200
#: Alerts that enter a second while messages are sent.
_RATE = 200
_LONGEST_SECONDS = 600.0


class _Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take everything."""
        self.rfile.read(int(self.headers["content-length"]))
        self.wfile.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, *_arguments: Any) -> None:
        """Nobody reads it."""


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Take every mail."""
        self.wfile.write(b"220 bench\r\n")
        while line := self.rfile.readline(1000):
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline(10_000) not in (b".\r\n", b""):
                    pass
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 bench\r\n")


class _Sink(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Read everything."""
        while self.request.recv(1_000_000):
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def _receivers() -> Iterator[list[int]]:
    """Run the receivers in a process of their own; yields their ports."""
    command = [sys.executable, "-P", "-m", "response.bench_delivery"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
        process.kill()


def _serve() -> None:
    """Serve, and say where."""
    servers = [_Server(("127.0.0.1", 0), handler) for handler in (_Hook, _Smtp, _Sink)]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    sys.stdout.write(" ".join(str(server.server_address[1]) for server in servers) + "\n")
    sys.stdout.flush()


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return messages a second of each channel, all sending at once; `ok`: 200 and more on each.

    As many alerts as asked for enter in a burst, and `--rate` (200) a second more until their messages are sent.
    """
    count = chosen.events or _EVENTS
    home = default_data_dir()
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="bench-") as folder, _receivers() as ports:
        start_log(Path(folder), "delivery", "info")
        settings = _settings(Path(folder), *ports)
        stage = Stage("delivery", settings, open_state(settings.data_dir), open_bus(settings.data_dir, settings.bus))
        running = threading.Thread(target=deliver, args=(stage,))
        started = time.monotonic()
        running.start()
        _raise_alerts(stage, 0, count, _TOGETHER)
        entered, ended = time.monotonic() - started, threading.Event()
        more = threading.Thread(target=_raise_more, args=(stage, count, chosen.rate or _RATE, ended))
        more.start()
        took = _await(stage, [channel.name for channel in settings.channels], count, started)
        for end in (ended, stage.stopping):
            end.set()
        for thread in (more, running):
            thread.join()
        stage.bus.close()
        stage.engine.dispose()
    rates = {f"{name}_per_second": round(count / seconds, 1) for name, seconds in took.items()}
    return {
        "alerts": count, "alerts_entered_per_second": round(count / entered, 1), **rates,
        "ok": all(rate >= 200 for rate in rates.values()),
    }  # fmt: skip


def _settings(folder: Path, hook: int, smtp: int, sink: int) -> Settings:
    secret = "whsec_" + secrets.token_hex(16) * 2
    local = {"host": "127.0.0.1"}
    channels: list[dict[str, Any]] = [
        {"name": "webhook", "kind": "webhook", "url": f"http://127.0.0.1:{hook}/", "plain_http": True,
         "allow_private": ["127.0.0.0/8"], "secrets": [secret]},
        {"name": "email", "kind": "email", **local, "port": smtp, "security": "none", "digest_over": 0,
         "sender": "a@example.vn", "to": ["b@example.vn"]},
        {"name": "syslog", "kind": "syslog", **local, "port": sink, "transport": "tcp"},
    ]  # fmt: skip
    routes = [{"channels": [channel["name"] for channel in channels], "each": "alert"}]
    told = {"data_dir": folder, "sources": [], "channels": channels, "routes": routes}
    return Settings.model_validate(told)


def _raise_more(stage: Stage, first: int, rate: int, ended: threading.Event) -> None:
    step = max(1, rate // 4)
    while not ended.wait(step / rate):
        _raise_alerts(stage, first, first + step, step)
        first += step


def _raise_alerts(stage: Stage, first: int, end: int, together: int) -> None:
    routing = Routing(stage.settings)
    for start in range(first, end, together):
        rows = [queue.row(_alert(number), "syslog") for number in range(start, min(start + together, end))]
        with stage.engine.begin() as connection:
            queue.save(connection, rows, stage.settings.queue, stage.settings.observer, routing)


def _alert(number: int) -> Event:
    now = format_time(datetime.now(UTC))
    evidence = {"event.id": event_id("bench", number), "message": "Failed password for root " * 10}
    return {
        "@timestamp": now, "event.id": event_id("bench-alert", number), "event.kind": "alert", "rule.id": "bench",
        "rule.name": "Failed log-ins", "rule.level": "high", "rule.description": "One host tries many passwords.",
        "source.ip": f"198.51.{number // 250 % 250}.{number % 250}", "host.name": f"pc-{number % 500}",
        "alert.count": 3, "alert.evidence": [evidence] * 3, "tags": ["attack.t1110"],
    }  # fmt: skip


def _await(stage: Stage, names: list[str], count: int, started: float) -> dict[str, float]:
    """Return how long each channel took until it had sent everything."""
    took: dict[str, float] = {}
    counted = select(deliveries.c.channel, func.count()).where(deliveries.c.status == SENT)
    while len(took) < len(names):
        with stage.engine.connect().execution_options(read_only=True) as connection:
            sent: Counter[str] = Counter(dict(connection.execute(counted.group_by(deliveries.c.channel)).all()))
        now = time.monotonic() - started
        took |= {name: now for name in names if name not in took and sent[name] >= count}
        if now > _LONGEST_SECONDS:
            return took | {name: now * count / max(sent[name], 1) for name in names if name not in took}
        time.sleep(0.2)
    return took


if __name__ == "__main__":
    _serve()

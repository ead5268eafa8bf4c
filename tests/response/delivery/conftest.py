"""A corridor of the tests: alerts enter the queue, the stage `delivery` sends them, receipts are there to be looked at."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.bus.sqlite import SqliteBus
from pipeline.delivery import WAITING, book
from pipeline.delivery.routing import Routing
from pipeline.event import Event, event_id
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.state import open_state
from response import queue
from response.delivery.deliver import deliver
from tests.conftest import eventually


def alert(number: int, level: str = "high", **fields: Any) -> Event:
    """An alert as the detectors raise it; each is about another address, so each opens a group."""
    address = f"10.0.{5 + (number + 19) // 250}.{(number + 19) % 250}"
    return {
        "@timestamp": "2026-11-24T05:17:44.000Z", "event.id": event_id("alert", number), "event.kind": "alert",
        "rule.id": "behaviour.port_scan", "rule.name": f"Port scan {number}", "rule.name_vi": f"Quét cổng {number}",
        "rule.level": level, "rule.description": "A host asked for many ports.", "source.ip": address,
        "tags": ["attack.t1046"], "alert.count": 3, "alert.evidence": [{"message": "Đăng nhập"}], **fields,
    }  # fmt: skip


class Corridor:
    """A data directory with channels and routes; `run` sends in a thread until `stop`."""

    def __init__(self, folder: Path, engine: Engine | None = None, **settings: Any) -> None:
        told = {"observer": "may-thu", "language": "en", "sources": [], "data_dir": folder, "queue": {"risk_alert": 0}}
        told |= settings
        self.settings = Settings.model_validate(told)
        self.engine = engine or open_state(folder)
        self.stage = Stage("delivery", self.settings, self.engine, SqliteBus(folder / "bus", 10**9))
        self._thread: threading.Thread | None = None

    def raise_alerts(self, *raised: Event) -> None:
        """Put alerts into the queue, as the response stage does."""
        with self.engine.begin() as connection:
            rows = [queue.row(each, "syslog") for each in raised]
            queue.save(connection, rows, self.settings.queue, "may-thu", Routing(self.settings))

    def run(self) -> None:
        """Start to send."""
        self.stage.stopping.clear()
        self._thread = threading.Thread(target=deliver, args=(self.stage,))
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self.stage.stopping.set()
        if self._thread is not None:
            self._thread.join(60)
            self._thread = None

    def receipts(self, **fits: Any) -> list[dict[str, Any]]:
        """What became of messages, the first one first."""
        return book.listed(self.engine, limit=100_000, **fits)[::-1]

    def ended(self, seconds: float = 20) -> list[dict[str, Any]]:
        """Wait until no message waits; return all."""
        eventually(lambda: not self.receipts(status=WAITING), seconds)
        return self.receipts()

    def tried(self, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until each message was tried; return all."""
        eventually(lambda: all(each["attempts"] for each in self.receipts()), seconds)
        return self.receipts()

    def close(self) -> None:
        """End it."""
        self.stop()
        self.stage.bus.close()
        self.engine.dispose()


@pytest.fixture
def corridor(tmp_path: Path) -> Iterator[Callable[..., Corridor]]:
    """Make corridors; they end with the test."""
    made: list[Corridor] = []

    def make(folder: Path | None = None, **settings: Any) -> Corridor:
        made.append(Corridor(folder or tmp_path / f"site-{len(made)}", **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()

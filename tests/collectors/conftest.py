"""A collectors' stage within the test: real bus, real state, real sockets, the event loop that is used in earnest."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from collectors.intake import Intake
from pipeline.bus import EVENTS
from pipeline.bus.sqlite import SqliteBus
from pipeline.frame import unpack
from pipeline.ledger import sums
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.state import open_state


class Bench:
    """Everything that a source needs, and what came out of it."""

    def __init__(self, data_dir: Path, limit_bytes: int = 2_000_000_000, **settings: Any) -> None:
        self.settings = Settings(data_dir=data_dir, observer="may-thu", **settings)
        self.stage = Stage(
            "collectors", self.settings, open_state(self.settings.data_dir), SqliteBus(data_dir / "bus", limit_bytes)
        )

    @asynccontextmanager
    async def intake(self) -> AsyncIterator[Intake]:
        """An intake that publishes; all is published at the end."""
        intake = Intake(self.stage)
        running = asyncio.create_task(intake.run())
        try:
            yield intake
        finally:
            self.stage.stopping.set()
            await intake.finish(running)

    def events(self) -> list[dict[str, Any]]:
        """All events on the bus, in order."""
        records = self.stage.bus.read(EVENTS, {}, 10**12)
        return [orjson.loads(line) for record in records for line in unpack(record.payload)]

    def ledger(self, source: str) -> dict[str, int]:
        """What the collectors counted for a source: `in`, `out`, and drops by reason."""
        lines = [line for line in sums(self.stage.engine) if (line.stage, line.source) == ("collectors", source)]
        return {line.reason or line.outcome: line.events for line in lines}

    def close(self) -> None:
        self.stage.bus.close()
        self.stage.engine.dispose()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make benches in directories of their own."""
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    made: list[Bench] = []

    def make(name: str = "data", **settings: Any) -> Bench:
        made.append(Bench(tmp_path / name, **settings))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


async def until(found: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait in the event loop until the answer is true."""
    async with asyncio.timeout(seconds):
        while not (answer := found()):
            await asyncio.sleep(0.01)
    return answer

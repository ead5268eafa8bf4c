"""Where the decoders' tests find logs that nobody in this project wrote."""

from datetime import UTC, datetime
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_logs(shared_data: Path) -> Path:
    return shared_data / "logs"


@pytest.fixture(scope="session")
def shared_evtx(shared_data: Path) -> Path:
    return shared_data / "evtx"


@pytest.fixture(scope="session")
def received() -> datetime:
    return datetime(2026, 11, 24, 5, 17, 44, tzinfo=UTC)

"""Where the decoders' tests find logs that nobody in this project wrote."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        reason = f"the shared test data is not here: {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def shared_logs() -> Path:
    return _folder("logs")


@pytest.fixture(scope="session")
def shared_evtx() -> Path:
    return _folder("evtx")


@pytest.fixture(scope="session")
def received() -> datetime:
    return datetime(2026, 11, 24, 5, 17, 44, tzinfo=UTC)

"""Kills of the stage and of the authority at any moment: each machine stands in its book once, in order."""

import os
import random
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.sharing.chaos import chaos

pytestmark = pytest.mark.slow


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", os.fspath(tmp_path))
    seed = random.randrange(10**6)
    result = chaos(tmp_path, 5, seed, free_port())
    assert result.good and result.alerts > 50, f"seed {seed}: {result}"

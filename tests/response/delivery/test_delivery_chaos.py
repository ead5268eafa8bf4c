"""The stage that delivers is killed again and again while alerts enter: nothing is lost, repeats have the same id."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.response.delivery.chaos import chaos

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("state", ["sqlite", "postgresql"])
def test_nothing_is_lost_and_nothing_comes_under_two_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, state: str
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "site"))
    more: dict[str, Any] = {}
    if state == "postgresql":
        postgres: Any = request.getfixturevalue("postgres")

        def restart() -> None:
            postgres.stop()
            time.sleep(1)
            postgres.start()

        more = {"state": postgres.new_database(), "disturb": restart}
    result = chaos(tmp_path, kills=3, seed=20261130, **more)
    assert result.good, result
    assert result.alerts > 50

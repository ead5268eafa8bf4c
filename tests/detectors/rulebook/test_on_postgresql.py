"""The rulebook in a real PostgreSQL, as several machines share it."""

from collections import Counter
from pathlib import Path

import pytest
from doors import rule

from detectors.rulebook import hits, revisions
from detectors.rulebook.changes import Rulebook
from pipeline.messages import HaidangError
from pipeline.settings import Detectors, Settings, State
from pipeline.state import open_state
from tests.services.postgres import Postgres

pytestmark = pytest.mark.slow


def test_two_machines_see_one_rulebook(tmp_path: Path, folder: Path, postgres: Postgres) -> None:
    state = State(url=postgres.new_database())
    sites = [
        Settings(data_dir=tmp_path / name, detectors=Detectors(rules=[folder]), sources=[], state=state)
        for name in ("one", "other")
    ]
    engines = [open_state(each.data_dir, state) for each in sites]
    here, there = (Rulebook(engine, site, "an") for engine, site in zip(engines, sites, strict=True))
    here.add({"forced.yml": rule(2, "Door forced", "forced")})
    assert there.find("Door forced").title == "Door forced"
    assert Path(there.find("Door forced").path).is_relative_to(tmp_path / "other")
    assert here.revision.number == 1
    there.set_mode(["Door forced"], "observe", "loud")
    with pytest.raises(HaidangError, match="meanwhile"):
        here.set_mode(["Door forced"], "off", "")
    assert revisions.fail(engines[1], 2, "broken")
    assert revisions.current(engines[0]).number == 1
    for _ in range(2):
        with engines[0].begin() as connection:
            hits.add(connection, Counter({("a", True): 2, ("a", False): 1, ("b", False): 5}))
    assert hits.of_rules(engines[1], 7) == {"a": (4, 2), "b": (0, 10)}
    for engine in engines:
        engine.dispose()

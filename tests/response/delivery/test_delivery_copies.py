"""Two machines on one PostgreSQL: one of them sends; when it is gone, the other goes on, and nothing is sent by both."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pipeline.delivery import SENT
from pipeline.lead import Lead
from pipeline.settings import State as StateSettings
from pipeline.shares import LeaseLost
from pipeline.state import open_state
from pipeline.state.tables import leases
from tests.conftest import eventually
from tests.response.delivery.conftest import Corridor, alert
from tests.services.receiver import receiving

pytestmark = pytest.mark.slow


@pytest.fixture
def two(tmp_path: Path, postgres: Any) -> Callable[..., list[Corridor]]:
    """What makes two machines with these settings."""
    state = StateSettings.model_validate({"url": postgres.new_database()})
    return lambda **told: [Corridor(tmp_path / name, open_state(tmp_path / name, state), **told) for name in "ab"]


def test_one_copy_sends_and_the_other_takes_over(two: Callable[..., list[Corridor]], tmp_path: Path) -> None:
    with receiving(tmp_path / "receiver") as receiver:
        channel = {"name": "soc", "kind": "webhook", "url": receiver.url, "ca": receiver.ca,
                   "allow_private": ["127.0.0.0/8", "::1/128"]}  # fmt: skip
        machines = two(channels=[channel], routes=[{"channels": ["soc"]}])
        try:
            for machine in machines:
                machine.run()
            machines[1].raise_alerts(*(alert(number) for number in range(300)))
            machines[0].ended()
            machines[0].stop()  # whichever leads: the other goes on
            machines[1].raise_alerts(*(alert(number) for number in range(300, 330)))
            machines[1].ended()
            machines[0].run()
            machines[1].stop()
            machines[0].raise_alerts(*(alert(number) for number in range(330, 360)))
            assert {each["status"] for each in machines[0].ended()} == {SENT}
            assert Counter(receiver.ids()) == Counter(each["id"] for each in machines[0].receipts())
        finally:
            for machine in machines:
                machine.close()


def test_a_copy_that_has_lost_the_lead_saves_nothing(two: Callable[..., list[Corridor]]) -> None:
    machines = two()
    first, second = (Lead(machine.stage, "deliveries") for machine in machines)
    first.look()
    second.look()
    assert (first.held.is_set(), second.held.is_set()) == (True, False)
    with machines[0].engine.begin() as connection:
        connection.execute(update(leases).values(until=time.time() - 1))  # it hung for long
    second.look()
    assert second.held.is_set()
    with pytest.raises(LeaseLost), machines[0].engine.begin() as connection:
        first.confirm(connection)
    assert not first.held.is_set()
    second.leave()
    first.look()
    assert eventually(first.held.is_set)
    for machine in machines:
        machine.close()

"""The tree of processes over HTTP: of a recorded attack, narrowed to the view, and of what is no process."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sites import Site, day, index, serving
from sqlalchemy import Engine

from pipeline import access
from pipeline.event import Event, event_id
from pipeline.settings import Settings
from tests.detectors.sigma.recordings import windows_events

_NAME = "evtx/EVTX-ATTACK-SAMPLES/Privilege Escalation/privesc_unquoted_svc_sysmon_1_11.evtx"


@pytest.fixture
def attacked(tmp_path: Path, shared_data: Path) -> Iterator[Site]:
    """A site on which a service was abused, beside other events."""

    def filled(settings: Settings, engine: Engine) -> list[Event]:
        others = day(settings, engine)
        events = [
            {**each, "event.id": event_id("attack", number), "labels.source": "windows"}
            for number, each in enumerate(windows_events(shared_data / _NAME))
        ]
        index(settings, engine, events)
        return [others[0], *events]

    with serving(tmp_path / "site", filled) as made:
        yield made


def _count(node: dict[str, Any]) -> int:
    return 1 + sum(map(_count, node["children"]))


def test_an_event_shows_the_processes_around_it_as_far_as_one_may_see(attacked: Site) -> None:
    other, *events = attacked.events
    starts = {each.get("process.entity_id"): each for each in events if each.get("event.code") == "1"}
    child = next(each for each in starts.values() if each["process.parent.entity_id"] in starts)
    with attacked.client(attacked.token(f"v-{time.time_ns()}", "viewer")) as client:
        told = client.get(f"/api/v1/events/{child['event.id']}/processes").json()
        assert (told["focus"], told["truncated"]) == (child["event.id"], False)
        node = told["root"]
        while node["event"] != child["event.id"]:
            assert len(node["children"]) == 1  # no siblings on the way
            node = node["children"][0]
        assert node["command_line"] == child["process.command_line"]
        assert _count(told["root"]) > 2
        refused = client.get(f"/api/v1/events/{other['event.id']}/processes")
        assert (refused.status_code, "no process" in refused.json()["detail"]) == (404, True)
        assert client.get("/api/v1/events/none-such/processes").status_code == 404
    with attacked.engine.begin() as connection:
        secret = access.create_token(connection, f"n-{time.time_ns()}", access.API, "viewer", {"sources": ["syslog"]})
    with attacked.client(secret) as client:
        assert client.get(f"/api/v1/events/{child['event.id']}/processes").status_code == 404

"""The first screen: each part is what its own route tells, and is there for who may read it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sites import Site, day, serving
from sqlalchemy import Engine

from pipeline import access
from pipeline.event import Event
from pipeline.ledger import this_minute
from pipeline.queue import grouping
from pipeline.settings import Settings, State
from pipeline.state.tables import silences, stages
from tests.conftest import eventually

_EVERYTHING = {"queue", "entities", "alerts_by_hour", "cases", "events_by_minute", "quiet", "health", "faults"}


def _filled(settings: Settings, engine: Engine) -> list[Event]:
    events = day(settings, engine)
    grouping.catch_up(engine, 24)
    silent = {"minute": this_minute(), "first": 1, "silent": 60, "longest": 60}
    with engine.begin() as connection:
        connection.execute(silences.insert(), [
            {**silent, "source": "vpn", "last": this_minute() - 60, "raised": True},
            {**silent, "source": "mail", "last": this_minute() - 5, "raised": False},
        ])  # fmt: skip
        connection.execute(stages.insert(), {
            "stage": "collectors", "instance": "other", "pid": 1, "started": 1.0, "seen": time.time() - 60,
            "backlog_events": 0, "detail": {"ready": True},
        })  # fmt: skip
    return events


@pytest.fixture(params=["sqlite", "postgresql"])
def stood(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site on each kind of state."""
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    with serving(tmp_path / "site", _filled, state=State(url=url)) as made:
        yield made


def _told(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/api/v1/overview")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_each_part_is_what_its_own_route_tells(stood: Site) -> None:
    with stood.client(stood.token("sees", "analyst")) as client:
        for title, reportable in (("Rò rỉ", True), ("Nội bộ", False)):
            opened = {"title": title, "level": "high", "reportable": reportable}
            assert client.post("/api/v1/cases", json=opened).status_code == 201
        told = _told(client)
        queue = client.get("/api/v1/alerts/groups", params={"limit": 10}).json()
        entities = client.get("/api/v1/alerts/entities", params={"limit": 10}).json()["entities"]
        alerts = client.get("/api/v1/alerts", params={"from": "now-24h"}).json()
        health = client.get("/api/v1/health").json()
    assert set(told) == _EVERYTHING
    assert told["faults"] == {}
    assert told["queue"] == {name: queue[name] for name in ("total", "levels", "statuses", "groups")}
    assert told["entities"] == entities
    by_level: dict[str, int] = {}
    for hour in told["alerts_by_hour"]:
        assert hour["alerts"] == sum(hour["levels"].values())
        for level, count in hour["levels"].items():
            by_level[level] = by_level.get(level, 0) + count
    assert by_level == alerts["levels"]
    assert (told["cases"]["open"], told["cases"]["running"]) == (2, 1)
    assert [(case["title"], len(case["clocks"])) for case in told["cases"]["cases"]] == [("Rò rỉ", 2)]
    assert len(told["events_by_minute"]) == 60
    assert sum(minute["events"] for minute in told["events_by_minute"]) == 125
    assert [each["source"] for each in told["quiet"]] == ["vpn"]
    assert told["health"]["down"] == [name for name, stage in health["stages"].items() if not stage["up"]] != []
    assert [each["what"] for each in told["health"]["problems"]] == [each["what"] for each in health["problems"]]


def test_a_part_is_there_for_who_may_read_it(stood: Site) -> None:
    with stood.client(stood.token("audits", "auditor")) as client:
        assert set(_told(client)) == {"events_by_minute", "quiet", "health", "faults"}
    with stood.engine.begin() as connection:
        secret = access.create_token(connection, "narrow", access.API, "analyst", {"sources": ["mail"]})
    with stood.client(secret) as client:
        told = _told(client)
    assert set(told) == _EVERYTHING - {"entities", "cases"}
    assert (told["queue"]["total"], told["alerts_by_hour"], told["quiet"]) == (0, [], [])
    assert sum(minute["events"] for minute in told["events_by_minute"]) == 0


def test_a_store_that_is_away_costs_its_part_alone(tmp_path: Path) -> None:
    from pipeline import store as stores
    from pipeline.settings import Store

    # nobody listens on port 9 (discard) of loopback
    away = stores.open_reader(tmp_path, Store(kind="elasticsearch", urls=["http://127.0.0.1:9"]))
    with serving(tmp_path / "site", _filled) as site, site.client(site.token("sees", "analyst")) as client:
        site.app.state.reader = away
        told = eventually(lambda: _told(client))
    away.close()
    assert set(told) == _EVERYTHING - {"alerts_by_hour"}
    assert list(told["faults"]) == ["alerts_by_hour"]

"""Delivery over HTTP: how channels fare, receipts, sending again, and a test that goes the whole way."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sites import Site, serving
from sqlalchemy import Engine

from pipeline.bus import open_bus
from pipeline.delivery import book
from pipeline.delivery.routing import Routing
from pipeline.event import Event
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.state.tables import audit
from response import queue
from response.delivery.deliver import deliver
from tests.conftest import eventually
from tests.response.delivery.conftest import alert

_CHANNELS = [
    {"name": "program", "kind": "script", "program": "run.sh"},
    {"name": "other", "kind": "script", "program": "no"},
]


def _filled(settings: Settings, engine: Engine) -> list[Event]:
    del settings, engine
    return []


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, with two channels of which one is a program that takes everything."""
    folder = tmp_path / "site"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "run.sh").write_text("#!/bin/sh\necho taken\n")
    (folder / "scripts" / "run.sh").chmod(0o755)
    told = {"channels": _CHANNELS, "routes": [{"channels": ["program", "other"]}]}
    with serving(folder, _filled, **told) as made:
        yield made


@pytest.fixture
def running(own: Site) -> Iterator[Site]:
    """The same, with the stages that carry messages."""
    buses = [open_bus(own.settings.data_dir, own.settings.bus) for _ in range(2)]
    bodies = {"response": queue.queue_alerts, "delivery": deliver}
    made = [Stage(name, own.settings, own.engine, bus) for name, bus in zip(bodies, buses, strict=True)]
    threads = [threading.Thread(target=bodies[stage.name], args=(stage,)) for stage in made]
    for thread in threads:
        thread.start()
    yield own
    for stage in made:
        stage.stopping.set()
    for thread in threads:
        thread.join(60)
    for bus in buses:
        bus.close()


def test_receipts_are_read_by_analysts_and_sent_again_by_who_leads(own: Site) -> None:
    with own.engine.begin() as connection:
        rows = [queue.row(alert(number), "syslog") for number in range(3)]
        queue.save(connection, rows, routing=Routing(own.settings))
        connection.exec_driver_sql("UPDATE deliveries SET status = 'dead', answer = 'no' WHERE channel = 'other'")
    with own.client(own.token("a", "analyst")) as analyst, own.client(own.token("l", "lead")) as lead:
        (program, other) = analyst.get("/api/v1/delivery/channels").json()["channels"]
        assert (program["waiting"], program["dead"], other["dead"], other["kind"]) == (3, 0, 3, "script")
        dead = analyst.get("/api/v1/delivery/messages", params={"status": "dead"}).json()["messages"]
        assert {each["answer"] for each in dead} == {"no"}
        one = analyst.get("/api/v1/delivery/messages", params={"alert": dead[0]["alert"]}).json()["messages"]
        assert {each["channel"] for each in one} == {"program", "other"}
        page = analyst.get("/api/v1/delivery/messages", params={"channel": "other", "limit": 1}).json()
        assert (page["total"], len(page["messages"])) == (3, 1)
        same = analyst.get("/api/v1/delivery/messages", params={"message": dead[0]["id"]}).json()
        assert (same["total"], same["messages"]) == (1, dead[:1])
        assert analyst.post("/api/v1/delivery/resend", json={"all": True}).status_code == 403
        assert analyst.post("/api/v1/delivery/channels/program/test").status_code == 403
        assert lead.post("/api/v1/delivery/resend", json={}).status_code == 400
        assert lead.post("/api/v1/delivery/resend", json={"ids": ["msg_no"]}).status_code == 404
        assert lead.post("/api/v1/delivery/resend", json={"ids": [dead[0]["id"]]}).json() == {"messages": 1}
        assert lead.post("/api/v1/delivery/resend", json={"ids": [dead[0]["id"]]}).status_code == 409
        assert analyst.post("/api/v1/delivery/drop", json={"all": True}).status_code == 403
        assert lead.post("/api/v1/delivery/drop", json={}).status_code == 400
        assert lead.post("/api/v1/delivery/drop", json={"ids": [dead[0]["id"]]}).status_code == 409  # it waits again
        assert lead.post("/api/v1/delivery/drop", json={"all": True, "channel": "nope"}).status_code == 404
        assert lead.post("/api/v1/delivery/drop", json={"ids": [dead[1]["id"]]}).json() == {"messages": 1}
        assert lead.post("/api/v1/delivery/resend", json={"all": True, "channel": "other"}).json() == {"messages": 1}
        assert lead.post("/api/v1/delivery/resend", json={"all": True, "channel": "nope"}).status_code == 404
        assert analyst.get("/api/v1/delivery/messages", params={"status": "dead"}).json()["messages"] == []
        assert analyst.get("/api/v1/delivery/messages", params={"status": "odd"}).status_code == 422


def test_why_a_channel_fails_is_for_who_reads_delivery(own: Site) -> None:
    with own.engine.begin() as connection:
        rows = [queue.row(alert(1), "syslog")]
        queue.save(connection, rows, routing=Routing(own.settings))
        book.note_channel(connection, "other", failures=3, error="/etc/haidang/scripts/no: no such file")
    for role, sees in (("viewer", False), ("analyst", True)):
        with own.client(own.token(role, role)) as client:
            answer = client.get("/api/v1/health")
        assert ("/etc/haidang" in answer.text, "channels" in answer.json()) == (sees, sees)
        (problem,) = [each for each in answer.json()["problems"] if each["what"] == "channel_failing"]
        assert (problem["channel"], problem["waiting"]) == ("other", 1)


def test_a_test_says_what_does_not_run_and_what_is_not_there(own: Site) -> None:
    with own.client(own.token("l", "lead")) as lead:
        assert lead.post("/api/v1/delivery/channels/nope/test").status_code == 404
        answer = lead.post("/api/v1/delivery/channels/program/test")
    assert answer.status_code == 503
    assert "response, delivery" in answer.json()["detail"]


def test_a_test_goes_the_whole_way_and_leaves_no_open_alert(running: Site) -> None:
    with running.client(running.token("l", "lead")) as lead:

        def asked() -> httpx.Response:
            answer = lead.post("/api/v1/delivery/channels/program/test")
            return answer if answer.status_code == 202 else None  # type: ignore[return-value]  # until both have said so

        told = eventually(asked).json()
        place = "/api/v1/delivery/messages"

        def ended() -> list[dict[str, str]]:
            found = lead.get(place, params={"alert": told["alert"]}).json()["messages"]
            return [each for each in found if each["status"] == "sent"]

        (sent,) = eventually(ended)
        assert (sent["id"], sent["kind"], sent["channel"]) == (told["message"], "test", "program")
        assert sent["answer"] == "exit status 0. taken"
        eventually(lambda: lead.get(f"/api/v1/alerts/{told['alert']}").json()["alert.status"] == "false_positive")
    with running.engine.connect() as connection:
        actions = {row.action for row in connection.execute(audit.select())}
    assert "channel_tested" in actions

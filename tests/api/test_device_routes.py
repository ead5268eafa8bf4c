"""Devices and contacts with C2 servers over HTTP, as an analyst and as somebody who may only look."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sites import Site, day, serving
from sqlalchemy import select

from detectors.devices.inventory import Inventory
from detectors.devices.sightings import Sighting
from pipeline.event import from_micros
from pipeline.state import upsert
from pipeline.state.tables import audit, device_addresses, devices
from response.queue import row, save

MAC = "F8-75-A4-00-00-01"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site with two devices, one of which spoke with a C2 server; its own for each test, for some add devices."""
    with serving(tmp_path, day) as made:
        now = time.time_ns() // 1000
        inventory = Inventory(10)
        inventory.take(Sighting(MAC, "10.0.1.5", "LAPTOP-1", (("name", "LAPTOP-1"),)), now - 3_600_000_000)
        inventory.take(Sighting(address="10.0.1.9"), now)
        rows, holdings = inventory.changes()
        alert = {
            "@timestamp": from_micros(now - 60_000_000), "event.id": "a" * 24, "rule.id": "indicator.c2",
            "rule.name": "C2", "rule.level": "high", "source.ip": "10.0.1.5", "threat.software.name": "AsyncRAT",
        }  # fmt: skip
        with made.engine.begin() as connection:
            upsert(connection, devices, rows, key=["id"])
            held = [{"address": h.address, "since": h.since, "until": h.until, "device": h.device} for h in holdings]
            upsert(connection, device_addresses, held, key=["address", "since"])
            save(connection, [row(alert, "test")])
        yield made


@pytest.fixture
def looking(own: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with own.client(own.token(f"v {request.node.name}", "viewer")) as client:
        yield client


@pytest.fixture
def analyst(own: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with own.client(own.token(f"a {request.node.name}", "analyst")) as client:
        yield client


def test_devices_are_listed_found_and_counted(looking: httpx.Client) -> None:
    told = looking.get("/api/v1/devices").json()
    assert (told["total"], told["kinds"]) == (2, {"laptop": 1, "unknown": 1})
    assert [each["address"] for each in told["devices"]] == ["10.0.1.9", "10.0.1.5"]
    assert looking.get("/api/v1/devices", params={"kind": "laptop", "text": "lap"}).json()["total"] == 1
    assert looking.get("/api/v1/devices", params={"limit": 1, "offset": 1}).json()["devices"][0]["names"] == [
        "LAPTOP-1"
    ]
    for name in (MAC, "10.0.1.5", "laptop-1", f"mac:{MAC}"):
        one = looking.get("/api/v1/devices/one", params={"id": name}).json()
        assert (one["id"], [hint for hint, _, _ in one["evidence"]]) == (f"mac:{MAC}", ["maker", "name"])
    assert looking.get("/api/v1/devices/one", params={"id": "10.9.9.9"}).status_code == 404
    assert looking.get("/api/v1/devices", params={"kind": "toaster"}).status_code == 422


def test_contacts_with_c2_are_counted(looking: httpx.Client) -> None:
    told = looking.get("/api/v1/c2", params={"limit": 5}).json()
    assert (told["all"]["devices"], told["all"]["contacts"], told["all"]["kinds"]) == (1, 1, {"laptop": 1})
    assert [(each["device"], each["family"]) for each in told["contacts"]] == [(f"mac:{MAC}", "AsyncRAT")]
    assert looking.get("/api/v1/c2", params={"by": "family"}).json()["groups"][0]["group"] == "AsyncRAT"
    empty = looking.get("/api/v1/c2", params={"from": "2020-01-01", "to": "2020-02-01"}).json()
    assert (empty["all"]["devices"], empty["groups"], empty["all"]["first"]) == (0, [], None)
    assert looking.get("/api/v1/c2", params={"from": "gestern"}).status_code == 400
    assert looking.get("/api/v1/c2", params={"by": "colour"}).status_code == 422


def test_analysts_correct_and_it_is_in_the_audit(own: Site, analyst: httpx.Client, looking: httpx.Client) -> None:
    one = {"id": "10.0.1.9"}
    made = analyst.put("/api/v1/devices/one", params=one, json={"kind": "printer", "unit": "Kế toán"}).json()
    assert (made["kind"], made["unit"], made["by_hand"]) == ("printer", "Kế toán", ["kind", "unit"])
    refused = analyst.put("/api/v1/devices/one", params=one, json={"kind": "toaster"})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("kind: expected one of 'server', 'computer'")
    assert analyst.put("/api/v1/devices/one", params=one, json={}).status_code == 400
    assert analyst.put("/api/v1/devices/one", params=one, json={"colour": "red"}).status_code == 422
    for answer in (
        looking.put("/api/v1/devices/one", params=one, json={"kind": "server"}),
        looking.delete("/api/v1/devices/one", params=one),
        looking.post("/api/v1/devices/import", content=b"ip\n10.0.0.1\n", headers=_OCTETS),
    ):
        assert answer.status_code == 403
    assert analyst.delete("/api/v1/devices/one", params=one).status_code == 204
    assert analyst.delete("/api/v1/devices/one", params=one).status_code == 404
    with own.engine.connect() as connection:
        actions = connection.scalars(select(audit.c.action).where(audit.c.action.like("device%"))).all()
    assert {"device_set", "device_unset"} <= set(actions)


def test_a_list_is_taken_and_what_is_wrong_named(analyst: httpx.Client) -> None:
    text = "ip,kind,note\n10.0.7.1,máy chủ,<script>\n10.0.7.2,toaster,\n".encode()
    told = analyst.post("/api/v1/devices/import", content=text, headers=_OCTETS).json()
    assert (told["imported"], told["wrong"]) == (1, 1)
    assert "toaster" in told["reasons"][0]
    assert analyst.get("/api/v1/devices/one", params={"id": "10.0.7.1"}).json()["note"] == "<script>"
    assert analyst.post("/api/v1/devices/import", content=b"a,b\n", headers=_OCTETS).status_code == 400
    assert analyst.post("/api/v1/devices/import", json={}).status_code == 415


def test_who_has_not_logged_in_sees_nothing(own: Site) -> None:
    with own.client() as nobody:
        for path in ("/api/v1/devices", "/api/v1/devices/one?id=x", "/api/v1/c2"):
            assert nobody.get(path).status_code == 401


_OCTETS = {"Content-Type": "application/octet-stream"}

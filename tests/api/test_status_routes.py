"""Sources, health and metrics over HTTP."""

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sites import Site
from sqlalchemy import select

from pipeline import deadletters
from pipeline.ledger import DeadLetter
from pipeline.state.tables import audit


def test_the_ledger_says_where_everything_went(viewer: httpx.Client) -> None:
    source, *_ = [row for row in viewer.get("/api/v1/sources").json() if row["source"] != "alerts"]
    assert (source["source"], source["received"], source["stored"], source["dropped"]) == ("syslog", 125, 123, 2)
    assert source["reasons"] == {"not_an_event": 2}


def test_health_is_one_account_of_all_stages(viewer: httpx.Client) -> None:
    health = viewer.get("/api/v1/health").json()
    assert health["status"] == "ok"
    assert health["problems"] == []
    assert set(health["stages"]) == {"collectors", "detectors", "response", "store", "api"}
    assert health["queue"] == {"new": 0, "acknowledged": 0, "escalated": 0, "cases": 0, "cases_late": 0}


def test_metrics_are_what_prometheus_reads(viewer: httpx.Client) -> None:
    answer = viewer.get("/api/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    counted = {
        (sample.labels["stage"], sample.labels["outcome"], sample.labels["reason"]): sample.value
        for sample in found["haidang_events"].samples
        if sample.name == "haidang_events_total"
    }
    assert counted["collectors", "in", ""] == 125
    assert counted["store", "dropped", "not_an_event"] == 2
    assert {sample.labels["stage"] for sample in found["haidang_stage_up"].samples} >= {"store", "api"}
    assert {sample.labels["status"] for sample in found["haidang_queue_groups"].samples} == {
        "new", "acknowledged", "escalated",
    }  # fmt: skip
    assert found["haidang_disk_free_bytes"].samples[0].value > 0


def test_the_ledger_of_each_minute_adds_up(viewer: httpx.Client) -> None:
    told = viewer.get("/api/v1/sources/syslog/minutes", params={"minutes": 30}).json()
    assert len(told["minutes"]) == 30
    received = lost = 0
    for minute in (told["before"], *told["minutes"]):
        received += minute["received"]
        lost += minute["stored"] + minute["already_stored"] + minute["dropped"]
        assert received == lost + minute["held"]
    assert received == 125
    for faulty in (0, 2881, "x"):
        assert viewer.get("/api/v1/sources/syslog/minutes", params={"minutes": faulty}).status_code == 422


def test_clocks_and_canaries_are_told(viewer: httpx.Client) -> None:
    assert viewer.get("/api/v1/sources/clocks").json() == []
    assert viewer.get("/api/v1/health").json()["canaries"] == []
    row = viewer.get("/api/v1/sources").json()[0]
    assert (row["clock_behind"], row["clocks_off"], row["quiet"]) == (None, 0, False)
    assert row["received"] == row["stored"] + row["already_stored"] + row["held"] + row["dropped"] == 125


def test_dead_letters_are_dropped_by_two_that_saw_them_and_the_audit_has_it(own: Site) -> None:
    def bury(source: str, line: bytes) -> None:
        with own.engine.begin() as connection:
            deadletters.bury(connection, "store", [DeadLetter("events", source, "not_an_event", "", line)], 10**6)

    for name in ("an", "binh"):
        own.user(name, "admin")
    with own.client(own.log_in("an")) as one, own.client(own.log_in("binh")) as other:
        bury("web", b"{seen")
        (seen,) = one.get("/api/v1/dead-letters").json()["reasons"]
        bury("web", b"{later")
        which = {"source": "web", "stage": "store", "reason": "not_an_event", "until": seen["last"]}
        path = "/api/v1/dead-letters/drop"
        assert one.post(path, json={"source": "web"}).status_code == 422  # not without saying what was seen
        with own.client(own.token("drops", "admin")) as program:
            assert program.post(path, json=which).status_code == 400  # a token is nobody
        for _ in range(2):
            assert one.post(path, json=which).json() == {"dropped": 0, "waits": True}
        (row,) = other.get("/api/v1/dead-letters").json()["reasons"]
        assert (row["wish"]["who"], row["wish"]["until"]) == ("an", seen["last"])
        assert other.post(path, json={**which, "until": time.time()}).json() == {"dropped": 1, "waits": False}
        assert [each["line"] for each in deadletters.listed(own.engine)] == [b"{later"]
    with own.engine.connect() as connection:
        noted = connection.scalars(select(audit.c.detail).where(audit.c.action == "dead_letters_dropped")).all()
    assert noted == [{**which, "letters": 1, "asked_by": "an"}]

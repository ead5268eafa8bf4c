"""Data views: who may see one source or unit learns nothing of the others, on no route, by no count."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sites import NOW, PASSWORD, Site, index, serving
from sqlalchemy import Engine

from pipeline import access
from pipeline.event import Event, event_id, format_time, to_micros
from pipeline.identity import rights, users
from pipeline.identity.views import Sight, View, checked, read, sight
from pipeline.ledger import IN, Tally
from pipeline.queue import grouping
from pipeline.settings import Settings
from pipeline.state.tables import alerts, assets, c2_contacts

_SECRET = "bi-mat"


def _event(number: int) -> Event:
    """Even ones are of the VPN in unit A, odd ones of the mail in unit B; the latter have a word that A must not learn."""
    hidden = number % 2
    text = f"{_SECRET if hidden else 'thuong'} lần {number}"
    return {
        "@timestamp": format_time(NOW - timedelta(minutes=number)), "event.id": event_id("view", number),
        "event.kind": "event", "event.dataset": "test", "event.original": text, "message": text,
        "host.name": _SECRET if hidden else "may-a", "user.name": "an",
        "labels.source": "mail" if hidden else "vpn", "organization.id": "so-b" if hidden else "so-a",
    }  # fmt: skip


def _alert(number: int, evidence: list[Event]) -> Event:
    first = evidence[0]
    same = {name: first[name] for name in ("labels.source", "organization.id", "host.name")
            if all(each[name] == first[name] for each in evidence)}  # fmt: skip
    return {
        "@timestamp": first["@timestamp"], "event.id": event_id("view alert", number), "event.kind": "alert",
        "rule.id": f"rule-{number}", "rule.name": "Rule", "rule.level": "high", "alert.status": "new",
        "alert.count": len(evidence), "alert.matches": [{"selection": "s", "field": "message", "value": _SECRET}],
        "alert.evidence": evidence, **same,
    }  # fmt: skip


def _filled(settings: Settings, engine: Engine) -> list[Event]:
    events = [_event(number) for number in range(20)]
    raised = [_alert(0, [events[0]]), _alert(1, [events[1]]), _alert(2, events[:2])]
    # an alert of unit A whose evidence is partly B's, as one that names its unit by hand
    raised.append({**_alert(3, events[:2]), "labels.source": "vpn", "organization.id": "so-a"})
    index(settings, engine, events, raised)
    rows = [
        {"id": each["event.id"], "time": to_micros(each["@timestamp"]), "created": time.time(),
         "rule_id": each["rule.id"], "rule_name": "Rule", "level": "high", "source": "x", "document": each}
        for each in raised
    ]  # fmt: skip
    contact = {
        "time": to_micros(events[0]["@timestamp"]), "source": "10.0.0.1", "destination": "203.0.113.9", "host": "",
        "target": "c2.example", "family": "f", "rule_id": "r", "count": 1, "blocked": False, "lookup": False,
    }  # fmt: skip
    said = {"kind": "server", "label": "", "owner": "", "note": "", "who": "x", "time": 1.0}
    tally = Tally()
    tally.add("vpn", IN, 10)
    tally.add("mail", IN, 10)
    with engine.begin() as connection:
        connection.execute(alerts.insert(), rows)
        connection.execute(c2_contacts.insert(), [
            {**contact, "alert": raised[0]["event.id"], "unit": "so-a"},
            {**contact, "alert": raised[1]["event.id"], "unit": "so-b", "source": "10.0.0.2"},
        ])  # fmt: skip
        connection.execute(assets.insert(), [
            {**said, "key": "ip:10.0.1.1", "unit": "so-a"}, {**said, "key": "ip:10.0.1.2", "unit": "so-b"},
        ])  # fmt: skip
        tally.save(connection, "collectors")
    grouping.catch_up(engine, 24)
    return events


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of two units."""
    with serving(tmp_path_factory.mktemp("split"), _filled) as made:
        yield made


@dataclass(frozen=True)
class Seen:
    """What a client sees of everything."""

    client: httpx.Client

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(f"/api/v1{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.client.post(f"/api/v1{path}", json=body)


VIEWS = {"source": {"sources": ["vpn"]}, "unit": {"units": ["so-a"]}, "both": {"sources": ["vpn"], "units": ["so-a"]}}


@pytest.fixture(params=[*VIEWS, "role", "group", "user"])
def limited(split: Site, request: pytest.FixtureRequest) -> Iterator[Seen]:
    """Somebody who may see the one unit, by their token, role, group or account."""
    name = f"{request.param}-{time.time_ns()}"
    short = f"v{abs(hash(name)) % 10**12}"
    with split.engine.begin() as connection:
        if request.param in VIEWS:
            secret = access.create_token(connection, name, access.API, "analyst", VIEWS[request.param])
        elif request.param == "role":
            rights.set_role(
                connection,
                short,
                ["events.read", "events.export", "alerts.read", "alerts.change", "site.read", "devices.read"],
                VIEWS["unit"],
            )
            secret = access.create_token(connection, name, access.API, short)
        else:
            users.create_user(connection, name, "analyst", PASSWORD)
            if request.param == "user":
                rights.set_view(connection, name, VIEWS["unit"])
            else:
                rights.set_group(connection, short, [], VIEWS["unit"])
                rights.join(connection, name, [short])
    if request.param in ("user", "group"):
        with split.client() as client:
            secret = client.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()["token"]
    with split.client(secret) as client:
        yield Seen(client)


def test_searches_and_counts_show_the_view_alone(split: Site, limited: Seen) -> None:
    found = limited.get("/search/events", size=100)
    assert found["hits"]["total"]["value"] == 10
    assert {hit["_source"]["organization.id"] for hit in found["hits"]["hits"]} == {"so-a"}
    for text in (
        _SECRET,
        f'message:"{_SECRET}"',
        f"host.name:{_SECRET}",
        "NOT user.name:khac AND organization.id:so-b",
        "*:* OR organization.id:so-b",
    ):
        told = limited.get("/search/events", q=text)
        assert all(hit["_source"]["organization.id"] == "so-a" for hit in told["hits"]["hits"]), text
    body = {
        "query": {"bool": {"should": [{"term": {"organization.id": "so-b"}}, {"match_all": {}}]}}, "size": 0,
        "aggs": {"hosts": {"terms": {"field": "host.name"}}, "units": {"cardinality": {"field": "organization.id"}}},
    }  # fmt: skip
    told = limited.post("/search/events", body).json()
    assert told["hits"]["total"]["value"] == 10
    assert [bucket["key"] for bucket in told["aggregations"]["hosts"]["buckets"]] == ["may-a"]
    assert told["aggregations"]["units"]["value"] == 1
    of_alerts = limited.get("/search/alerts", size=100)
    assert {hit["_source"]["event.id"] for hit in of_alerts["hits"]["hits"]} == {
        event_id("view alert", n) for n in (0, 3)
    }
    newest = limited.post("/search/alerts", {"size": 0, "aggs": {"newest": {"top_hits": {"size": 10}}}}).json()
    exported = limited.client.get("/api/v1/export/alerts", params={"format": "ndjson"})
    for shown in (
        [hit["_source"] for hit in of_alerts["hits"]["hits"]],
        [hit["_source"] for hit in newest["aggregations"]["newest"]["hits"]["hits"]],
        [json.loads(line) for line in exported.text.splitlines()],
    ):
        assert [alert["alert.hidden"] for alert in shown if "alert.hidden" in alert] == [1]
        evidence = [event for alert in shown for event in alert["alert.evidence"]]
        assert {event["organization.id"] for event in evidence} == {"so-a"}


def test_one_event_of_elsewhere_is_not_there(split: Site, limited: Seen) -> None:
    assert limited.get(f"/events/{split.events[0]['event.id']}")["organization.id"] == "so-a"
    hidden, missing = (limited.client.get(f"/api/v1/events/{each}") for each in (split.events[1]["event.id"], "x" * 24))
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert hidden.text.replace(split.events[1]["event.id"], "") == missing.text.replace("x" * 24, "")


def test_alerts_of_elsewhere_are_not_there_nor_counted(limited: Seen) -> None:
    found = limited.get("/alerts")
    assert (found["total"], found["levels"], found["statuses"]) == (2, {"high": 2}, {"new": 2})
    for number in (1, 2):
        assert limited.client.get(f"/api/v1/alerts/{event_id('view alert', number)}").status_code == 404
    partly = limited.get(f"/alerts/{event_id('view alert', 3)}")
    assert [each["organization.id"] for each in partly["alert.evidence"]] == ["so-a"]
    assert (partly["alert.matches"], partly["alert.hidden"]) == ([], 1)
    assert _SECRET not in str(partly)


def test_groups_of_elsewhere_are_not_there_nor_counted_and_risk_is_not_told(split: Site, limited: Seen) -> None:
    told = limited.get("/alerts/groups", status="all")
    assert (told["total"], told["levels"], sum(told["statuses"].values())) == (2, {"high": 2}, 2)
    assert {group["risk"] for group in told["groups"]} == {None}
    assert _SECRET not in str(told)
    with split.client(split.token(f"groups-{time.time_ns()}", "viewer")) as client:
        everything = client.get("/api/v1/alerts/groups", params={"status": "all"}).json()
        assert everything["total"] == 4
    hidden = {group["id"] for group in everything["groups"]} - {group["id"] for group in told["groups"]}
    for identifier in hidden:
        assert limited.client.get(f"/api/v1/alerts/groups/{identifier}").status_code == 404
        assert limited.post("/alerts/changes", {"status": "acknowledged", "ids": [identifier]}).status_code == 404
    one = limited.get(f"/alerts/groups/{told['groups'][0]['id']}")
    assert ("risk" in one, one["risk"]) == (True, None)
    for path in ("/alerts/entities", "/alerts/budget", "/cases"):
        assert limited.client.get(f"/api/v1{path}").status_code == 403
    assert "queue" not in limited.get("/health")


def test_alerts_of_elsewhere_cannot_be_changed(split: Site, limited: Seen) -> None:
    hidden = event_id("view alert", 1)
    refused = limited.post("/alerts/changes", {"status": "acknowledged", "ids": [hidden]})
    assert refused.status_code == 404
    limited.post("/alerts/changes", {"status": "acknowledged", "fits": {"status": "all"}})
    with split.client(split.token(f"all-{time.time_ns()}", "viewer")) as client:
        assert client.get(f"/api/v1/alerts/{hidden}").json()["alert.status"] == "new"
        assert client.get(f"/api/v1/alerts/{event_id('view alert', 0)}").json()["alert.status"] == "acknowledged"
    limited.post("/alerts/changes", {"status": "new", "fits": {"status": "all"}})


def test_devices_and_contacts_of_elsewhere_are_not_there(limited: Seen, request: pytest.FixtureRequest) -> None:
    by_source = "sources" in VIEWS.get(request.node.callspec.params["limited"], {})
    known = limited.get("/devices")
    assert [each["unit"] for each in known["devices"]] == ([] if by_source else ["so-a"])
    assert known["kinds"] == ({} if by_source else {"server": 1})
    assert limited.client.get("/api/v1/devices/one", params={"id": "10.0.1.2"}).status_code == 404
    contacts = limited.get("/c2", by="unit", limit=10)
    assert [group["group"] for group in contacts["groups"]] == ["so-a"]
    assert (contacts["all"]["contacts"], len(contacts["contacts"])) == (1, 1)


def test_sources_of_elsewhere_are_not_counted(limited: Seen, request: pytest.FixtureRequest) -> None:
    by_source_alone = request.node.callspec.params["limited"] == "source"
    assert [row["source"] for row in limited.get("/sources")] == (["vpn"] if by_source_alone else [])
    assert limited.client.get("/api/v1/sources/mail/minutes").status_code == 404
    assert limited.client.get("/api/v1/metrics").status_code == 403
    assert limited.get("/me")["limited"] is True


def test_what_cannot_be_narrowed_is_refused(limited: Seen) -> None:
    hidden = event_id("view alert", 1)
    for path in (f"/alerts/{hidden}/packets", "/alerts/suppressions", "/indicators/searches"):
        assert limited.client.get(f"/api/v1{path}").status_code == 403, path


def test_an_index_that_is_not_in_view_is_empty(split: Site) -> None:
    with split.engine.begin() as connection:
        secret = access.create_token(connection, f"t{time.time_ns()}", access.API, "analyst", {"indices": ["alerts"]})
    with split.client(secret) as client:
        assert client.get("/api/v1/search/events").json()["hits"]["total"]["value"] == 0
        assert client.get("/api/v1/search/alerts").json()["hits"]["total"]["value"] == 4
        assert client.get(f"/api/v1/alerts/{event_id('view alert', 0)}").json()["alert.evidence"] == []


def test_nobody_finds_an_alert_by_evidence_that_they_do_not_see(split: Site) -> None:
    with split.engine.begin() as connection:
        secret = access.create_token(connection, f"t{time.time_ns()}", access.API, "analyst", {"indices": ["alerts"]})
    asked = (
        "alert.matches.value:*",
        "NOT alert.matches.value:x",
        "_exists_:alert.matches",
        "alert.matches.field:message",
    )
    terms = {"terms": {"field": "alert.matches.value"}}
    bodies = (
        {"aggs": {"a": terms}},
        {"aggs": {"a": {"filter": {"query_string": {"query": "alert\\.matches.value:x"}}}}},
        {"aggs": {"a": {"filters": {"filters": {"b": {"term": {"alert.matches.value": "x"}}}}}}},
        {"sort": [{"alert.matches.value": "asc"}]},
    )
    with split.client(secret) as client:
        for text in asked:
            for path in ("search/alerts", "export/alerts"):
                assert client.get(f"/api/v1/{path}", params={"q": text}).status_code == 400, (path, text)
        for body in bodies:
            answer = client.post("/api/v1/search/alerts", json=body)
            assert (answer.status_code, "not in your data view" in answer.text) == (400, True), body
            assert client.post("/es/alerts/_search", json=body).status_code == 400
        shown = client.get("/api/v1/alerts", params={"status": "all"}).json()["alerts"]
        assert len(shown) == 4
        assert all(alert["alert.matches"] == [] for alert in shown)
        for group in client.get("/api/v1/alerts/groups", params={"status": "all"}).json()["groups"]:
            whole = client.get(f"/api/v1/alerts/groups/{group['id']}").json()
            assert all(alert["alert.matches"] == [] for alert in whole["alerts"])
    with split.client(split.token(f"all-{time.time_ns()}", "viewer")) as client:  # who sees everything may
        assert client.post("/api/v1/search/alerts", json=bodies[0]).json()["aggregations"]["a"]["buckets"]


def test_every_search_and_look_is_in_the_audit(split: Site) -> None:
    name = f"seen-{time.time_ns()}"
    with split.client(split.token(name, "analyst")) as client:
        client.get("/api/v1/search/events", params={"q": "user.name:an"})
        client.get(f"/api/v1/events/{split.events[0]['event.id']}")
        client.get(f"/api/v1/alerts/{event_id('view alert', 0)}")
    with split.client(split.token(f"auditor-{name}", "auditor")) as client:
        rows = client.get("/api/v1/audit", params={"who": name}).json()["rows"]
        assert [row["action"] for row in rows] == ["alert_read", "event_read", "search"]
        assert rows[2]["detail"]["query"] == "user.name:an"
        assert "user.name:an" in rows[2]["detail"]["search"]
        assert client.get("/api/v1/audit/verify").json()["whole"] is True
        first = client.get("/api/v1/audit", params={"who": name, "limit": 2}).json()
        then = client.get("/api/v1/audit", params={"who": name, "limit": 2, "before": first["next"]}).json()
        assert [row["id"] for row in first["rows"] + then["rows"]] == [row["id"] for row in rows]
        by_place = client.get("/api/v1/audit", params={"who": name, "limit": 2, "offset": 1, "text": "R"}).json()
        assert ([row["id"] for row in by_place["rows"]], by_place["total"]) == ([row["id"] for row in rows[1:]], 3)
        found = client.get("/api/v1/audit", params={"who": name, "text": "USER.name:an"}).json()
        assert (found["total"], found["rows"]) == (1, rows[2:])
        assert client.get("/api/v1/audit", params={"who": name, "text": "%_"}).json()["total"] == 0
        assert client.get("/api/v1/search/events").status_code == 403


def test_the_audit_has_what_somebody_saw_and_not_what_a_screen_counted(split: Site) -> None:
    name = f"looked-{time.time_ns()}"
    query = {"bool": {"must": [{"query_string": {"query": "user.name:an"}}], "filter": [
        {"range": {"@timestamp": {"gte": "now-7d"}}}, {"bool": {"must_not": [{"query_string": {"query": "x:y"}}]}},
    ]}}  # fmt: skip
    when = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}}
    units = {"terms": {"field": "organization.id"}, "aggs": {"when": when}}
    in_all = [{"range": {"@timestamp": {"gte": "now-7d"}}}, {"term": {"organization.id": "so-a"}}]
    everything = {"bool": {"must": [{"query_string": {"query": "*"}}], "filter": in_all}}
    users = {"terms": {"field": "user.name"}}
    with split.client(split.token(name, "analyst")) as client:

        def ask(aggs: dict[str, object], of: object = query, **headers: str) -> None:
            body = {"query": of, "size": 0, "aggs": aggs}
            assert client.post("/api/v1/search/events", json=body, headers=headers).status_code == 200

        for of in (None, everything):
            ask({"when": when}, of)
            ask({"units": units}, of)
        ask({"when": when})  # a count of what somebody asks for tells of it
        ask({"units": {**units, "aggs": {"who": users}}})
        ask({"who": users}, **{"X-Haidang-By-Itself": "1"})
        ask({"one": {"top_hits": {"size": 1}}}, **{"X-Haidang-By-Itself": "1"})
    with split.client(split.token(f"auditor-{name}", "auditor")) as client:
        rows = client.get("/api/v1/audit", params={"who": name}).json()["rows"][::-1]
    assert [row["action"] for row in rows] == ["search", "search", "screen_search", "screen_search"]
    assert {name: rows[1]["detail"][name] for name in ("query", "from", "by")} == {
        "query": "user.name:an", "from": "now-7d", "by": "organization.id, user.name"
    }  # fmt: skip


def test_a_sight_is_all_of_ones_own_and_any_of_the_groups() -> None:
    a, b = {"units": ["a"]}, {"units": ["b"]}
    assert not sight([None, None], []).is_limited()
    assert not sight([None], [a, None]).is_limited()  # one group that sees everything
    both = sight([None], [a, b])
    assert [both.shows("events", "x", unit) for unit in ("a", "b", "c", None)] == [True, True, False, False]
    narrowed = sight([a, {"sources": ["x"]}], [a, b])
    assert narrowed.shows("events", "x", "a")
    assert not narrowed.shows("events", "y", "a")
    assert not narrowed.shows("events", "x", "b")
    assert not sight([{"units": []}], []).shows("events", "x", "a")
    assert read({"nonsense": 1}) == View(frozenset(), frozenset(), frozenset())  # unreadable shows nothing
    assert Sight().shows("events", None, None)
    assert checked({"units": ["b", "a", "a"], "sources": None}) == {"units": ["a", "b"]}

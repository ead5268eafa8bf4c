"""Rule routes over a socket: who may what, and that a change is there for the next who asks."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sites import Site, day, serving

NAME = "ssh_root_login_accepted"
RULE = """
title: Door forced
id: 11111111-2222-4333-8444-555555555555
description: A door was forced.
level: high
logsource: {product: door}
detection: {selection: {event.action: forced}, condition: selection}
"""
TESTS = "hits: [{event.dataset: door, event.action: forced}]\nmisses: [{event.dataset: door, event.action: opened}]\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("rules"), day) as made:
        yield made


@pytest.fixture
def client(served: Site) -> Iterator[httpx.Client]:
    with served.client(served.token(f"boss {time.time_ns()}", "administrator")) as made:
        yield made


def test_rules_are_listed_found_and_shown_whole(client: httpx.Client) -> None:
    answer = client.get("/api/v1/rules", params={"text": "root", "limit": 5}).json()
    assert 0 < len(answer["rules"]) <= 5 <= answer["total"]
    assert answer["counts"]["alert"] > 60
    assert answer["refused"] == []
    shown = client.get(f"/api/v1/rules/{NAME}").json()
    assert shown["mode"] == "alert"
    assert "logsource:" in shown["text"]
    assert shown["logsource"] == {"product": "linux", "service": "sshd"} and shown["fields"] == [
        {"name": "message", "keys": ["message"]}
    ]
    assert "hits:" in shown["tests"]
    assert client.get("/api/v1/rules/no such rule").status_code == 404
    packs = client.get("/api/v1/rules/packs").json()
    assert packs["packs"] == [] and packs["folders"][0]["rules"] > 60


def test_a_mode_and_an_exception_are_there_for_the_next_who_asks(served: Site, client: httpx.Client) -> None:
    changed = client.post("/api/v1/rules/mode", json={"rules": [NAME], "mode": "observe", "reason": "noisy"}).json()
    shown = client.get(f"/api/v1/rules/{NAME}").json()
    assert (shown["mode"], shown["set_by"]["reason"]) == ("observe", "noisy")
    made = client.post(
        "/api/v1/rules/exceptions", json={"rule": NAME, "where": {"source.ip": "192.0.2.7"}, "reason": "scanner"}
    ).json()
    assert client.get(f"/api/v1/rules/{NAME}").json()["exceptions"][0]["id"] == made["id"]
    assert client.get(f"/api/v1/rules/{NAME}").json()["fields"] == shown["fields"]  # source.ip is not looked for
    listed = client.get("/api/v1/rules/exceptions").json()
    assert [each["id"] for each in listed["exceptions"]] == [made["id"]]
    assert listed["titles"][shown["id"]]["title"] == shown["title"]
    assert client.delete(f"/api/v1/rules/exceptions/{made['id']}").status_code == 200
    history = client.get("/api/v1/rules/history").json()["revisions"]
    assert [each["action"] for each in history][:3] == ["unexcept", "except", "observe"]
    assert history[0]["who"].startswith("boss") and history[0]["address"] == "127.0.0.1"
    with served.client(served.token(f"looks {time.time_ns()}", "analyst")) as analyst:
        looked = analyst.post("/api/v1/rules/roll-back/preview", json={"revision": 0}).json()
    assert [(each["title"], each["before"], each["after"]) for each in looked["modes"]] == [
        (shown["title"], "observe", "alert")
    ]
    assert (looked["to"], looked["counts"]["modes"], looked["stops"], looked["nothing_new"]) == (0, 1, [], False)
    assert client.get(f"/api/v1/rules/{NAME}").json()["mode"] == "observe"
    rolled = client.post("/api/v1/rules/roll-back", json={"revision": 0}).json()
    assert rolled == {**looked, "revision": changed["revision"] + 3}
    assert client.post("/api/v1/rules/roll-back", json={"revision": 0}).json()["revision"] is None
    assert client.get(f"/api/v1/rules/{NAME}").json()["mode"] == "alert"
    assert client.post("/api/v1/rules/roll-back", json={"revision": 9999}).status_code == 404


def test_own_rules_are_checked_tried_added_and_removed(client: httpx.Client) -> None:
    broken = {"files": {"door.yml": RULE, "door.test.yml": TESTS.replace("opened", "forced")}}
    answer = client.post("/api/v1/rules", json=broken).json()
    assert answer["revision"] is None
    assert any(f["severity"] == "error" and "misses 1: it fires" in f["text"] for f in answer["findings"])
    good = {"files": {"door.yml": RULE, "door.test.yml": TESTS}}
    assert all(f["severity"] == "warning" for f in client.post("/api/v1/rules/check", json=good).json()["findings"])
    assert client.post("/api/v1/rules", json=good).json()["revision"]
    assert client.get("/api/v1/rules/Door forced").json()["pack"] == "own"
    assert client.delete(f"/api/v1/rules/{NAME}").status_code == 400  # not one of its own
    assert client.delete("/api/v1/rules/Door forced").status_code == 200
    assert client.get("/api/v1/rules/Door forced").status_code == 404
    assert client.post("/api/v1/rules", json={"files": {"../door.yml": RULE}}).status_code == 400


def test_what_is_wrong_with_a_rule_is_told_in_the_language_of_who_asks(client: httpx.Client) -> None:
    def told(files: dict[str, str], language: str) -> str:
        answer = client.post("/api/v1/rules/check", json={"files": files}, headers={"Accept-Language": language})
        return "\n".join(each["text"] for each in answer.json()["findings"])

    refused = {"door.yml": RULE.replace("condition: selection", "condition: selektion")}
    assert "names the selection 'selektion', which the rule does not have" in told(refused, "en")
    assert "nhắc đến selection 'selektion' mà luật không có" in told(refused, "vi")
    doubtful = {"door.yml": RULE, "door.test.yml": TESTS.replace("opened", "forced")}
    vietnamese = told(doubtful, "vi")
    assert "misses 1: lẽ ra không báo mà lại báo" in vietnamese
    assert "luật không có kỹ thuật ATT&CK" in vietnamese
    draft = {"text": refused["door.yml"], "from": "now-1h", "to": "now"}
    answer = client.post("/api/v1/rules/backtest", json=draft, headers={"Accept-Language": "vi"})
    assert answer.status_code == 400
    assert "nhắc đến selection 'selektion' mà luật không có" in answer.json()["detail"]


def test_a_rule_is_explained_on_an_event_of_the_store(served: Site, client: httpx.Client) -> None:
    event = next(each for each in served.events if each.get("message"))
    answer = client.get(f"/api/v1/rules/{NAME}/explain/{event['event.id']}").json()
    assert answer["matches"] in (True, False)
    assert answer["selections"][0]["groups"][0][0]["expected"]
    assert client.get(f"/api/v1/rules/{NAME}/explain/nothing").status_code == 404


def test_rules_that_find_nothing_here_are_told(served: Site, client: httpx.Client) -> None:
    found = client.get("/api/v1/rules/coverage").json()
    assert found["days"] == 30 and sum(found["counts"].values()) > 60
    assert sum(each["rules"] for each in found["silent"]) == found["counts"]["silent"] > 0
    assert {"product": "linux", "service": "sshd"} not in [each["logsource"] for each in found["silent"]]
    blind = [each for each in found["rules"] if each["state"] == "blind"]
    assert len(blind) == found["counts"]["blind"] and all(each["missing"] for each in blind)
    one = client.get(f"/api/v1/rules/{NAME}/coverage").json()
    assert (one["state"], one["events"], one["missing"]) == ("seeing", len(served.events), [])
    assert client.get("/api/v1/rules/no such rule/coverage").status_code == 404
    assert client.get("/api/v1/rules/coverage", params={"days": 0}).status_code == 422


def test_a_rule_is_tried_on_stored_events(served: Site, client: httpx.Client) -> None:
    logged_in = sum(event.get("event.dataset") == "linux.auth" for event in served.events)
    made = client.get(f"/api/v1/rules/{NAME}/backtest", params={"time_zone": "Asia/Ho_Chi_Minh"}).json()
    assert made["rule.id"] and made["bounded"] is None
    assert made["events"] == made["examined"] == logged_in > 0
    bounded = client.get(f"/api/v1/rules/{NAME}/backtest", params={"from": "now-1d", "limit": 1}).json()
    assert (bounded["examined"], bounded["bounded"]) == (1, "events") and bounded["until"]
    assert client.get(f"/api/v1/rules/{NAME}/backtest", params={"from": "now+1d"}).json()["events"] == 0
    for parameters, status in (({"from": "yesteryear"}, 400), ({"time_zone": "../x"}, 422), ({"limit": 0}, 422)):
        assert client.get(f"/api/v1/rules/{NAME}/backtest", params=parameters).status_code == status
    assert client.get("/api/v1/rules/no such rule/backtest").status_code == 404
    with served.client(served.token(f"viewer {time.time_ns()}", "viewer")) as viewer:
        assert viewer.get(f"/api/v1/rules/{NAME}/backtest").status_code == 403


def test_a_rule_is_tried_on_stored_events_before_it_is_saved(client: httpx.Client) -> None:
    text = client.get(f"/api/v1/rules/{NAME}").json()["text"]
    wider = text.replace("Accepted ", "Đăng nhập").replace(" for root from ", "root")
    assert wider != text
    made = client.post("/api/v1/rules/backtest", json={"text": wider, "time_zone": "Asia/Ho_Chi_Minh"}).json()
    assert made["rule.name"] == "Direct SSH log-in as root" and 0 < made["alerts"] <= made["events"]
    assert sum(each["alerts"] for each in made["days"]) == made["alerts"]
    assert client.get(f"/api/v1/rules/{NAME}").json()["text"] == text
    for broken in ("title: x", "", "title: [", wider.replace("condition: selection", "condition: nothing")):
        answer = client.post("/api/v1/rules/backtest", json={"text": broken})
        assert answer.status_code == 400 and answer.json()["detail"], answer.text


@pytest.mark.parametrize(
    ("role", "path", "body", "status"),
    [
        ("viewer", "/api/v1/rules/mode", {"rules": [NAME], "mode": "off"}, 403),
        ("viewer", "/api/v1/rules/exceptions", {"rule": NAME, "where": {"a": "b"}, "reason": "x"}, 403),
        ("analyst", "/api/v1/rules", {"files": {"door.yml": RULE}}, 403),
        ("analyst", "/api/v1/rules/roll-back", {}, 403),
        ("analyst", "/api/v1/rules/exceptions", {"reason": "nothing to except"}, 422),
        ("analyst", "/api/v1/rules/exceptions", {"rule": NAME, "where": {"a|nope": "b"}, "reason": "x"}, 400),
        ("analyst", "/api/v1/rules/mode", {"rules": [NAME], "mode": "loud"}, 422),
    ],
)
def test_rights_and_requests_that_make_no_sense(
    served: Site, role: str, path: str, body: dict[str, object], status: int
) -> None:
    before = served.client(served.token(f"{role} {time.time_ns()}", role))
    with before as client:
        answer = client.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert (
            client.get("/api/v1/rules/history").json()["revisions"][:1]
            == client.get("/api/v1/rules/history", params={"limit": 1}).json()["revisions"]
        )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/{folder}/a.yml", "../../{folder}/a.yml", "x/../../../../{folder}/a.yml", "a.txt"]
)
@pytest.mark.parametrize("route", ["", "/check"])
def test_a_file_that_is_sent_names_no_place_of_this_machine(
    client: httpx.Client, tmp_path: Path, route: str, name: str
) -> None:
    named = name.replace("{folder}", str(tmp_path).lstrip("/"))
    answer = client.post(f"/api/v1/rules{route}", json={"files": {named: "title: x"}})
    assert answer.status_code == 400, answer.text
    assert list(tmp_path.iterdir()) == []

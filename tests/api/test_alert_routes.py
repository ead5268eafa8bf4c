"""The queue over HTTP: lists, filters, pages, and one alert with its evidence."""

import httpx
from sites import Site


def test_alerts_come_newest_first_without_their_evidence(viewer: httpx.Client) -> None:
    answer = viewer.get("/api/v1/alerts").json()
    assert answer["total"] == len(answer["alerts"]) == 10
    assert answer["levels"] == {"critical": 2, "high": 2, "medium": 2, "low": 2, "informational": 2}
    times = [alert["@timestamp"] for alert in answer["alerts"]]
    assert times == sorted(times, reverse=True)
    assert all("alert.evidence" not in alert and alert["alert.status"] == "new" for alert in answer["alerts"])


def test_pages_are_disjoint_and_whole(viewer: httpx.Client) -> None:
    pages = [viewer.get("/api/v1/alerts", params={"limit": 4, "offset": offset}).json() for offset in (0, 4, 8, 12)]
    assert [len(page["alerts"]) for page in pages] == [4, 4, 2, 0]
    assert {page["total"] for page in pages} == {10}
    assert len({alert["event.id"] for page in pages for alert in page["alerts"]}) == 10


def test_filters_by_level_rule_and_time(viewer: httpx.Client) -> None:
    def total(**parameters: str) -> int:
        return int(viewer.get("/api/v1/alerts", params=parameters).json()["total"])

    assert total(level="critical") == 2
    assert total(rule="rule-high") == total(rule="Rule of level high") == 2
    assert total(rule="nothing") == 0
    assert total(level="high", rule="rule-low") == 0
    assert total(**{"from": "now-30m"}) == 7
    assert total(to="now-30m") == 3
    assert total(**{"from": "now-30m", "level": "high"}) == 2
    counted = viewer.get("/api/v1/alerts", params={"level": "high", "limit": 0}).json()
    assert counted["alerts"] == []
    assert counted["levels"]["critical"] == 2


def test_one_alert_has_its_reasons_and_its_events(site: Site, viewer: httpx.Client) -> None:
    listed = viewer.get("/api/v1/alerts", params={"limit": 1}).json()["alerts"][0]
    alert = viewer.get(f"/api/v1/alerts/{listed['event.id']}").json()
    assert alert["alert.evidence"] == [site.events[0]]
    assert alert["alert.matches"][0]["field"] == "message"


def test_alerts_are_taken_and_judged_by_analysts(viewer: httpx.Client, both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, looking = both
    first, *others = [each["event.id"] for each in analyst.get("/api/v1/alerts").json()["alerts"]]
    take = {"status": "acknowledged", "ids": [first]}
    assert looking.post("/api/v1/alerts/changes", json=take).status_code == 403
    assert viewer.post("/api/v1/alerts/changes", json=take).status_code in (401, 403)
    assert analyst.post("/api/v1/alerts/changes", json=take).json() == {"changed": 1}
    one = analyst.get(f"/api/v1/alerts/{first}").json()
    assert (one["alert.status"], one["alert.owner"]) == ("acknowledged", "a")
    judge = {"status": "false_positive", "fits": {"status": "open"}}
    assert analyst.post("/api/v1/alerts/changes", json=judge).status_code == 400
    told = analyst.post("/api/v1/alerts/changes", json={**judge, "note": "a drill"}).json()
    assert told["changed"] == len(others) + 1
    listed = analyst.get("/api/v1/alerts", params={"status": "open"}).json()
    assert (listed["total"], listed["statuses"]) == (0, {"false_positive": len(others) + 1})
    for wrong in (
        {"status": "acknowledged"}, {**take, "fits": {}}, {**take, "status": "gone"}, {**take, "ids": []},
        {"status": "new", "fits": {"status": "gone"}}, {"status": "new", "fits": {"from": "gestern"}},
    ):  # fmt: skip
        assert analyst.post("/api/v1/alerts/changes", json=wrong).status_code in (400, 422), wrong
    assert analyst.post("/api/v1/alerts/changes", json={**take, "ids": ["nowhere"]}).status_code == 404
    assert analyst.get("/api/v1/alerts", params={"status": "gone"}).status_code == 400


def test_all_alerts_of_the_groups_that_fit_are_judged(both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, looking = both
    level = {"level": "high", "entity": "host:may-1"}
    before = analyst.get("/api/v1/alerts/groups", params=level).json()
    assert before["total"] > 0
    judge = {"status": "true_positive", "note": "seen", "groups_fit": level}
    assert looking.post("/api/v1/alerts/changes", json=judge).status_code == 403
    changed = analyst.post("/api/v1/alerts/changes", json=judge).json()["changed"]
    assert changed == sum(each["count"] for each in before["groups"])
    assert analyst.get("/api/v1/alerts/groups", params=level).json()["total"] == 0
    mine = {"status": "new", "groups_fit": {"status": "true_positive", "owner": "a"}}
    assert analyst.post("/api/v1/alerts/changes", json=mine).json()["changed"] == changed
    for wrong in ({**judge, "fits": {}}, {**judge, "groups_fit": {"entity": "planet:mars"}}):
        assert analyst.post("/api/v1/alerts/changes", json=wrong).status_code in (400, 404, 422), wrong


def test_suppressions_are_made_listed_and_ended(both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, looking = both
    wanted = {"rule": "behaviour.*", "where": {"source.ip": "10.0.0.5"}, "reason": "a scanner", "days": 30}
    assert looking.post("/api/v1/alerts/suppressions", json=wanted).status_code == 403
    made = analyst.post("/api/v1/alerts/suppressions", json=wanted)
    assert made.status_code == 201
    (told,) = looking.get("/api/v1/alerts/suppressions").json()["suppressions"]
    assert (told["id"], told["who"], told["count"], told["holds"]) == (made.json()["id"], "a", 0, True)
    for wrong in ({**wanted, "where": {}}, {**wanted, "days": 0}, {**wanted, "reason": ""}, {"rule": "r"}):
        assert analyst.post("/api/v1/alerts/suppressions", json=wrong).status_code in (400, 422), wrong
    place = f"/api/v1/alerts/suppressions/{told['id']}"
    assert looking.delete(place).status_code == 403
    assert analyst.delete(place).status_code == 204
    assert analyst.delete(place).status_code == 404


def test_the_queue_has_groups_with_their_alerts_history_and_risk(both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, looking = both
    told = looking.get("/api/v1/alerts/groups").json()
    listed = looking.get("/api/v1/alerts", params={"limit": 100}).json()["alerts"]
    assert told["total"] == len(told["groups"]) == sum(told["statuses"].values()) == sum(told["levels"].values())
    assert sum(group["count"] for group in told["groups"]) == len(listed) == 10
    risks = [group["risk"] for group in told["groups"]]
    assert risks == sorted(risks, reverse=True)
    assert risks[0] > 0
    first = told["groups"][0]
    one = looking.get(f"/api/v1/alerts/groups/{first['id']}").json()
    assert {each["alert.group"] for each in one["alerts"]} == {first["id"]}
    assert one["risk"]["risk"] == first["risk"]
    assert [each["action"] for each in one["history"]] == ["opened"]
    assert all("alert.evidence" not in each for each in one["alerts"])
    judged = {"status": "false_positive", "note": "a drill", "ids": [first["id"]]}
    assert analyst.post("/api/v1/alerts/changes", json=judged).json() == {"changed": first["count"]}
    one = looking.get(f"/api/v1/alerts/groups/{first['id']}").json()
    assert (one["status"], one["owner"], one["note"]) == ("false_positive", "a", "a drill")
    assert (one["history"][0]["who"], one["history"][0]["from"]) == ("a", "127.0.0.1")
    assert looking.get("/api/v1/alerts/groups").json()["total"] == told["total"] - 1
    everything = {"status": "all", "sort": "last"}
    pages = [
        looking.get("/api/v1/alerts/groups", params={**everything, "limit": 2, "offset": n}).json()
        for n in range(0, 20, 2)
    ]
    seen = [group["id"] for page in pages for group in page["groups"]]
    assert len(seen) == len(set(seen)) == told["total"]
    for name, value in (("entity", first["entity"]), ("rule", first["rule.id"]), ("owner", "a")):
        found = looking.get("/api/v1/alerts/groups", params={**everything, name: value}).json()
        assert first["id"] in {group["id"] for group in found["groups"]}
        assert found["total"] == len(found["groups"]) < told["total"]
    assert looking.get("/api/v1/alerts/groups/nowhere").status_code == 404
    assert looking.get("/api/v1/alerts/groups", params={"sort": "colour"}).status_code == 422
    assert looking.get("/api/v1/alerts/groups", params={"status": "gone"}).status_code == 400


def test_budget_and_entities(both: tuple[httpx.Client, httpx.Client]) -> None:
    _, looking = both
    told = looking.get("/api/v1/alerts/budget").json()
    came = looking.get("/api/v1/alerts/groups", params={"status": "all"}).json()["total"]
    assert (told["came"], told["past"], told["budget"]) == (came, 0, 40)
    assert sum(each["came"] for each in told["rules"]) == came
    assert looking.get("/api/v1/alerts/budget", params={"day": "2020-01-01"}).json()["came"] == 0
    for wrong in ("0001-01-01", "9999-12-31", "gestern"):
        assert looking.get("/api/v1/alerts/budget", params={"day": wrong}).status_code == 422, wrong
    found = looking.get("/api/v1/alerts/entities").json()["entities"]
    assert found[0]["risk"] >= found[-1]["risk"] > 0
    assert {part["rule"] for part in found[0]["parts"]} <= {
        f"rule-{name}" for name in ("critical", "high", "medium", "low", "informational")
    }

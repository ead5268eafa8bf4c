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

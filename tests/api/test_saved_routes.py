"""Saved things and preferences over HTTP: kept, shared, changed by two at once, brought back; what is no body is told."""

from typing import Any

import httpx
from sites import Site

_SEARCH = {
    "kind": "search",
    "name": "Đăng nhập hỏng",
    "body": {"query": "event.outcome:failure", "columns": ["host.name"]},
}


def _made(client: httpx.Client, **thing: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/saved", json={**_SEARCH, **thing})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_thing_is_kept_shared_changed_and_removed(both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, viewer = both
    made = _made(analyst, shared="everyone")
    assert made == {
        **_SEARCH, "id": made["id"], "description": "", "owner": "a", "shared": "everyone", "revision": 1,
        "created": made["created"], "changed": made["created"], "changed_by": "a", "ready": False,
    }  # fmt: skip
    path = f"/api/v1/saved/{made['id']}"
    assert viewer.get(path).json() == made
    assert viewer.get("/api/v1/saved", params={"kind": "search"}).json() == {"saved": [made]}
    changed = {name: made[name] for name in ("name", "description", "body", "revision")}
    assert viewer.put(path, json=changed).status_code == 403
    assert analyst.put(path, json={**changed, "shared": "private"}).json()["revision"] == 2
    assert viewer.get(path).status_code == 404
    late = analyst.put(path, json=changed)
    assert (late.status_code, "revision 2" in late.json()["detail"]) == (409, True)
    revisions = analyst.get(f"{path}/history").json()["revisions"]
    assert [(each["revision"], each["shared"]) for each in revisions] == [(2, "private"), (1, "everyone")]
    assert viewer.delete(path).status_code == 404
    assert analyst.delete(path).status_code == 204
    assert analyst.get(path).status_code == 404


def test_a_dashboard_goes_out_and_comes_in_and_lists_are_short(both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, _ = both
    ready = analyst.get("/api/v1/saved/ready-overview").json()
    assert (ready["ready"], ready["name"], ready["kind"]) == (True, "Overview", "dashboard")
    shown = analyst.get("/api/v1/saved/ready-overview", headers={"Accept-Language": "vi"}).json()
    assert shown["name"] == "Tổng quan"
    copied = _made(analyst, kind="dashboard", name="Của tôi", body=ready["body"])
    assert copied["body"] == ready["body"]
    listed = {each["id"]: each for each in analyst.get("/api/v1/saved", params={"kind": "dashboard"}).json()["saved"]}
    assert {copied["id"], "ready-overview"} <= set(listed)
    assert not any("body" in each for each in listed.values())
    change = {"name": "x", "body": ready["body"], "revision": 1}
    assert analyst.put("/api/v1/saved/ready-overview", json=change).status_code == 403
    assert analyst.delete("/api/v1/saved/ready-overview").status_code == 403
    bad = analyst.post("/api/v1/saved", json={**_SEARCH, "kind": "dashboard", "body": {"version": 1, "panels": [{}]}})
    assert (bad.status_code, "body.panels.0.id is missing." in bad.json()["detail"]) == (422, True)


def test_a_map_may_be_longer_than_other_bodies(both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, _ = both
    line = {"type": "LineString", "coordinates": [[105.123456789, 21.123456789]] * 45_000}
    features = [{"type": "Feature", "properties": {"tên": "Sông Hồng"}, "geometry": line}]
    made = _made(analyst, kind="map", body={"type": "FeatureCollection", "features": features})
    change = {"name": "Sông", "body": made["body"], "revision": 1}
    assert analyst.put(f"/api/v1/saved/{made['id']}", json=change).status_code == 200
    features[0]["properties"] = {"x": "x" * 900_000}
    refused = analyst.post(
        "/api/v1/saved", json={**_SEARCH, "kind": "map", "body": {"type": "FeatureCollection", "features": features}}
    )
    assert refused.status_code == 413
    assert analyst.post("/api/v1/saved", content=b"x" * 2_300_000).status_code == 413


def test_preferences_are_a_persons_own_and_bounded(own: Site) -> None:
    own.user("an")
    own.user("binh")
    an, binh = own.log_in("an"), own.log_in("binh")
    wanted = {"theme": "dark", "columns": {"hunt": ["@timestamp", "tên"]}}
    with own.client(an) as client:
        assert client.get("/api/v1/me/preferences").json() == {}
        assert client.put("/api/v1/me/preferences", json=wanted).status_code == 204
        assert client.put("/api/v1/me/preferences", json={"x": "x" * 64_000}).status_code == 413
        assert client.put("/api/v1/me/preferences", json=[1]).status_code == 422
        assert client.get("/api/v1/me/preferences").json() == wanted
    with own.client(binh) as client:
        assert client.get("/api/v1/me/preferences").json() == {}
    with own.client(own.token("t", "viewer")) as client:
        assert client.get("/api/v1/me/preferences").status_code == 400
        assert client.put("/api/v1/me/preferences", json={}).status_code == 400

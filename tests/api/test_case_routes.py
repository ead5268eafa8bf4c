"""Cases over HTTP: what analysts do with them, what others may not, what leaves."""

import hashlib
import io

import httpx
from sites import Site

from pipeline.cases import bundle

_OCTETS = {"Content-Type": "application/octet-stream"}


def test_a_case_is_opened_filled_and_closed(own: Site, both: tuple[httpx.Client, httpx.Client]) -> None:
    analyst, looking = both
    group = looking.get("/api/v1/alerts/groups").json()["groups"][0]
    made = analyst.post("/api/v1/cases", json={"alerts": [group["id"]], "tlp": "red"})
    assert made.status_code == 201
    place = f"/api/v1/cases/{made.json()['id']}"
    assert looking.get(f"/api/v1/alerts/groups/{group['id']}").json()["status"] == "escalated"
    assert looking.get(f"/api/v1/alerts/groups/{group['id']}").json()["case"] == made.json()["id"]
    (listed,) = looking.get("/api/v1/cases").json()["cases"]
    assert (listed["owner"], listed["tlp"], [each["clock"] for each in listed["clocks"]]) == (
        "a", "red", ["notice", "report"],
    )  # fmt: skip
    assert analyst.post(f"{place}/notes", json={"text": "*máy* <script>"}).status_code == 201
    event = own.events[0]["event.id"]
    assert analyst.post(f"{place}/events", json={"ids": [event]}).json() == {"added": 1}
    assert analyst.post(f"{place}/events", json={"ids": [event, "nowhere"]}).status_code == 404
    task = analyst.post(f"{place}/tasks", json={"title": "Gọi điện"}).json()["number"]
    assert analyst.put(f"{place}/tasks/{task}", json={"done": True, "owner": "v"}).status_code == 204
    seen = {"kind": "domain", "value": "evil.example"}
    number = analyst.post(f"{place}/observables", json=seen).json()["number"]
    assert analyst.post(f"{place}/observables", json=seen).json()["number"] == number
    content = b"MZ" * 1_000_000
    query = {"case": made.json()["id"], "name": "a\r\nb.exe"}
    sent = analyst.post("/api/v1/cases/files", params=query, content=content, headers=_OCTETS).json()
    assert sent["sha256"] == hashlib.sha256(content).hexdigest()
    back = analyst.get(f"{place}/files/{sent['number']}")
    assert (back.content, back.headers["content-type"]) == (content, "application/octet-stream")
    assert back.headers["content-disposition"].startswith("attachment")
    assert "b.exe.bin" in back.headers["content-disposition"]
    assert "\n" not in back.headers["content-disposition"]
    assert looking.get(f"{place}/files/{sent['number']}").status_code == 403
    assert analyst.delete(f"{place}/entries/{number}", params={"reason": "sai"}).status_code == 204
    assert analyst.delete(f"{place}/entries/{number}", params={"reason": "sai"}).status_code == 404
    assert analyst.patch(place, json={"level": "low", "owner": "chu"}).status_code == 400
    own.user("chu")
    assert analyst.patch(place, json={"level": "low", "notified": "now", "owner": "chu"}).status_code == 204
    told = looking.get(place).json()
    assert (told["level"], told["owner"], told["clocks"][0]["state"]) == ("low", "chu", "done")
    assert "<script" not in told["notes"][0]["html"]
    assert [each["done"] for each in told["tasks"]][-1] is True
    sent = analyst.get(f"{place}/bundle")
    manifest, digest = bundle.verify(io.BytesIO(sent.content))
    assert (manifest["by"], digest) == ("a", sent.headers["haidang-manifest"])
    ended = {"verdict": "true_positive", "summary": "Đã xử lý."}
    assert analyst.post(f"{place}/close", json=ended).status_code == 204
    assert analyst.post(f"{place}/close", json=ended).status_code == 409
    assert looking.get(f"/api/v1/alerts/groups/{group['id']}").json()["status"] == "true_positive"
    assert looking.get("/api/v1/cases").json() == {"total": 0, "statuses": {"closed": 1}, "cases": []}
    assert analyst.post(f"{place}/reopen", json={"reason": "tái diễn"}).status_code == 204


def test_who_may_only_look_changes_nothing_and_what_makes_no_sense_is_refused(
    both: tuple[httpx.Client, httpx.Client],
) -> None:
    analyst, looking = both
    case = analyst.post("/api/v1/cases", json={"title": "Sự cố"}).json()["id"]
    place = f"/api/v1/cases/{case}"
    requests = [
        ("POST", "/api/v1/cases", {"title": "x"}), ("PATCH", place, {"level": "low"}),
        ("POST", f"{place}/close", {"verdict": "true_positive", "summary": "x"}),
        ("POST", f"{place}/reopen", {"reason": "x"}), ("POST", f"{place}/alerts", {"ids": ["x"]}),
        ("POST", f"{place}/events", {"ids": ["x"]}), ("POST", f"{place}/notes", {"text": "x"}),
        ("POST", f"{place}/tasks", {"title": "x"}), ("PUT", f"{place}/tasks/1", {"done": True}),
        ("POST", f"{place}/observables", {"kind": "url", "value": "x"}),
        ("DELETE", f"{place}/entries/1?reason=x", None), ("GET", f"{place}/files/1", None),
        ("GET", f"{place}/bundle", None), ("POST", f"/api/v1/cases/files?case={case}&name=x", None),
    ]  # fmt: skip
    for method, path, body in requests:
        assert looking.request(method, path, json=body).status_code == 403, path
    for method, path, wrong, status in (
        ("POST", "/api/v1/cases", {}, 400), ("POST", "/api/v1/cases", {"title": "x", "tlp": "purple"}, 422),
        ("POST", "/api/v1/cases", {"title": "x\0"}, 422), ("POST", "/api/v1/cases", {"title": "x", "more": 1}, 422),
        ("POST", "/api/v1/cases", {"title": "x", "detected": "gestern"}, 400),
        ("POST", "/api/v1/cases", {"title": "x", "detected": "9999-12-31"}, 400),
        ("POST", "/api/v1/cases", {"alerts": ["nowhere"]}, 404), ("GET", "/api/v1/cases/999", None, 404),
        ("GET", "/api/v1/cases/0", None, 422), ("GET", "/api/v1/cases/99999999999", None, 422),
        ("PATCH", place, {}, 400), ("POST", f"{place}/notes", {"text": " "}, 400),
        ("POST", f"{place}/notes", {"text": "x" * 50_001}, 422), ("GET", f"{place}/files/1", None, 404),
        ("POST", f"{place}/reopen", {"reason": "x"}, 409), ("GET", "/api/v1/cases?status=gone", None, 422),
        ("POST", f"/api/v1/cases/files?case={case}&name=x", {}, 415),
    ):  # fmt: skip
        answer = analyst.request(method, path, json=wrong)
        assert answer.status_code == status, (path, wrong, answer.text)
        assert answer.json()["detail"]
    too_large = b"x" * 20_000_001
    query = {"case": case, "name": "x"}
    assert analyst.post("/api/v1/cases/files", params=query, content=too_large, headers=_OCTETS).status_code == 413

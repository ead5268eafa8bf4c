"""Sharing over HTTP: profiles, previews, approvals by different people, warnings by their signature, documents, systems."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sites import Site, serving
from sqlalchemy import Engine

from pipeline.event import Event
from pipeline.settings import Settings
from pipeline.state import open_state
from response import queue
from sharing import inbox
from sharing.drafting import build
from sharing.keys import make, opened, valid_certificate
from sharing.profile import Signing, named, shipped
from sharing.simulator import detached
from tests.sharing.conftest import c2_alert, edited
from tests.sharing.test_sharing_inbox import bundle


def _filled(settings: Settings, engine: Engine) -> list[Event]:
    folder = settings.data_dir / "sharing"
    make(folder / "signing.pem", folder / "signing.key", "Sở Nội vụ", "G10.22")
    make(folder / "warning.pem", folder / "warning.key", "Bộ", "G01")
    told = {
        "organ__id": "G10.22", "organ__name": "Sở Nội vụ", "approval__statistics": 2, "inbox__certificate": "warning.pem",
        "content__pseudonyms": [],
    }  # fmt: skip
    (folder / "bo.toml").write_text(edited(shipped()["cv2290"].read_text("utf-8"), told), "utf-8")
    report = edited(
        shipped()["incident-report"].read_text("utf-8"), {"organ__id": "G10.22", "organ__name": "Sở Nội vụ"}
    )
    (folder / "ung-cuu.toml").write_text(report, "utf-8")
    (folder / "hong.toml").write_text("title = 1\n")
    build(engine, settings, named(settings, "bo"))
    with engine.begin() as connection:
        queue.save(connection, [queue.row(c2_alert(number), "syslog") for number in (1, 2)])
    return []


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site with three profiles, one of them broken, and two contacts with a C2 server."""
    with serving(tmp_path / "site", _filled) as made:
        yield made


def client(own: Site, name: str, role: str = "admin") -> httpx.Client:
    own.user(name, role)
    return own.client(own.log_in(name))


def test_what_would_leave_is_seen_and_two_people_must_agree(own: Site) -> None:
    with client(own, "an", "lead") as an, client(own, "binh", "lead") as binh, client(own, "chi", "analyst") as chi:
        told = chi.get("/api/v1/sharing/profiles").json()
        assert [(each["profile"], each["state"]) for each in told["profiles"]] == [
            ("bo", "rehearsal"),
            ("ung-cuu", "rehearsal"),
        ]
        assert told["faults"][0]["profile"] == "hong" and len(told["faults"][0]["faults"]) > 1
        seen = chi.get("/api/v1/sharing/profiles/bo/preview").json()
        assert seen["leaves"] == {"connection": 2} and "PC-1" in seen["content"] and seen["looked"] == 2
        assert chi.get("/api/v1/sharing/profiles/nobody/preview").status_code == 404
        assert chi.get("/api/v1/sharing/profiles/hong/preview").status_code == 409
        (number,) = build(own.engine, own.settings, named(own.settings, "bo"))
        place = f"/api/v1/sharing/messages/{number}"
        assert chi.post(f"{place}/approve").status_code == 403
        assert an.post(f"{place}/approve").json() == {"status": "held"}
        assert an.post(f"{place}/approve").status_code == 409
        assert binh.post(f"{place}/approve").json() == {"status": "approved"}
        listed = chi.get("/api/v1/sharing/messages", params={"status": "approved"}).json()
        assert listed["total"] == 1 and listed["messages"][0]["needed"] == 2
        assert sorted(each["who"] for each in chi.get(place).json()["approvals"]) == ["an", "binh"]
        content = chi.get(f"{place}/content")
        assert content.headers["content-type"] == "application/xml" and b"AVReport" in content.content
        assert chi.get(f"{place}/content", params={"signed": True}).status_code == 409
        assert an.post(f"{place}/withdraw", json={"reason": "a rehearsal"}).json() == {"status": "withdrawn"}
        assert an.post(f"{place}/resend").status_code == 409
        assert chi.get("/api/v1/sharing/messages/99").status_code == 404


def test_a_profile_is_not_confirmed_while_something_stands_in_the_way(own: Site) -> None:
    with client(own, "an") as admin:
        looks = admin.post("/api/v1/sharing/profiles/bo/check").json()
        assert not looks["good"] and looks["looks"][0]["good"]
        answer = admin.post("/api/v1/sharing/profiles/bo/confirm")
        assert answer.status_code == 409 and "✗" in answer.json()["detail"]
        assert admin.post("/api/v1/sharing/profiles/bo/stop").json() == {"confirmed": False}


def test_a_warning_needs_its_signature_and_no_log_in(own: Site) -> None:
    folder, data = own.settings.data_dir / "sharing", bundle()
    signing = Signing(certificate=folder / "warning.pem", key=folder / "warning.key")
    with opened(signing, valid_certificate(folder / "warning.pem")) as key:
        good = detached(data, key, time.time(), "CB-7")
        late = detached(data, key, time.time() - 90 * 3600, "CB-8")
    with own.client() as nobody:
        place = "/api/v1/sharing/inbox/bo"
        for headers, said in (({}, "X-JWS-Signature"), ({"X-JWS-Signature": late}, "old")):
            answer = nobody.post(place, content=data, headers=headers)
            assert answer.status_code == 401 and said in answer.json()["detail"]
        told = set()  # of which profiles there are, who takes warnings, whose certificate it is, nobody learns
        for profile in ("bo", "ung-cuu", "nobody"):
            for forged in ("x", good[:-4] + "AAAA", *([] if profile == "bo" else [good])):
                other = f"/api/v1/sharing/inbox/{profile}"
                answer = nobody.post(other, content=data, headers={"X-JWS-Signature": forged})
                assert answer.status_code == 401
                told.add(answer.text)
        assert len(told) == 1 and "no such inbox" in told.pop()
        refused = inbox.refusals(open_state(own.settings.data_dir, own.settings.state))
        assert [(each["profile"], each["address"]) for each in refused] == [("bo", "127.0.0.1")]
        assert (
            nobody.post("/api/v1/sharing/inbox/nobody", content=data, headers={"X-JWS-Signature": good}).status_code
            == 401
        )
        assert (
            nobody.post("/api/v1/sharing/inbox/ung-cuu", content=data, headers={"X-JWS-Signature": good}).status_code
            == 401
        )
        assert nobody.post(place, content=data + b" ", headers={"X-JWS-Signature": good}).status_code == 401
        taken = nobody.post(place, content=data, headers={"X-JWS-Signature": good})
        again = nobody.post(place, content=data, headers={"X-JWS-Signature": good})
        assert (taken.status_code, again.json()) == (202, taken.json())
        assert nobody.post(place, content=b" " * 11_000_000, headers={"X-JWS-Signature": good}).status_code == 413
    with client(own, "an", "analyst") as an:
        received = an.get("/api/v1/sharing/received").json()
    (told,) = received["warnings"]
    assert (received["total"], told["feed"]) == (1, f"warning-{told['warning'][:12]}")
    assert (told["message"], told["way"], told["title"]) == ("CB-7", "https", "Chiến dịch AsyncRAT")


def test_a_notice_is_filled_in_set_and_put_down(own: Site) -> None:
    with client(own, "an", "lead") as an, client(own, "chi", "viewer") as chi:
        case = an.post("/api/v1/cases", json={"title": "AsyncRAT"}).json()["id"]
        place = f"/api/v1/cases/{case}/incident"
        told = chi.get(place).json()
        assert "impact" in told["missing"]["first"] and told["receivers"] == ["ung-cuu"]
        assert chi.put(place, json={"values": {"impact": "x"}}).status_code == 403
        assert an.put(place, json={"values": {"impact": "Ngừng 2 giờ"}}).json() == {"written": ["impact"]}
        assert an.put(place, json={"values": {"nothing": "x"}}).status_code == 400
        assert chi.get(f"{place}/first.pdf").content.startswith(b"%PDF")
        assert chi.get(f"{place}/report.docx").content.startswith(b"PK")
        assert chi.get(f"{place}/first.exe").status_code == 422
        number = an.post(f"{place}/submit", json={"profile": "ung-cuu", "document": "first"}).json()["message"]
        assert an.post(f"{place}/submit", json={"profile": "ung-cuu", "document": "first"}).status_code == 409
        assert an.post(f"{place}/submit", json={"profile": "bo", "document": "first"}).status_code == 400
        message = an.get(f"/api/v1/sharing/messages/{number}").json()
        assert (message["status"], message["kind"]) == ("held", "incident")
        content = an.get(f"/api/v1/sharing/messages/{number}/content")
        assert content.headers["content-type"] == "application/pdf"


def test_reports_are_made_and_systems_are_put_in(own: Site) -> None:
    with client(own, "an", "lead") as an, client(own, "chi", "viewer") as chi:
        assert chi.get("/api/v1/reports").status_code == 403
        made = an.post("/api/v1/reports", json={"kind": "weekly"}).json()["id"]
        days = {"kind": "daily", "first": "2020-11-01", "last": "2020-11-03"}
        assert an.post("/api/v1/reports", json=days).status_code == 201
        assert an.post("/api/v1/reports", json={"kind": "daily", "first": "2020-11-01"}).status_code == 400
        assert an.post("/api/v1/reports", json={**days, "last": "2020-10-01"}).status_code == 400
        to_come = {"kind": "daily", "first": "9000-01-01", "last": "9000-01-02"}
        assert an.post("/api/v1/reports", json=to_come).status_code == 400
        assert {each["kind"] for each in an.get("/api/v1/reports").json()["reports"]} == {"weekly", "daily"}
        assert an.get(f"/api/v1/reports/{made}").json()["alerts"]["total"] == 0
        assert an.get(f"/api/v1/reports/{made}/pdf").content.startswith(b"%PDF")
        assert an.get(f"/api/v1/reports/{made}/docx").content.startswith(b"PK")
        assert an.get("/api/v1/reports/none").status_code == 404
        text = "code,name,level,portal\nA,Portal,3,yes\nB,,3,no\n"
        dry = an.put("/api/v1/systems", json={"text": text, "dry_run": True}).json()
        assert (dry["systems"], len(dry["faults"])) == (1, 1) and an.get("/api/v1/systems").json()["systems"] == []
        assert an.put("/api/v1/systems", json={"text": text, "only": True}).status_code == 400
        put = an.put("/api/v1/systems", json={"text": text}).json()
        assert (put["systems"], put["not_heard"]) == (1, "")
        assert an.get("/api/v1/systems").json()["all"]["portals"] == 1
        assert an.get("/api/v1/systems/days").json() == {"days": []}
        assert an.delete("/api/v1/systems/A").json() == {"removed": True}
        assert an.delete("/api/v1/systems/A").status_code == 404

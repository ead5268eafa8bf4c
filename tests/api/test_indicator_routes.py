"""Indicator routes over a socket: who may what, what is refused with which words, and what is noted of it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sites import Site, day, serving
from sqlalchemy import select

from detectors.indicators import refreshing
from detectors.indicators.listed import Defaults
from pipeline.state.tables import audit

AT = "/api/v1/indicators"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("indicators"), day) as made:
        listed = tmp_path_factory.mktemp("lists") / "tor.txt"
        listed.write_text("45.9.148.0/24\nevil.example.com\n10.0.0.1\n", "utf-8")
        refreshing.import_file(made.engine, made.settings, Path(listed), "auto", Defaults("tor", "tor", 60), 30)
        yield made


@pytest.fixture
def analyst(served: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with served.client(served.token(f"analyst {request.node.name}", "analyst")) as made:
        yield made


@pytest.fixture
def viewer(served: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with served.client(served.token(f"viewer {request.node.name}", "viewer")) as made:
        yield made


def test_what_is_added_is_listed_looked_up_noted_and_removed(analyst: httpx.Client, served: Site) -> None:
    said = {"value": "hxxp://bad[.]example[.]net/a", "threat": "phishing", "confidence": 70, "tlp": "amber"}
    made = analyst.post(AT, json={"indicators": [said], "reason": "warning 7"}).json()
    assert [(each["kind"], each["value"]) for each in made["added"]] == [("url", "bad.example.net/a")]
    listed = analyst.get(AT, params={"text": "warning"}).json()
    assert listed["total"] == 1
    assert listed["indicators"][0]["who"].startswith("analyst") and listed["indicators"][0]["address"] == "127.0.0.1"
    found = analyst.get(f"{AT}/check", params={"value": "https://bad.example.net/a"}).json()
    assert [(each["feed"], each["threat"], each["tlp"]) for each in found["found"]] == [("live", "phishing", "amber")]
    assert analyst.get(f"{AT}/searches").json()["searches"][0]["id"] == made["search"]
    assert len(analyst.delete(AT, params={"value": "bad.example.net/a", "reason": "old"}).json()["removed"]) == 1
    assert analyst.get(AT).json()["total"] == 0
    with served.engine.connect() as connection:
        noted = connection.execute(select(audit.c.action, audit.c.detail).order_by(audit.c.id)).all()
    assert [action for action, _ in noted][-2:] == ["indicators_add", "indicators_remove"]
    assert noted[-2].detail == {"kind": "url", "value": "bad.example.net/a", "reason": "warning 7"}


def test_lists_are_shown_with_what_was_refused_and_looked_up(viewer: httpx.Client) -> None:
    (feed,) = viewer.get(f"{AT}/feeds").json()["feeds"]
    assert (feed["name"], feed["count"], feed["refused"]) == ("tor", 2, {"private": 1})
    assert viewer.get(f"{AT}/check", params={"value": "45.9.148.77"}).json()["found"][0]["feed"] == "tor"
    assert viewer.get(f"{AT}/check", params={"value": "www.evil.example.com"}).json()["found"]
    assert viewer.get(f"{AT}/check", params={"value": "8.8.8.8"}).json() == {
        "value": "8.8.8.8", "found": [], "allowed": True, "refused": None,
    }  # fmt: skip


def test_who_may_only_read_changes_nothing(viewer: httpx.Client, served: Site) -> None:
    body = {"indicators": [{"value": "45.9.148.3"}], "reason": "x"}
    assert viewer.post(AT, json=body).status_code == 403
    assert viewer.delete(AT, params={"value": "45.9.148.3"}).status_code == 403
    assert viewer.post(f"{AT}/feeds/tor/refresh").status_code == 403
    assert viewer.post(f"{AT}/searches", json={}).status_code == 403
    with served.client() as nobody:
        for path in ("", "/feeds", "/searches", "/check?value=a.vn"):
            assert nobody.get(f"{AT}{path}").status_code == 401


@pytest.mark.parametrize(
    ("indicator", "status", "words"),
    [
        ({"value": "10.0.0.1"}, 400, "private or reserved"),
        ({"value": "gov.vn"}, 400, "everybody registers names below it"),
        ({"value": "8.8.8.8"}, 400, "allow-list"),
        ({"value": "x" * 3000}, 422, "indicators.0.value"),
        ({"value": "a.example.com", "confidence": 101}, 422, "confidence"),
        ({"value": "a.example.com", "threat": "aliens"}, 422, "threat"),
        ({"value": "a.example.com", "expires": 1}, 400, "expired"),
        ({"value": "a.example.com", "colour": "red"}, 422, "colour"),
    ],
)
def test_one_that_is_refused_refuses_all_and_says_why(
    indicator: dict[str, object], status: int, words: str, analyst: httpx.Client
) -> None:
    good = {"value": "good.example.com"}
    done = analyst.post(AT, json={"indicators": [good, indicator], "reason": "x"})
    assert done.status_code == status, done.text
    assert words in done.json()["detail"] or "indicators.1" in done.json()["detail"]
    assert analyst.get(AT).json()["total"] == 0
    assert analyst.post(AT, json={"indicators": [good]}).status_code == 422  # no reason


def test_what_is_not_there_is_said(analyst: httpx.Client) -> None:
    assert analyst.delete(AT, params={"value": "never.example.com"}).status_code == 404
    assert analyst.post(f"{AT}/feeds/nothing/refresh").status_code == 404
    assert analyst.post(f"{AT}/searches", json={"values": ["never.example.com"]}).status_code == 404
    assert analyst.post(f"{AT}/feeds/tor/refresh").status_code == 409  # a file that was brought in once
    asked = analyst.post(f"{AT}/searches", json={"values": ["evil.example.com"], "days": 3})
    assert (asked.status_code, asked.json()["search"] > 0) == (200, True)

"""Exports over HTTP: whole, in order, narrowed to the view, no formula for a spreadsheet, and an end when nobody reads."""

import csv
import io
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sites import UGLY, Site, day, index, serving
from sqlalchemy import Engine, select

from api import export
from pipeline import access
from pipeline.event import Event
from pipeline.settings import Settings
from pipeline.state.tables import audit
from tests.conftest import eventually

#: What spreadsheets run, or ran (OWASP, CSV injection).
_FORMULAS = ("=cmd|' /C calc'!A0", "+1+2", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1", '=HYPERLINK("http://x")')


def _filled(settings: Settings, engine: Engine) -> list[Event]:
    events = day(settings, engine)
    made = [
        {**events[0], "event.id": f"{number:024}", "user.name": text, "message": "công thức", "labels.source": "vpn"}
        for number, text in enumerate(_FORMULAS)
    ]
    index(settings, engine, made)
    return [*events, *made]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with events that nobody should open in a spreadsheet; it is only read."""
    with serving(tmp_path_factory.mktemp("full"), _filled) as made:
        yield made


@pytest.fixture
def analyst(full: Site) -> Iterator[httpx.Client]:
    """Somebody who may export."""
    with full.client(full.token(f"exports-{time.time_ns()}", "analyst")) as client:
        yield client


def _get(client: httpx.Client, collection: str = "events", **asked: Any) -> httpx.Response:
    return client.get(f"/api/v1/export/{collection}", params=asked)


def _noted(site: Site, who: str) -> list[tuple[str, dict[str, Any]]]:
    with site.engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(audit).where(audit.c.who == who).order_by(audit.c.id)).all()
    return [(row.action, row.detail) for row in rows]


def test_lines_of_all_that_fits_leave_the_newest_first(full: Site, analyst: httpx.Client) -> None:
    answer = _get(analyst, format="ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-haidang-total"] == answer.headers["x-haidang-rows"] == str(len(full.events))
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert sorted(found, key=str) == sorted(full.events, key=str)
    times = [each["@timestamp"] for each in found]
    assert times == sorted(times, reverse=True)
    chosen = _get(analyst, format="ndjson", q="user.name:root", columns="user.name, none.such", limit=3)
    assert chosen.text == '{"user.name":"root"}\n' * 3
    assert (chosen.headers["x-haidang-total"], chosen.headers["x-haidang-rows"]) == ("40", "3")
    assert _get(analyst, format="ndjson", q="user.name:nobody").text == ""
    body = {"query": {"term": {"user.name": "root"}}}
    posted = analyst.post("/api/v1/export/events", params={"format": "ndjson"}, json=body)
    assert len(posted.text.splitlines()) == 40
    assert analyst.post("/api/v1/export/events", json={"query": {"nothing": {}}}).status_code == 400
    assert len(_get(analyst, "alerts", format="ndjson").text.splitlines()) == 10


def test_a_table_opens_in_a_spreadsheet_and_runs_nothing(full: Site, analyst: httpx.Client) -> None:
    answer = _get(analyst, q="labels.source:vpn", columns="@timestamp,user.name,message,=1+1")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert answer.headers["content-disposition"].startswith('attachment; filename="haidang-events-')
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["@timestamp", "user.name", "message", "'=1+1"]
    assert sorted(row[1] for row in rows[1:]) == sorted(f"'{text}" for text in _FORMULAS)
    assert {(row[2], row[3]) for row in rows[1:]} == {("công thức", "")}
    ugly = list(csv.reader(io.StringIO(_get(analyst).content.decode("utf-8-sig"), newline="")))
    assert len(ugly) == len(full.events) + 1
    message = ugly[0].index("message")
    assert set(UGLY) <= {row[message] for row in ugly}
    assert [export.plain(value) for value in (-5, 1.5, True, None, ["a", -1], {"a": 1}, "a\0b")] == [
        "-5", "1.5", "true", "", "a; -1", '{"a":1}', "a\ufffdb",
    ]  # fmt: skip


def test_too_many_rows_are_refused_before_the_first_unless_a_number_is_named(
    full: Site, analyst: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_ROWS", 100)
    refused = _get(analyst)
    assert (refused.status_code, f"{len(full.events)} rows fit" in refused.json()["detail"]) == (400, True)
    assert len(_get(analyst, format="ndjson", limit=100).text.splitlines()) == 100
    assert _get(analyst, q="user.name:root").status_code == 200


def test_a_fault_of_the_query_is_told_with_its_place(analyst: httpx.Client) -> None:
    refused = _get(analyst, q="a AND (b")
    assert (refused.status_code, refused.json()["position"]) == (400, 6)


def test_an_export_is_narrowed_and_in_the_audit_and_needs_the_permission(full: Site) -> None:
    name = f"narrow-{time.time_ns()}"
    with full.engine.begin() as connection:
        secret = access.create_token(connection, name, access.API, "analyst", {"sources": ["vpn"]})
    with full.client(secret) as client:
        found = [json.loads(line) for line in _get(client, format="ndjson", q="*:*").text.splitlines()]
        assert len(found) == len(_FORMULAS)
        assert {each["labels.source"] for each in found} == {"vpn"}
    asked = {"index": "events", "search": "*:*", "from": None, "to": None, "format": "ndjson", "columns": []}
    eventually(lambda: len(_noted(full, name)) == 2)
    assert _noted(full, name) == [
        ("export", {**asked, "total": len(found), "rows": len(found)}),
        ("export_done", {**asked, "rows": len(found), "whole": True}),
    ]
    with full.client(full.token(f"looks-{time.time_ns()}", "viewer")) as client:
        assert _get(client).status_code == 403


_MANY = 12_000


def _large(settings: Settings, engine: Engine) -> list[Event]:
    first = day(settings, engine)[0]
    text = "x" * 3000
    index(settings, engine, [{**first, "event.id": f"{number:024}", "error.message": text} for number in range(_MANY)])
    return []


def test_who_goes_away_stops_the_work_and_frees_the_place(tmp_path: Path) -> None:
    with serving(tmp_path / "large", _large) as site:
        secret = site.token("leaves", "analyst")
        with site.client(secret) as client, ExitStack() as held:

            def opened() -> ExitStack | None:
                with ExitStack() as stack:
                    path, asked = "/api/v1/export/events", {"format": "ndjson"}
                    answer = stack.enter_context(client.stream("GET", path, params=asked))
                    if answer.status_code == 429:  # of those that went away the places come free in a moment
                        return None
                    return stack.pop_all()

            for _ in range(export.OF_ONE):
                eventually(opened).close()
            for _ in range(export.OF_ONE):
                held.push(eventually(opened))
            assert client.get("/api/v1/export/events").status_code == 429
        ended = eventually(lambda: [row for row in _noted(site, "leaves") if row[0] == "export_done"][3:])
        assert all(not detail["whole"] and detail["rows"] < _MANY for _, detail in ended)
        with site.client(secret) as client:
            answer = client.get("/api/v1/export/events", params={"format": "ndjson", "columns": "event.id"})
            assert len(answer.text.splitlines()) == _MANY + 123

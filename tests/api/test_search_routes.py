"""Searches over HTTP: texts and bodies, faults with their position, and searches that take too long."""

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import NOW, Site

from api.searching import AT_ONCE, Searching
from pipeline.messages import language, say, speaking


def _total(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.json()["hits"]["total"]["value"])


def test_a_query_text_finds_words_without_case_and_diacritics(viewer: httpx.Client) -> None:
    for text in (
        '"dang nhap that bai"',
        "ĐĂNG user.name:ROOT",
        "user.name:root AND NOT host.name:may-0 OR user.name:root",
    ):
        assert _total(viewer.get("/api/v1/search/events", params={"q": text})) >= 20
    assert _total(viewer.get("/api/v1/search/events", params={"q": "source.ip:203.0.113.0/30"})) == 4


def test_times_bound_a_search(viewer: httpx.Client) -> None:
    passed = (datetime.now(UTC) - NOW).total_seconds() / 60  # the events were made one a minute up to NOW
    last_half = viewer.get("/api/v1/search/events", params={"from": "now-30m", "to": "now"})
    assert 29 - passed <= _total(last_half) <= 31
    before = viewer.get("/api/v1/search/events", params={"to": NOW.isoformat().replace("+00:00", "Z"), "size": 1})
    assert _total(before) == 123
    assert len(before.json()["hits"]["hits"]) == 1


def test_a_body_of_the_dsl_pages_and_counts(viewer: httpx.Client) -> None:
    body = {
        "query": {"bool": {"must": [{"term": {"user.name": "root"}}], "must_not": [{"term": {"host.name": "may-1"}}]}},
        "size": 5, "from": 5, "sort": [{"@timestamp": "asc"}],
        "aggs": {
            "who": {"terms": {"field": "source.ip", "size": 3}},
            "time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}},
        },
    }  # fmt: skip
    answer = viewer.post("/api/v1/search/events", json=body)
    assert _total(answer) == 20
    assert len(answer.json()["hits"]["hits"]) == 5
    aggregations = answer.json()["aggregations"]
    assert sum(bucket["doc_count"] for bucket in aggregations["time"]["buckets"]) == 20
    assert len(aggregations["who"]["buckets"]) == 3


def test_an_empty_body_finds_everything_and_alerts_are_a_collection_too(viewer: httpx.Client) -> None:
    assert _total(viewer.post("/api/v1/search/events", json={})) == 123
    assert _total(viewer.get("/api/v1/search/alerts", params={"q": "rule.level:critical"})) == 2


@pytest.mark.parametrize(
    ("text", "position"),
    [("user.name:", 10), ("a AND (b", 6), ('"x', 0), ("a )", 2), ("đặng OR", 7), ("💥 AND", 5), ("x:[1 2]", 5)],
)
def test_a_fault_in_the_text_comes_with_its_position_and_in_both_languages(
    viewer: httpx.Client, text: str, position: int
) -> None:
    details = set()
    for spoken, start in (("en", "Character"), ("vi", "Ký tự")):
        answer = viewer.get("/api/v1/search/events", params={"q": text}, headers={"Accept-Language": spoken})
        assert (answer.status_code, answer.json()["position"]) == (400, position)
        assert answer.json()["detail"].startswith(start)
        details.add(answer.json()["reason"])
        checked = viewer.get("/api/v1/query/check", params={"q": text}, headers={"Accept-Language": spoken})
        assert (checked.status_code, checked.json()) == (200, {"good": False, **answer.json()})
        in_body = {"query": {"bool": {"must": [{"query_string": {"query": text}}]}}}
        posted = viewer.post("/api/v1/search/events", json=in_body, headers={"Accept-Language": spoken})
        assert (posted.status_code, posted.json()) == (400, answer.json())
    assert len(details) == 2


def test_a_text_that_can_be_understood_is_good_and_other_faults_have_no_position(viewer: httpx.Client) -> None:
    for text in ("", "*", 'user.name:root AND "đăng nhập"', "source.ip:203.0.113.0/24 OR @timestamp:[now-1d TO now]"):
        assert viewer.get("/api/v1/query/check", params={"q": text}).json() == {"good": True}
    too_long = viewer.get("/api/v1/query/check", params={"q": "a" * 10_001}).json()
    assert (too_long["good"], too_long["position"]) == (False, 10_000)
    answer = viewer.get("/api/v1/search/events", params={"from": "tomorrow"})
    assert (answer.status_code, sorted(answer.json())) == (400, ["detail"])


def test_a_fault_in_the_body_names_its_place(viewer: httpx.Client) -> None:
    answer = viewer.post("/api/v1/search/events", json={"query": {"bool": {"must": [{"fuzzy": {}}]}}})
    assert answer.status_code == 400
    assert "bool.must[0]" in answer.json()["detail"]


def test_one_event_by_its_id_is_as_it_was_stored(site: Site, viewer: httpx.Client) -> None:
    for event in (site.events[0], *site.events[120:]):
        assert viewer.get(f"/api/v1/events/{event['event.id']}").json() == event


_SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["@timestamp", "user.name", "now-1h", "1h", "root", "asc", "message", "10.0.0.0/8"]),
)  # fmt: skip
_NAMES = (
    "query size from sort aggs term terms range exists prefix wildcard ids match match_phrase bool query_string must "
    "should must_not filter minimum_should_match field value values gte lt interval fixed_interval calendar_interval "
    "date_histogram histogram cardinality percentiles top_hits multi_terms ranges key order missing include offset "
    "extended_bounds min max @timestamp user.name event.id message percents filters stats _source time_zone"
)
_NAME = st.sampled_from(_NAMES.split())
_BODY = st.recursive(
    _SCALAR, lambda item: st.lists(item, max_size=3) | st.dictionaries(_NAME, item, max_size=3), max_leaves=12
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.sampled_from(["query", "aggs", "size", "sort", "from", "_source"]), _BODY, max_size=3))
def test_no_body_is_answered_with_a_fault_of_ours(viewer: httpx.Client, body: dict[str, Any]) -> None:
    answer = viewer.post("/api/v1/search/events", json=body)
    assert answer.status_code in (200, 400), (body, answer.text)


def test_a_search_that_takes_too_long_is_answered_and_does_not_hold_up_others() -> None:
    async def run() -> None:
        searching, go_on = Searching(patience=0.1), threading.Event()
        endless = [asyncio.create_task(searching.answer(lambda: go_on.wait(10))) for _ in range(AT_ONCE - 1)]
        await asyncio.sleep(0.05)
        assert (await searching.answer(lambda: {"a": 1})).body == b'{"a":1}'
        refused = await asyncio.gather(*endless, return_exceptions=True)
        assert {error.status_code for error in refused if isinstance(error, HTTPException)} == {503}
        go_on.set()
        searching.close()

    asyncio.run(run())


def test_too_many_searches_at_once_are_told_to_come_again() -> None:
    async def run() -> None:
        searching, go_on = Searching(waiting=0), threading.Event()
        held = [asyncio.create_task(searching.answer(lambda: go_on.wait(10))) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as refused:
            await searching.answer(lambda: 1)
        assert refused.value.status_code == 429
        go_on.set()
        await asyncio.gather(*held)
        assert (await searching.answer(lambda: 1)).body == b"1"
        searching.close()

    asyncio.run(run())


def test_a_search_speaks_the_language_of_the_one_who_asked() -> None:
    async def run(spoken: str) -> bytes:
        with speaking(spoken):
            return bytes((await searching.answer(lambda: [language(), say("show.level")])).body)

    searching = Searching()
    started = time.perf_counter()
    assert asyncio.run(run("vi")) == '["vi","mức"]'.encode()
    assert asyncio.run(run("en")) == b'["en","level"]'
    assert time.perf_counter() - started < 5
    searching.close()

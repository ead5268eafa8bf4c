"""`/es` over the embedded store: the official Python client, Grafana's ways to log in, rights, views, and bad input."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from elasticsearch import (
    ApiError,
    AuthenticationException,
    AuthorizationException,
    BadRequestError,
    Elasticsearch,
    NotFoundError,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import PASSWORD, PATIENTLY, Site, serving
from sqlalchemy import select
from test_data_views import _filled

from pipeline import access
from pipeline.state.tables import audit

Json = dict[str, Any]


def _client(site: Site, **how: Any) -> Elasticsearch:
    return Elasticsearch(f"{site.address}/es", max_retries=0, retry_on_timeout=False, request_timeout=60, **how)


@pytest.fixture(scope="module")
def elastic(site: Site) -> Iterator[Elasticsearch]:
    """The official client with a viewer's token."""
    with _client(site, basic_auth=("any", site.token("elastic-client", "viewer"))) as client:
        yield client


def _msearch(*pairs: tuple[Json, Json]) -> bytes:
    return b"".join(json.dumps(part).encode() + b"\n" for pair in pairs for part in pair)


def test_the_official_client_asks_what_it_asks_first(elastic: Elasticsearch) -> None:
    assert elastic.ping()
    assert elastic.info()["version"]["number"].startswith("8.19.")
    assert elastic.cluster.health(wait_for_status="yellow")["status"] == "green"
    assert elastic.indices.resolve_index(name="haidang-*")["indices"] == [
        {"name": "events", "attributes": ["open"]}, {"name": "alerts", "attributes": ["open"]},
    ]  # fmt: skip
    rows = elastic.cat.indices(format="json")
    assert [(row["index"], row["docs.count"]) for row in rows] == [("events", "123"), ("alerts", "10")]
    assert str(elastic.cat.indices(index="ev*", h="index,docs.count")).split() == ["events", "123"]


def test_the_official_client_searches_counts_and_pages(site: Site, elastic: Elasticsearch) -> None:
    query: Json = {"query_string": {"query": "user.name:root", "analyze_wildcard": True}}
    answer = elastic.search(index="events", query=query, size=3, aggs={"who": {"terms": {"field": "host.name"}}})
    assert answer["hits"]["total"] == {"value": 40, "relation": "eq"}
    assert [hit["_source"]["user.name"] for hit in answer["hits"]["hits"]] == ["root"] * 3
    assert sum(bucket["doc_count"] for bucket in answer["aggregations"]["who"]["buckets"]) == 40
    assert elastic.count(index="events", query=query)["count"] == 40
    assert elastic.count(index="*")["count"] == 133
    assert elastic.search(index="alerts", q="rule.level:critical")["hits"]["total"]["value"] == 2
    many = elastic.msearch(searches=[{"index": "events"}, {"query": query, "size": 0}, {"index": ["nothing"]}, {}])
    assert [each.get("status") for each in many["responses"]] == [200, 404]
    found, after = [], {}
    while hits := elastic.search(index="events", size=50, sort=["@timestamp", "_doc"], **after)["hits"]["hits"]:
        found += [hit["_id"] for hit in hits]
        after = {"search_after": hits[-1]["sort"]}
    assert sorted(found) == sorted(event["event.id"] for event in site.events)


def test_the_official_client_learns_the_fields(elastic: Elasticsearch) -> None:
    fields = elastic.field_caps(index="events", fields=["@timestamp", "source.*", "message"])["fields"]
    assert {name: next(iter(told)) for name, told in fields.items()} == {
        "@timestamp": "date", "source.ip": "keyword", "message": "text",
    }  # fmt: skip
    assert fields["message"]["text"]["aggregatable"] is False
    mapping = elastic.indices.get_mapping(index="alerts")
    assert mapping["alerts"]["mappings"]["properties"]["alert.count"] == {"type": "double"}


def test_the_official_client_is_told_what_is_wrong(site: Site, elastic: Elasticsearch) -> None:
    with pytest.raises(NotFoundError, match="index_not_found_exception"):
        elastic.search(index="nothing-here")
    assert elastic.search(index="nothing-here", ignore_unavailable=True)["hits"]["total"]["value"] == 0
    assert elastic.search(index="nothing-*", aggs={"a": {"sum": {"field": "x"}}})["aggregations"]["a"] == {"value": 0.0}
    for aggs in (
        {"a": {"geohash_grid": {"field": "x"}}},
        {"a": {"nested": {"path": "x"}}},
        {"a": {"rate": {"unit": "hour"}}},
        {
            "a": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": "1h"},
                "aggs": {"b": {"moving_avg": {"buckets_path": "_count"}}},
            }
        },
    ):
        kind = next(
            name for content in (aggs["a"], aggs["a"].get("aggs", {}).get("b", {})) for name in list(content)[:1]
        )
        with pytest.raises(BadRequestError, match="moving_avg" if "aggs" in aggs["a"] else kind):
            elastic.search(index="events", aggs=aggs)
    for write in (
        lambda: elastic.index(index="events", document={"a": 1}),
        lambda: elastic.delete_by_query(index="events", query={"match_all": {}}),
        lambda: elastic.indices.delete(index="events"),
        lambda: elastic.bulk(operations=[{"index": {"_index": "events"}}, {"a": 1}]),
    ):
        with pytest.raises(BadRequestError, match="nothing can be written"):
            write()
    with pytest.raises(AuthenticationException), _client(site, basic_auth=("a", "wrong")) as client:
        client.info()
    with (
        pytest.raises(AuthorizationException),
        _client(site, bearer_auth=site.token("es-auditor", "auditor")) as client,
    ):
        client.search(index="events")


def test_tokens_come_as_elasticsearch_and_grafana_send_them(site: Site) -> None:
    token = site.token("es-ways", "viewer")
    encoded = base64.b64encode(f"grafana:{token}".encode()).decode()
    with httpx.Client(base_url=site.address, **PATIENTLY) as client:
        for header in (
            f"Basic {encoded}",
            f"ApiKey {encoded}",
            f"ApiKey {token}",
            f"Bearer {token}",
            f"basic  {encoded}",
        ):
            answer = client.get("/es/", headers={"Authorization": header})
            assert (answer.status_code, answer.headers["x-elastic-product"]) == (200, "Elasticsearch"), header
        for header in (
            "",
            "Basic",
            "Basic !",
            f"Basic {token}x",
            "ApiKey",
            f"Digest {encoded}",
            f"Basic {'A' * 5000}",
        ):
            answer = client.get("/es/", headers={"Authorization": header})
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "security_exception"), header
        # elsewhere a browser that sends `Basic` by itself is nobody
        assert client.get("/api/v1/me", headers={"Authorization": f"Basic {encoded}"}).status_code == 401


def test_a_session_reads_too_but_not_from_another_site(site: Site) -> None:
    site.user("es-session")
    with httpx.Client(base_url=site.address, **PATIENTLY) as client:
        assert client.post("/api/v1/login", json={"name": "es-session", "password": PASSWORD}).status_code == 200
        assert client.get("/es/events/_count").json()["count"] == 123
        same, other = ({"Sec-Fetch-Site": each} for each in ("same-origin", "cross-site"))
        assert client.post("/es/events/_search", headers=same).status_code == 200
        refused = client.post("/es/events/_search", headers=other)
        assert (refused.status_code, refused.json()["status"]) == (403, 403)
        # what a browser sends by itself beside the cookie makes no program of it
        by_itself = {"Authorization": "Basic eDp5", "Sec-Fetch-Site": "cross-site"}
        assert client.post("/api/v1/logout", headers=by_itself).status_code == 403


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of two units (`test_data_views.py`)."""
    with serving(tmp_path_factory.mktemp("es-split"), _filled) as made:
        yield made


def _in_view(site: Site, name: str, view: Any) -> Elasticsearch:
    with site.engine.begin() as connection:
        secret = access.create_token(connection, name, access.API, "analyst", view)
    return _client(site, basic_auth=("grafana", secret))


def test_whoever_has_a_view_learns_of_nothing_else(split: Site) -> None:
    with _in_view(split, "es-unit", {"units": ["so-a"]}) as client:
        assert client.count(index="events")["count"] == 10
        assert client.count(index="*")["count"] == 12
        units = client.search(index="*", size=0, aggs={"u": {"terms": {"field": "organization.id"}}})["aggregations"][
            "u"
        ]
        assert [bucket["key"] for bucket in units["buckets"]] == ["so-a"]
        assert client.cat.indices(format="json")[0]["docs.count"] == "10"
        answer = client.msearch(searches=[{}, {"query": {"term": {"organization.id": "so-b"}}}])["responses"][0]
        assert (answer["hits"]["total"]["value"], answer["hits"]["hits"]) == (0, [])
    with _in_view(split, "es-alerts", {"indices": ["alerts"]}) as client:
        assert (client.count(index="events")["count"], client.count(index="*")["count"]) == (0, 4)
        assert client.field_caps(index="events", fields="*")["fields"] == {}
    with _in_view(split, "es-both", {"indices": ["alerts", "events"], "sources": ["vpn"]}) as client:
        assert client.count(index="*")["count"] == 12
    with _in_view(split, "es-none", {"indices": []}) as client:
        assert client.count(index="*")["count"] == 0


def test_every_search_is_in_the_audit(site: Site) -> None:
    with _client(site, bearer_auth=site.token("es-audited", "viewer")) as client:
        client.search(index="events", q="user.name:root")
        client.count(index="alerts")
        client.msearch(searches=[{"index": "events"}, {"size": 1}, {"index": "alerts"}, {"size": 1}])
        client.info()
    with site.engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(audit.c.action, audit.c.detail).where(audit.c.who == "es-audited")).all()
    assert [(row.action, row.detail["index"]) for row in rows] == [
        ("search", "events"), ("search", "alerts"), ("search", "events"), ("search", "alerts"),
    ]  # fmt: skip
    assert "user.name:root" in rows[0].detail["search"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/es/events/_search", b"{", 400),
        ("POST", "/es/events/_search", b"[]", 400),
        ("POST", "/es/events/_search", b'{"knn": {}}', 400),
        ("POST", "/es/events/_search?filter_path=hits", b"{}", 400),
        ("POST", "/es/events/_search?size=-1", b"{}", 400),
        ("POST", "/es/events/_search?size=99999999999", b"{}", 400),
        ("POST", "/es/events/_search?q=user.name:", b"{}", 400),
        ("POST", "/es/events/_search?q=a&default_operator=OR", b"{}", 400),
        ("POST", "/es/events/_count", b'{"size": 1}', 400),
        ("POST", "/es/_msearch", b"", 400),
        ("POST", "/es/_msearch", b"{}\n", 400),
        ("POST", "/es/_msearch", b"{}\n{}\n" * 51, 400),
        ("POST", "/es/_msearch", b"{}\n[]\n", 400),
        ("POST", "/es/_msearch", b"\xff\n{}\n", 400),
        ("POST", "/es/_field_caps?fields=*", b'{"fields": 1}', 400),
        ("GET", "/es/_cat/indices?h=nothing", b"", 400),
        ("GET", "/es/nothing/_mapping", b"", 404),
        ("GET", "/es/" + "x" * 2000 + "/_mapping", b"", 404),
        ("GET", "/es/_nodes", b"", 400),
        ("PUT", "/es/events", b"{}", 400),
        ("DELETE", "/es/events", b"", 400),
        ("POST", "/es/_bulk", b"{}\n", 400),
        ("GET", "/es/%00/_search", b"", 404),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_elasticsearchs_shape(
    viewer: httpx.Client, method: str, path: str, content: bytes, status: int
) -> None:
    answer = viewer.request(method, path, content=content)
    told = answer.json()
    assert (answer.status_code, told["status"]) == (status, status), answer.text
    assert told["error"]["reason"] and told["error"]["root_cause"][0]["type"] == told["error"]["type"]
    assert answer.headers["x-elastic-product"] == "Elasticsearch"


_NAMES = (
    "query size from sort aggs terms range exists bool query_string must filter field value gte lte format query "
    "analyze_wildcard fixed_interval extended_bounds min max order missing percentiles percents extended_stats "
    "top_metrics metrics derivative buckets_path bucket_script script moving_fn window serial_diff lag search_after "
    "docvalue_fields fields highlight script_fields @timestamp user.name message event.id _source includes excludes "
    "date_histogram histogram interval cardinality filters min_doc_count time_zone unmapped_type _doc _count"
)
_SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["@timestamp", "user.name", "now-1h", "1h", "root", "asc", "message", "epoch_millis", "_doc", "a"]),
)  # fmt: skip
_BODY = st.recursive(
    _SCALAR,
    lambda item: st.lists(item, max_size=3) | st.dictionaries(st.sampled_from(_NAMES.split()), item, max_size=3),
    max_leaves=12,
)
_TOPS = st.sampled_from(
    ["query", "aggs", "size", "sort", "from", "_source", "search_after", "fields", "docvalue_fields"]
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(st.dictionaries(_TOPS, _BODY, max_size=3), min_size=1, max_size=3))
def test_no_body_is_answered_with_a_fault_of_ours(viewer: httpx.Client, bodies: list[Json]) -> None:
    answer = viewer.post("/es/_msearch", content=_msearch(*(({"index": "events"}, body) for body in bodies)))
    assert answer.status_code == 200, answer.text
    told = answer.json()["responses"]
    assert {each["status"] for each in told} <= {200, 400}
    assert len(told) == len(bodies)


def test_an_error_of_the_client_is_one(elastic: Elasticsearch) -> None:
    with pytest.raises(ApiError, match="Nothing answers"):
        elastic.security.authenticate()

"""What Grafana asks gets the same answer from `/es` over the embedded store, from `/es` over Elasticsearch, and from an
Elasticsearch node itself that has the same events in an index of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch as Client
from grafana_requests import bodies, differences
from sites import Site, serving
from sqlalchemy import Engine

from collectors.decoders import Hints
from collectors.envelope import Origin
from collectors.reading import read_file
from pipeline import store
from pipeline.event import Event, to_micros
from pipeline.settings import Settings, Store
from tests.contract.store import put
from tests.services.elasticsearch import Elasticsearch

pytestmark = pytest.mark.slow
Json = dict[str, Any]
_MAPPING: Json = {
    "subobjects": False, "date_detection": False,
    "properties": {"@timestamp": {"type": "date"}, "message": {"type": "text"}, "event.original": {"type": "text"}},
    "dynamic_templates": [
        {"numbers": {"match_mapping_type": ["long", "double"], "mapping": {"type": "double"}}},
        {"texts": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 8000}}},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def events(shared_data: Path) -> list[Event]:
    """Real logs of two SSH servers."""
    origin = Origin("logs", "may-thu", "vn", Hints(), "auto")
    return [
        orjson.loads(line)
        for name in ("OpenSSH", "Linux")
        for lines, _ in read_file(shared_data / "logs" / name / f"{name}_2k.log", origin, 131_072)
        for line in lines
    ]


@pytest.fixture(scope="module")
def native(elasticsearch: Elasticsearch, events: list[Event]) -> Iterator[Client]:
    """A node that has the events as anybody would put them there."""
    with Client(elasticsearch.url, request_timeout=60) as client:
        client.indices.create(index="native", mappings=_MAPPING, settings={"number_of_replicas": 0})
        lines = (part for event in events for part in ({"index": {"_id": event["event.id"]}}, event))
        told = client.bulk(index="native", operations=lines, refresh=True)
        assert not told["errors"]
        yield client
        client.indices.delete(index="native")


@pytest.fixture(scope="module", params=["embedded", "elasticsearch"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> Iterator[Site]:
    """The events in one of our stores."""

    def filled(settings: Settings, _engine: Engine) -> list[Event]:
        writer = store.open_writer(settings.data_dir, settings.store)
        put(writer, *events)
        writer.close()
        return events

    more = {}
    if request.param == "elasticsearch":
        node = request.getfixturevalue("elasticsearch")
        more["store"] = Store(
            kind="elasticsearch", urls=[node.url], index_prefix="same-", replicas=0, commit_seconds=0.1
        )
    with serving(tmp_path_factory.mktemp("same"), filled, **more) as made:
        yield made


@pytest.mark.filterwarnings("ignore:Deprecated field")  # Grafana's old annotations have `from` and `to`
def test_what_grafana_asks_is_answered_as_by_a_node(served: Site, native: Client, events: list[Event]) -> None:
    times = sorted(to_micros(event["@timestamp"]) // 1000 for event in events)
    middle = times[len(times) // 2]
    with Client(f"{served.address}/es", basic_auth=("grafana", served.token("same", "viewer"))) as ours:
        for start, end in ((times[0], times[-1]), (middle, middle + 36 * 3_600_000)):
            asked = bodies(start, end)
            pairs = [({"index": "events", "ignore_unavailable": True}, body) for body in asked.values()]
            told = ours.msearch(searches=[part for pair in pairs for part in pair])["responses"]
            for (name, body), answer in zip(asked.items(), told, strict=True):
                assert answer["status"] == 200, (name, answer)
                expected = native.search(index="native", **{**body, "track_total_hits": True}).body
                assert expected["hits"]["total"]["value"] or name == "no hits" or start == middle
                _as_one(name, answer, expected)
                assert list(differences(answer, expected)) == [], name


def _as_one(name: str, answer: Json, expected: Json) -> None:
    """Check what two good answers may say differently, and take it out of both."""
    if name == "percentiles":  # both are estimates
        for ours, theirs in zip(*(each["aggregations"]["2"]["buckets"] for each in (answer, expected)), strict=True):
            for percent, value in theirs.pop("1")["values"].items():
                assert ours["1"]["values"][percent] == (value and pytest.approx(value, rel=0.1))
            ours.pop("1")
    hits = [{hit["_id"]: hit for hit in each["hits"].pop("hits")} for each in (answer, expected)]
    if name == "annotation":  # in no order
        assert hits[0].keys() == hits[1].keys()
        return
    for ours, theirs in zip(*(list(each.values()) for each in hits), strict=True):  # of one moment in any order
        assert ours["sort"][0] == theirs["sort"][0]
        assert ours["fields"] == theirs["fields"]
        assert ours["_id"] not in hits[1] or ours["_source"] == hits[1][ours["_id"]]["_source"]
    assert len(hits[0].keys() ^ hits[1].keys()) <= 2 * 10  # those of the last moment


def test_a_log_line_is_found_again_with_what_came_around_it(served: Site) -> None:
    """Log context: from the sort of one line on, back and forth."""
    with Client(f"{served.address}/es", basic_auth=("grafana", served.token("context", "viewer"))) as ours:
        order = [{"@timestamp": {"order": "desc"}}, {"_doc": {"order": "desc"}}]
        everything = ours.search(index="events", size=1000, sort=order)["hits"]["hits"]
        line = everything[500]
        before = ours.search(index="events", size=10, sort=order, search_after=line["sort"])["hits"]["hits"]
        assert [hit["_id"] for hit in before] == [hit["_id"] for hit in everything[501:511]]

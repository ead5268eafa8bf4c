"""The Elasticsearch store on a real node: the suite of every store, the oracle, and what only a cluster can do to us."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
from elasticsearch import Elasticsearch as Client

from pipeline.event import Event, encode, format_time
from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import Store
from pipeline.store import EVENTS, Reader
from pipeline.store.document import Document, document
from pipeline.store.elastic_reader import ElasticReader
from pipeline.store.elastic_writer import ElasticWriter
from tests.contract.differential import DifferentialSuite, sample
from tests.contract.store import StoreContract, event, numbers, put
from tests.services.elasticsearch import Elasticsearch

_numbers = count()


@pytest.fixture
def place(elasticsearch: Elasticsearch) -> Store:
    """An empty store of the test's own."""
    prefix = f"test{next(_numbers)}-"
    return Store(kind="elasticsearch", urls=[elasticsearch.url], index_prefix=prefix, replicas=0)


@pytest.fixture
def writer(place: Store) -> Iterator[ElasticWriter]:
    opened = ElasticWriter(place)
    yield opened
    opened.close()


@pytest.fixture
def reader(place: Store) -> Iterator[ElasticReader]:
    opened = ElasticReader(place)
    yield opened
    opened.close()


class TestElasticStore(StoreContract):
    pass


@pytest.fixture(scope="module")
def reader_of_sample(elasticsearch: Elasticsearch) -> Iterator[tuple[Reader, list[Event]]]:
    settings = Store(kind="elasticsearch", urls=[elasticsearch.url], index_prefix="oracle-", replicas=0)
    events = sample(150)
    writer = ElasticWriter(settings)
    put(writer, *events)
    writer.close()
    reader = ElasticReader(settings)
    yield reader, events
    reader.close()


class TestElasticAgainstTheOracle(DifferentialSuite):
    pass


def _documents(*events: Event) -> list[Document]:
    return [document(item, encode(item)) for item in events]


def test_a_document_that_is_refused_costs_no_other(writer: ElasticWriter, reader: ElasticReader) -> None:
    nameless = {**event(2, n=2), "event.id": ""}
    added = writer.add(EVENTS, _documents(event(1, n=1), nameless, event(3, n=3)))
    writer.commit()
    assert len(added.refused) == 1
    assert numbers(reader, {"match_all": {}}) == {1, 3}


def test_what_the_cluster_cannot_take_now_is_offered_again(
    writer: ElasticWriter, reader: ElasticReader, elasticsearch: Elasticsearch, place: Store
) -> None:
    put(writer, event(1, n=1))
    client = Client(elasticsearch.url)
    block = "index.blocks.read_only_allow_delete"  # what a node does to all indexes when its disk is nearly full
    client.indices.put_settings(index=f"{place.index_prefix}*", settings={block: True})
    lifted = threading.Timer(
        1.0, lambda: client.indices.put_settings(index=f"{place.index_prefix}*", settings={block: None})
    )
    lifted.start()
    assert put(writer, event(1, n=1), event(2, n=2)) == 1
    assert numbers(reader, {"match_all": {}}) == {1, 2}
    lifted.join()
    client.close()


def test_a_node_that_was_away_is_found_again_and_nothing_is_lost_or_twice(
    writer: ElasticWriter, reader: ElasticReader, elasticsearch: Elasticsearch
) -> None:
    writer.add(EVENTS, _documents(*(event(number, n=number) for number in range(50))))
    elasticsearch.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        writer.add(EVENTS, _documents(event(50, n=50)))
    with pytest.raises(Unavailable, match="does not answer"):
        reader.search(EVENTS, {})
    elasticsearch.start()
    again = writer.add(EVENTS, _documents(*(event(number, n=number) for number in range(60))))
    writer.commit()
    assert again.repeated == 50
    assert numbers(reader, {"match_all": {}}) == set(range(60))


def test_old_indexes_go_and_imported_history_is_kept_from_its_receipt(
    writer: ElasticWriter, reader: ElasticReader
) -> None:
    long_ago = {"@timestamp": "2019-04-27T21:04:32.000Z", "event.ingested": "2019-04-27T21:05:00.000Z"}
    imported = {"@timestamp": "2018-04-27T21:04:32.000Z", "event.ingested": format_time(datetime.now(UTC))}
    fresh = {"@timestamp": imported["event.ingested"], "event.ingested": imported["event.ingested"]}
    put(writer, {**event(1, n=1), **long_ago}, {**event(2, n=2), **imported}, {**event(3, n=3), **fresh})
    oldest, *kept = writer.indexes()
    assert oldest.name.endswith("events-2019.04")
    assert oldest.latest == 1_556_668_800_000_000  # the end of its month
    assert all(index.latest > time.time() * 1e6 - 60e6 and index.size > 1000 for index in kept)
    writer.remove(oldest.name)
    assert numbers(reader, {"match_all": {}}) == {2, 3}


def test_a_field_of_numbers_and_texts_has_both_in_its_answers(writer: ElasticWriter, reader: ElasticReader) -> None:
    put(writer, event(1, a=443), event(2, a="443"), event(3, a="443"), event(4, a=[1, "x"]), event(5, b=1))
    terms = {"terms": {"field": "a", "missing": "none"}}
    aggregations = {"a": terms, "c": {"cardinality": {"field": "a"}}, "v": {"value_count": {"field": "a"}}}
    answer = reader.search(EVENTS, {"size": 0, "aggs": aggregations})["aggregations"]
    buckets = [(bucket["key"], bucket["doc_count"]) for bucket in answer["a"]["buckets"]]
    assert buckets[0] == ("443", 2)
    assert set(buckets[1:]) == {(443, 1), (1, 1), ("x", 1), ("none", 1)}
    assert (answer["c"]["value"], answer["v"]["value"]) == (4, 5)


def test_more_fields_than_an_index_may_have_are_found_all_the_same(
    writer: ElasticWriter, reader: ElasticReader
) -> None:
    many = {f"field-{number}": f"value {number}" for number in range(5000)}
    put(writer, {**event(1, n=1), **many})
    assert numbers(reader, {"term": {"field-4999": "VALUE 4999"}}) == {1}


@pytest.mark.parametrize("urls", [["localhost:9200"], ["nothing"]])
def test_an_address_that_is_none_is_told(urls: list[str]) -> None:
    with pytest.raises(HaidangError, match="cannot be used"):
        ElasticReader(Store(kind="elasticsearch", urls=urls))


@pytest.mark.parametrize(
    "name", ["_id", "_source", "~line", "~time", "", ".", "a..b", ".a", "a.", " ", "x" * 600, "a b"]
)
def test_a_field_of_any_name_is_kept_and_found(writer: ElasticWriter, reader: ElasticReader, name: str) -> None:
    odd = {**event(1, n=1), name: "value"}
    put(writer, odd)
    assert reader.get(EVENTS, odd["event.id"]) == odd
    assert numbers(reader, {"term": {name: "VALUE"}}) == {1}

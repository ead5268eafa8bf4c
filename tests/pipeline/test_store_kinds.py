"""Kinds in the embedded store: whatever lies in them is found and counted as if it lay in the events."""

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import tantivy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.event import KIND_FIELDS, Event, encode
from pipeline.store import EVENTS, Added, Reader, Writer, tantivy_kinds, tantivy_schema
from pipeline.store.document import Document, document
from pipeline.store.tantivy_kinds import MOST_KINDS, Kinds, KindWriter
from pipeline.store.tantivy_reader import TantivyReader
from pipeline.store.tantivy_writer import TantivyWriter
from tests.contract.differential import DifferentialSuite, sample
from tests.contract.store import StoreContract, event, numbers, put

_MEMORY = 20_000_000


class SplittingWriter:
    """Takes what looks like a kind out of two of three documents, as the layout of our collectors' lines does."""

    def __init__(self, writer: TantivyWriter) -> None:
        self._writer = writer
        self.commit, self.close = writer.commit, writer.close
        self.indexes, self.remove, self.prove = writer.indexes, writer.remove, writer.prove
        self._count = 0

    def add(self, collection: str, documents: Sequence[Document]) -> Added:
        return self._writer.add(collection, [self._split(item) for item in documents])

    def _split(self, whole: Document) -> Document:
        self._count += 1
        fields = orjson.loads(whole.fields)
        if self._count % 3 == 0 or not isinstance(fields, dict):
            return whole
        kind = {name: value for name, value in fields.items() if tantivy_kinds._is_text(value)}
        rest = {name: value for name, value in fields.items() if name not in kind}
        return whole._replace(fields=orjson.dumps(rest), kind=orjson.dumps(kind)[1:-1])


@pytest.fixture(autouse=True, scope="module")
def every_field_may_be_one_of_the_kind() -> Iterator[None]:
    class Every:
        def __contains__(self, name: object) -> bool:
            return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tantivy_kinds, "KIND_FIELDS", Every())
        yield


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SplittingWriter]:
    opened = SplittingWriter(TantivyWriter(tmp_path, _MEMORY))
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[TantivyReader]:
    opened = TantivyReader(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def reader_of_sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Reader, list[Event]]]:
    folder, events = tmp_path_factory.mktemp("store"), sample(150)
    writer = SplittingWriter(TantivyWriter(folder, _MEMORY))
    put(writer, *events)
    writer.close()
    reader = TantivyReader(folder)
    yield reader, events
    reader.close()


class TestKindsHoldTheContract(StoreContract):
    pass


class TestKindsAgainstTheOracle(DifferentialSuite):
    pass


def _events(days: int) -> list[Event]:
    chance = random.Random(20_261_124)
    events = []
    for number in range(240):
        choices: list[tuple[str, Any]] = [
            ("event.action", chance.choice(["start", "stop", "fail", "log on"])),
            ("event.category", chance.sample(["process", "file", "network"], chance.randrange(4))),
            ("event.code", chance.choice(["1", "4624", 4624])),
            ("user.name", chance.choice(["root", "an", "binh"])),
            ("source.port", chance.randrange(5)),
            ("ratio", chance.choice([0.5, 1.5, 4.0])),
        ]
        made = event(number * 40, n=number)
        made["@timestamp"] = made["@timestamp"].replace("24T", f"{24 - number % days}T")
        made.update((name, value) for name, value in choices if chance.random() < 0.8)
        events.append(made)
    return events


@pytest.fixture(scope="module", params=[1, 3], ids=["one index", "three indexes"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TantivyReader, TantivyReader]]:
    """Readers of the same events without and with kinds."""
    plain, kinds = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("kinds")
    writers: list[Writer] = [TantivyWriter(plain, _MEMORY), SplittingWriter(TantivyWriter(kinds, _MEMORY))]
    for each in writers:
        put(each, *_events(request.param))
        each.close()
    readers = TantivyReader(plain), TantivyReader(kinds)
    yield readers
    for reader in readers:
        reader.close()


_FIELD = st.sampled_from(["event.action", "event.category", "user.name", "source.port", "nothing"])
_NUMBER = st.sampled_from(["source.port", "ratio", "n"])
_LEAF = st.one_of(
    st.builds(lambda kind, field: {kind: {"field": field}}, st.sampled_from(["value_count", "cardinality", "missing"]), _FIELD),
    st.builds(lambda kind, field: {kind: {"field": field}}, st.sampled_from(["avg", "sum", "max", "stats", "min"]), _NUMBER),
    st.just({"top_hits": {"size": 2}}),
)  # fmt: skip
_TERMS = st.fixed_dictionaries(
    {"field": _FIELD, "size": st.just(1000)},
    optional={
        "order": st.sampled_from([{"_key": "asc"}, {"_key": "desc"}, {"_count": "asc"}]),
        "missing": st.just("none"),
        "include": st.sampled_from(["s.*|p.*", "root|fail|file"]),
        "exclude": st.sampled_from(["st.*", "root"]),
        "min_doc_count": st.sampled_from([1, 10, 30]),
    },
)
_BUCKETS = st.one_of(
    _TERMS.filter(lambda options: not ("missing" in options and {"include", "exclude"} & set(options))).map(lambda options: {"terms": options}),
    st.lists(_FIELD, min_size=2, max_size=3, unique=True).map(
        lambda fields: {"multi_terms": {"terms": [{"field": field} for field in fields], "size": 1000}}
    ),
    st.just({"date_histogram": {"field": "@timestamp", "fixed_interval": "30m", "min_doc_count": 1}}),
    st.just({"date_histogram": {"field": "@timestamp", "calendar_interval": "hour", "min_doc_count": 1}}),
    st.just({"histogram": {"field": "source.port", "interval": 2}}),
    st.just({"range": {"field": "ratio", "ranges": [{"to": 1}, {"from": 1}]}}),
    _FIELD.map(lambda field: {"filter": {"exists": {"field": field}}}),
)  # fmt: skip
_TREE = st.recursive(
    _LEAF | _BUCKETS,
    lambda below: st.builds(
        lambda outer, inner: {**outer, "aggs": {str(n): agg for n, agg in enumerate(inner)}},
        _BUCKETS,
        st.lists(below, min_size=1, max_size=2),
    ),
    max_leaves=4,
)
_QUERY = st.sampled_from(
    [{"match_all": {}}, {"term": {"event.action": "start"}}, {"bool": {"must_not": [{"term": {"user.name": "root"}}]}}]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_TREE, query=_QUERY)
def test_aggregations_are_the_same_with_kinds(
    both: tuple[TantivyReader, TantivyReader], tree: dict[str, Any], query: dict[str, Any]
) -> None:
    body = {"query": query, "size": 0, "aggs": {"a": tree}}
    plain, kinds = (_rounded(reader.search(EVENTS, body)["aggregations"]) for reader in both)
    assert kinds == plain


def _rounded(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _rounded(value) for name, value in answer.items() if name != "doc_count_error_upper_bound"}
    if isinstance(answer, list):
        return [_rounded(item) for item in answer]
    return round(answer, 6) if isinstance(answer, float) else answer


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_sorting_by_a_field_of_the_kind(both: tuple[TantivyReader, TantivyReader], direction: str) -> None:
    body = {"size": 200, "sort": [{"event.action": direction}, {"user.name": "asc"}, {"n": "asc"}]}
    plain, kinds = ([hit["_id"] for hit in reader.search(EVENTS, body)["hits"]["hits"]] for reader in both)
    assert kinds == plain


def test_buckets_can_be_ordered_by_a_number_of_the_kinds(both: tuple[TantivyReader, TantivyReader]) -> None:
    for number in ({"value_count": {"field": "event.action"}}, {"cardinality": {"field": "event.category"}}):
        terms = {"terms": {"field": "source.port", "order": {"n": "desc"}}, "aggs": {"n": number}}
        plain, kinds = (reader.search(EVENTS, {"aggs": {"a": terms}})["aggregations"] for reader in both[1:] * 2)
        assert kinds == plain
        counts = [bucket["n"]["value"] for bucket in kinds["a"]["buckets"]]
        assert counts == sorted(counts, reverse=True)


def test_more_kinds_than_there_is_room_for(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    count = MOST_KINDS + 500
    put(writer, *(event(number, n=number, event__action=f"a{number}", event__kind="event") for number in range(count)))
    (path,) = tmp_path.glob("events/*/kinds.jsonl")
    assert len(path.read_bytes().splitlines()) == MOST_KINDS
    for number in (0, MOST_KINDS - 1, count - 2, count - 1):
        assert numbers(reader, {"term": {"event.action": f"A{number}"}}) == {number}
    aggregations = {
        "every": {"terms": {"field": "event.action", "size": 10_000}},
        "count": {"cardinality": {"field": "event.action"}},
        "kind": {"terms": {"field": "event.kind"}},
        "both": {"multi_terms": {"terms": [{"field": "event.kind"}, {"field": "event.action"}], "size": 10_000}},
    }
    answer = reader.search(EVENTS, {"size": 0, "aggs": aggregations})["aggregations"]
    assert {bucket["key"] for bucket in answer["every"]["buckets"]} == {f"a{number}" for number in range(count)}
    assert answer["count"]["value"] == count
    assert answer["kind"]["buckets"] == [{"key": "event", "doc_count": count}]
    assert len(answer["both"]["buckets"]) == count


def test_more_buckets_by_kinds_than_tantivy_gives(writer: Writer, reader: Reader) -> None:
    events = [
        event(second, n=second, event__action=f"a{number}", event__outcome="failure" if number % 2 else "success")
        for second in range(300)
        for number in range(250)
    ]
    for number, each in enumerate(events):
        each["event.id"] = f"{number:024x}"
    put(writer, *events)
    time = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1s"}}
    tree = {"t": {**time, "aggs": {"o": {"terms": {"field": "event.outcome"}}}}, "n": {"max": {"field": "n"}}}
    answer = reader.search(EVENTS, {"size": 0, "aggs": tree})["aggregations"]
    assert answer["n"]["value"] == 299
    assert [
        {bucket["key"]: bucket["doc_count"] for bucket in second["o"]["buckets"]} for second in answer["t"]["buckets"]
    ] == [{"failure": 125, "success": 125}] * 300


@pytest.mark.parametrize(
    "kind",
    [b'"event.kind":"event"}', b'"event.kind":5', b'"event.kind":{"a":"b"}', b'"event.kind":"a","host.name":"x"',
     b'"event.type":[1]', b'"event.type":%b' % orjson.dumps(["x"] * 11), b'"event.kind":"%b"' % (b"x" * 5000), b""],
)  # fmt: skip
def test_what_is_no_kind_gets_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes) -> None:
    monkeypatch.setattr(tantivy_kinds, "KIND_FIELDS", KIND_FIELDS)
    writer = KindWriter(tmp_path / "kinds.jsonl")
    assert writer.number(kind) is None
    writer.close()


def test_numbers_are_the_same_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "kinds.jsonl"
    first = KindWriter(path)
    assert [first.number(kind) for kind in (b'"a":"x"', b'"a":"y"', b'"a":"x"')] == [0, 1, 0]
    first.close()
    path.write_bytes(path.read_bytes() + b'{"a":"cut o')
    assert Kinds(path).values(1, "a") == ["y"]
    second = KindWriter(path)
    assert [second.number(kind) for kind in (b'"a":"z"', b'"a":"y"')] == [2, 1]
    second.close()
    assert Kinds(path).values(2, "a") == ["z"]


def test_an_index_of_before_the_kinds_is_read_and_written(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / EVENTS / "2026.11.24"
    folder.mkdir(parents=True)
    tantivy.Index(tantivy_schema.schema(kinds=False), path=str(folder))
    opened = SplittingWriter(TantivyWriter(tmp_path, _MEMORY))
    put(opened, *(event(number, n=number, event__kind="event") for number in range(10)))
    opened.close()
    shutil.copytree(folder, tmp_path / EVENTS / "2026.11.23")
    assert not (folder / "kinds.jsonl").read_bytes()
    assert reader.search(EVENTS, {"query": {"term": {"event.kind": "event"}}})["hits"]["total"]["value"] == 20


def test_our_lines_have_their_kind_cut_out(tmp_path: Path) -> None:
    line = encode({**event(1, n=1), "event.kind": "event", "event.type": ["start"], "message": "hi"})
    made = document(None, line)
    assert (made.fields, made.kind) == (b'{"n":1}', b'"event.kind":"event","event.type":["start"]')
    assert orjson.loads(made.all_fields()) == {"n": 1, "event.kind": "event", "event.type": ["start"]}

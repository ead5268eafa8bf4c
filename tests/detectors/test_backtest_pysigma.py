"""A backtest against pySigma: the same rules, as queries that its Elasticsearch backend writes, on the same node.

Rules of which a query means something else are left out by what they use (`_OTHER_MEANING`, with the reason); of the
others all agreed when every rule of ours and 900 public ones were compared. The events are copied into an index that a
Lucene query can search as Sigma means it: whole values, without case.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from elasticsearch import Elasticsearch as Client
from elasticsearch import helpers
from sigma.backends.elasticsearch import LuceneBackend
from sigma.collection import SigmaCollection
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import FieldMappingTransformation

from collectors.decoders import Hints, decode
from detectors.correlations import Limits
from detectors.rulebook import backtest
from detectors.rulebook.backtest import Subject
from detectors.sigma import Rule, RuleSet
from detectors.sigma.fields import FieldMap
from detectors.sigma.logsource import Place, Route
from pipeline.event import Event, encode, event_id, from_micros, to_micros
from pipeline.settings import Store
from pipeline.store import EVENTS
from pipeline.store.document import document
from pipeline.store.elastic_reader import ElasticReader
from pipeline.store.elastic_writer import ElasticWriter
from tests.detectors.sigma.recordings import windows_events
from tests.rules.benign import RECEIVED
from tests.services.elasticsearch import Elasticsearch

OURS = Path(__file__).resolve().parents[2] / "rules"
#: Every n-th recording, and lines of each log.
_EVERY, _LINES = 3, 300
_LOGS = ("OpenSSH", "Linux", "Apache")
#: Longer values have no place in a keyword of the index that is searched by Lucene.
_LONGEST = 8_000
_START = to_micros("2026-11-20T00:00:00.000Z")
#: Public rules that are tried, of those that have matches, and of those that have none.
_MATCHING, _OTHERS = 50, 20
#: Modifiers and values that mean something else, or nothing, in a query of Lucene's.
_OTHER_MEANING = {
    "re": "Lucene's regular expressions are of the whole value and of another syntax",
    "cidr": "an address is looked up as a keyword here, not as an address",
    "cased": "the index has no case",
    "gt": "keywords are compared as texts", "gte": "keywords are compared as texts",
    "lt": "keywords are compared as texts", "lte": "keywords are compared as texts",
    "fieldref": "the backend has no such thing",
    "null": "a field that several keys may hold is null to pySigma where one of them is missing",
    "keyword": "the backend searches every field, also those that the receiver added",
}  # fmt: skip
_MAPPING = {
    "subobjects": False,
    "date_detection": False,
    "dynamic_templates": [
        {"all": {"match": "*", "mapping": {"type": "keyword", "normalizer": "folded", "ignore_above": _LONGEST}}}
    ],
}
_FOLDED = {"analysis": {"normalizer": {"folded": {"type": "custom", "filter": ["lowercase"]}}}}


def recorded(shared: Path) -> list[Event]:
    """Recorded attacks and real logs, a second apart."""
    events = [event for path in sorted((shared / "evtx").rglob("*.evtx"))[::_EVERY] for event in windows_events(path)]
    for name in _LOGS:
        for path in sorted((shared / "logs" / name).glob("*.log")):
            lines = path.read_text("utf-8", "replace").splitlines()[:_LINES]
            events += [decode(line, Hints(syslog=name != "Apache"), RECEIVED) for line in lines]
    short = [event for event in events if all(len(str(value)) < _LONGEST for value in event.values())]
    return [
        {**event, "@timestamp": from_micros(_START + number * 10_000_000), "event.id": event_id("pysigma", number)}
        for number, event in enumerate(short)
    ]


def other_meaning(part: Any) -> set[str]:
    """What of a selection Lucene does not mean as Sigma does (keys of `_OTHER_MEANING`)."""
    if isinstance(part, list):
        return set().union(*map(other_meaning, part))
    if not isinstance(part, dict):
        return {"keyword"}
    found: set[str] = set()
    for key, value in part.items():
        name, *modifiers = str(key).split("|")
        found |= {"keyword"} if not name else set(modifiers) & _OTHER_MEANING.keys()
        found |= {"null"} if None in (value if isinstance(value, list) else [value]) else set()
    return found


class Node:
    """The same events twice on one node: in our store, and in a plain index that Lucene queries search."""

    def __init__(self, elasticsearch: Elasticsearch, events: list[Event]) -> None:
        self._client = Client(elasticsearch.url)
        settings = Store(kind="elasticsearch", urls=[elasticsearch.url], index_prefix="backtest-", replicas=0)
        writer = ElasticWriter(settings)
        writer.add(EVENTS, [document(event, encode(event)) for event in events])
        writer.close()
        self.reader = ElasticReader(settings)
        self._client.indices.create(index="plain", mappings=_MAPPING, settings={**_FOLDED, "number_of_replicas": 0})
        helpers.bulk(self._client, ({"_index": "plain", "_id": e["event.id"], "_source": e} for e in events))
        self._client.indices.refresh(index="plain")
        self._keys = frozenset(key for event in events for key in event)
        self._fields = FieldMap.load()
        self.events = events

    def close(self) -> None:
        self.reader.close()
        self._client.close()

    def found_by_us(self, rule: Rule) -> set[str]:
        """The ids of the events that a backtest says the rule matches."""
        made = backtest.run(self.reader, Subject(rule, ((rule, rule),)), [], Limits(), sample=len(self.events))
        assert made.bounded == "" and made.alerts == made.matches == len(made.sample)
        return {each["event.id"] for each in made.sample}

    def found_by_pysigma(self, rule: Rule, document: dict[str, Any]) -> set[str]:
        """The ids of the events that pySigma's query finds among those of the log source."""
        collection = SigmaCollection.from_dicts([document])
        names = {item.field for item in _items(collection.rules[0].detection.detections.values()) if item.field}
        mapping = FieldMappingTransformation({name: self._held(rule, name) for name in names})
        (text,) = LuceneBackend(ProcessingPipeline(items=[ProcessingItem(mapping)])).convert(collection)
        query = {"bool": {"must": {"query_string": {"query": text}}, "filter": _of_route(rule.route)}}
        answer = self._client.search(index="plain", query=query, size=10_000, source=False)
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    def _held(self, rule: Rule, name: str) -> list[str]:
        keys = self._fields.field(rule.logsource, name, exact=False).keys
        return [key for key in keys if key in self._keys] or [keys[0]]


def _items(parts: Any) -> Iterator[Any]:
    for part in parts:
        if hasattr(part, "detection_items"):
            yield from _items(part.detection_items)
        else:
            yield part


def _of_route(route: Route) -> dict[str, Any]:
    return {"bool": {"filter": [_any([_of_place(place) for place in group]) for group in route.groups]}}


def _of_place(place: Place) -> dict[str, Any]:
    given = (
        ("event.dataset", place.datasets), ("winlog.channel", place.channels), ("event.code", place.codes),
        ("winlog.provider_name", place.providers),
    )  # fmt: skip
    return {"bool": {"filter": [_any([_named(key, name) for name in names]) for key, names in given if names]}}


def _named(key: str, name: str) -> dict[str, Any]:
    return {"prefix": {key: name[:-1]}} if name.endswith("*") else {"term": {key: name}}


def _any(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"should": parts, "minimum_should_match": 1}}


def _document(rule: Rule) -> dict[str, Any] | None:
    """The rule's own document, where pySigma's query can mean the same."""
    for content in yaml.safe_load_all(Path(rule.path).read_text("utf-8")):
        if content.get("title") == rule.title:
            parts = [part for name, part in content["detection"].items() if name != "condition"]
            return None if other_meaning(parts) else content
    return None


@pytest.fixture(scope="module")
def node(elasticsearch: Elasticsearch, shared_data: Path) -> Iterator[Node]:
    made = Node(elasticsearch, recorded(shared_data))
    yield made
    made.close()


def _differences(node: Node, rules: list[Rule]) -> tuple[int, int, list[str]]:
    """How many rules were compared, how many had matches, and what differs."""
    compared = matching = 0
    found = []
    for rule in rules:
        document = _document(rule)
        if document is None:
            continue
        ours, theirs = node.found_by_us(rule), node.found_by_pysigma(rule, document)
        compared += 1
        matching += bool(theirs)
        if ours != theirs:
            found.append(
                f"{rule.title}: only ours {sorted(ours - theirs)[:3]}, only theirs {sorted(theirs - ours)[:3]}"
            )
    return compared, matching, found


@pytest.mark.slow
def test_our_rules_find_what_pysigmas_queries_find(node: Node) -> None:
    compared, matching, differences = _differences(node, list(RuleSet.load(OURS).rules))
    assert differences == []
    assert compared > 60 and matching > 15


@pytest.mark.slow
def test_public_rules_find_what_pysigmas_queries_find(node: Node, shared_data: Path) -> None:
    rules = RuleSet.load(*sorted((shared_data / "sigma").glob("rules*")))
    hit = {rule for event in node.events for rule in rules.evaluate(event)}
    others = [rule for rule in rules.rules if rule not in hit]
    some = [rule for rule in rules.rules if rule in hit][:_MATCHING] + others[:: len(others) // _OTHERS]
    compared, matching, differences = _differences(node, some)
    assert differences == []
    assert compared >= 40 and matching >= 30

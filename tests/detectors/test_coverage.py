"""Which rules find nothing here, on both stores: against every event looked at one by one, and where nobody fills a field."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detectors.rulebook.coverage import BLIND, PARTLY, SEEING, SILENT, UNSEEN, Covered, covered
from detectors.sigma import RuleSet
from detectors.sigma.nodes import necessary_texts
from detectors.sigma.view import View
from pipeline.event import Event, encode, event_id, from_micros
from pipeline.settings import Store
from pipeline.store import EVENTS, Reader, open_reader, open_writer
from pipeline.store.document import document
from tests.services.elasticsearch import Elasticsearch

RULE = """\
title: '{name}'
id: {number:08}-2222-4333-8444-555555555555
logsource: {{product: {product}}}
detection:
  one: {{{one}}}
  other: {{{other}}}
  condition: {condition}
level: high
"""
CORRELATION = """\
title: '{name}'
id: {number:08}-2222-4333-8444-555555555555
correlation:
  type: event_count
  rules: [{rule:08}-2222-4333-8444-555555555555]
  group-by: [{field}]
  timespan: 1m
  condition: {{gte: 3}}
level: high
"""
Site = Callable[[list[Event]], Reader]


@pytest.fixture(params=["embedded", pytest.param("elasticsearch", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """What makes a store with these events."""
    settings = Store(memory_mb=20)
    if request.param == "elasticsearch":
        node: Elasticsearch = request.getfixturevalue("elasticsearch")
        prefix = f"coverage{time.time_ns()}-"
        settings = Store(kind="elasticsearch", urls=[node.url], index_prefix=prefix, replicas=0)
    opened: list[Reader] = []

    def make(events: list[Event]) -> Reader:
        writer = open_writer(tmp_path / "store", settings)
        writer.add(EVENTS, [document(event, encode(event)) for event in events])
        writer.close()
        opened.append(open_reader(tmp_path / "store", settings))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def event(number: int, **fields: Any) -> Event:
    stamp = from_micros(int((time.time() - 3_600 + number / 1000) * 1_000_000))
    return {"@timestamp": stamp, "event.id": event_id("coverage", number), **fields}


def rules_of(folder: Path, *texts: str) -> RuleSet:
    for number, text in enumerate(texts):
        (folder / f"rule{number}.yml").write_text(text, "utf-8")
    found = RuleSet.load(folder)
    assert found.refused == ()
    return found


def states(found: list[Covered]) -> dict[str, tuple[str, list[str]]]:
    return {each.rule.title: (each.state, [missing.field for missing in each.missing]) for each in found}


def test_what_a_rule_needs_is_worked_out_from_its_condition(site: Site, tmp_path: Path) -> None:
    cases = {
        "both": ("a: x", "b: x", "one and other", SEEING, []),
        "needed": ("a: x", "nothing: x", "one and other", BLIND, ["nothing"]),
        "under not": ("a: x", "nothing: x", "one and not other", PARTLY, ["nothing"]),
        "either": ("a: x", "nothing: x", "one or other", PARTLY, ["nothing"]),
        "null": ("a: x", "nothing: null", "one and other", PARTLY, ["nothing"]),
        "not null": ("a: x", "nothing: null", "one and not other", BLIND, ["nothing"]),
        "exists": ("a: x", "nothing|exists: true", "one and other", BLIND, ["nothing"]),
        "reference": ("a: x", "a|fieldref: nothing", "one and other", BLIND, ["nothing"]),
        "rare": ("a: x", "rare: x", "one and other", SEEING, []),
        "below": ("a: x", "deep: x", "one and other", BLIND, ["deep"]),
        "hidden": ("a: x", "wide: x", "one and other", SEEING, []),
        "in a list": ("a: x", "parts: x", "one and other", SEEING, []),
        "nested": ("a: x", "deep.er: x", "one and other", SEEING, []),
        "code": ("event.code: 7", "b: x", "one and other", SEEING, []),
        "no code": ("event.code: [8, 9]", "nothing: x", "one and other", UNSEEN, []),
        "keyword": ("a: x", "'': x", "one or other", SEEING, []),
    }
    texts = [
        RULE.format(name=name, number=number, product="door", one=one, other=other, condition=condition)
        for number, (name, (one, other, condition, _, _)) in enumerate(cases.items(), 1)
    ]
    silent = RULE.format(name="silent", number=90, product="window", one="a: x", other="b: x", condition="one or other")
    grouped = CORRELATION.format(name="grouped", number=91, rule=1, field="a")
    ungrouped = CORRELATION.format(name="ungrouped", number=92, rule=1, field="nothing")
    blind = CORRELATION.format(name="of a blind one", number=93, rule=2, field="a")
    quiet = CORRELATION.format(name="of a silent one", number=94, rule=90, field="a")
    rules = rules_of(tmp_path, *texts, silent, grouped, ungrouped, blind, quiet)
    door = {"event.dataset": "door", "event.code": 7, "a": "x", "b": "y"}
    # Of many events that fill a field below it, only the first fills the field itself.
    many = [event(number, **door, **{"wide.er": "z"}) for number in range(2, 2_500)]
    many[-1]["parts"] = [{"er": "z"}]
    old = event(0, **{**door, "nothing": "long ago"}) | {"@timestamp": "2020-01-01T00:00:00.000Z"}
    reader = site([old, event(1, **door, rare="y", wide="y", **{"deep.er": "z"}), *many])
    found = states(covered(reader, rules.every, 30))
    expected = {name: (state, missing) for name, (*_, state, missing) in cases.items()}
    expected |= {
        "silent": (SILENT, []), "grouped": (SEEING, []), "ungrouped": (BLIND, ["nothing"]),
        "of a blind one": (BLIND, []), "of a silent one": (SILENT, []),
    }  # fmt: skip
    assert found == expected
    assert states(covered(reader, rules.every, 1e4))["needed"] == (SEEING, [])  # of long ago


@pytest.mark.slow
def test_public_rules_on_recorded_attacks_as_one_by_one(tmp_path: Path, shared_data: Path) -> None:
    from tests.detectors.test_backtest import site as store_of
    from tests.detectors.test_backtest_pysigma import recorded

    events = recorded(shared_data)
    rules = RuleSet.load(shared_data / "sigma" / "rules").rules
    reader = store_of(tmp_path / "store", *events)
    began = time.monotonic()
    found = covered(reader, rules, 10_000)
    assert time.monotonic() - began < 30
    reader.close()
    for rule, each in list(zip(rules, found, strict=True))[::40]:
        of_source = [event for event in events if rule.applies(event)]
        assert each.events == len(of_source)
        assert (each.state == SILENT) == (not of_source)
        codes = necessary_texts(rule.node, "event.code")
        seen = [event for event in of_source if codes is None or str(event.get("event.code")) in codes]
        assert (each.state == UNSEEN) == bool(of_source and not seen)
        for missing in each.missing:
            keys = set(missing.keys)
            assert not any(event.get(key) is not None for event in of_source for key in keys), (rule.title, missing)
        if each.state == BLIND:
            assert not any(rule.node.test(View(event)) for event in of_source)
    assert {each.state for each in found} == {SILENT, UNSEEN, BLIND, PARTLY, SEEING}

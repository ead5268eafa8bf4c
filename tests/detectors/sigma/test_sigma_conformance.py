"""The vectors of tests/corpus/sigma (its README): on the engine, behind its prefilter, and on the slow evaluator."""

from pathlib import Path
from textwrap import indent
from typing import Any

import orjson
import pytest
import yaml
from sigma.rule import SigmaRule

from detectors.sigma import RuleSet
from detectors.sigma.fields import FieldMap
from detectors.sigma.prefilter import Prefilter
from tests.detectors.sigma.naive import Naive

FOLDER = Path(__file__).parents[2] / "corpus" / "sigma"
CASES = [case for path in sorted(FOLDER.glob("*.yml")) for case in yaml.safe_load(path.read_text("utf-8"))]
_KEYS = {"name", "topics", "detection", "rules", "match", "miss", "refused", "warned", "pysigma"}
_HEAD = """\
title: Under test
id: 11111111-1111-4111-8111-111111111111
logsource: {product: app}
detection:
"""
#: What an engine must do, topic by topic: each has a vector that matches and one that does not.
TOPICS = (
    "plain strings", "wildcards", "line breaks", "escapes", "lists of values", "contains", "startswith", "endswith", "all",
    "windash", "cased", "re", "re flag i", "re flag m", "re flag s", "cidr IPv4", "cidr IPv6", "exists", "fieldref", "gt",
    "gte", "lt", "lte", "neq", "base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "minute", "hour", "day",
    "week", "month", "year", "null", "empty text", "missing under not", "numbers", "texts like numbers", "truth values",
    "lists in events", "nested fields", "keywords", "keywords with all", "precedence", "1 of", "all of", "them",
    "maps and lists", "filters", "log source",
)  # fmt: skip
#: And what it must not load.
REFUSED = ("expand", "selector without a match", "refusals")


def text_of(case: dict[str, Any]) -> str:
    """The rules of a case as YAML."""
    return case["rules"] if "rules" in case else _HEAD + indent(case["detection"], "  ")


def event_of(case: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """An event of a case, of the log source of its rule."""
    return event if "rules" in case else {"event.dataset": "app", **event}


@pytest.fixture
def rules(case: dict[str, Any], tmp_path: Path) -> RuleSet:
    (tmp_path / "rule.yml").write_text(text_of(case), "utf-8")
    return RuleSet.load(tmp_path)


def test_every_topic_has_vectors() -> None:
    assert all(case.keys() <= _KEYS for case in CASES)
    assert {topic for case in CASES for topic in case["topics"]} == {*TOPICS, *REFUSED}
    without = [
        (topic, kind) for topic in TOPICS for kind in ("match", "miss")
        if not any(case.get(kind) for case in CASES if topic in case["topics"])
    ]  # fmt: skip
    assert without == []
    assert [topic for topic in REFUSED if not any("refused" in case for case in CASES if topic in case["topics"])] == []
    assert len(CASES) == len({case["name"] for case in CASES})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any], rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.sigma.prefilter.OFTEN", 1)
    if "refused" in case:
        assert any(case["refused"] in each.reason for each in rules.refused), rules.refused
        assert len(rules.rules) == ("rules" in case)
        return
    assert rules.refused == ()
    if "warned" in case:
        assert any(case["warned"] in each.text for each in rules.warnings), rules.warnings
    first = rules.rules[0]
    prefilter = Prefilter(rules.rules)
    for kind in ("match", "miss"):
        for given in case[kind]:
            event = event_of(case, given)
            wanted = [first] if kind == "match" else []
            assert rules.evaluate(event) == wanted, (kind, given)
            assert bool(first.explain(event)) is bool(wanted)
            lines = prefilter.candidates([orjson.dumps(event)])
            for way in ("its own test", "a joint test"):
                found = [rule for number, line in lines for rule in prefilter.matching(number, orjson.loads(line))]
                assert found == wanted, ("behind the prefilter", way, kind, given)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if "detection" in case and "refused" not in case and "pysigma" not in case],
    ids=lambda case: case["name"],
)
def test_vectors_on_the_slow_evaluator(case: dict[str, Any], rules: RuleSet) -> None:
    naive = Naive(SigmaRule.from_yaml(text_of(case)), rules.rules[0].logsource, FieldMap.load())
    for kind in ("match", "miss"):
        for given in case[kind]:
            assert naive.matches(event_of(case, given)) is (kind == "match"), (kind, given)

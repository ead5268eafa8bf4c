"""Every rule of ours beside its test vectors: it loads clean, fires on each hit and on no miss.

The vectors of a correlation are streams (`detectors/rulebook/vectors.py`), those of a rule with a detection are events.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from detectors.correlations import Correlations, Limits
from detectors.rulebook.vectors import events_of
from detectors.sigma import Correlation, Rule, RuleSet
from pipeline.attack import names
from pipeline.messages import LANGUAGES
from tests.rules.vectors import read_vectors

RULES = Path(__file__).parents[2] / "rules"
MIN_RULES = 90
#: What to do first is read by somebody in a hurry.
MAX_SENTENCES = 3
SENTENCE_END = re.compile(r"[.?](?= [A-ZĐÁẮÂẤÍÓÔƠÚÝ]|$)")
FILES = sorted(path for path in RULES.rglob("*.yml") if not path.name.endswith(".test.yml"))
CORRELATIONS = [path for path in FILES if "\ncorrelation:" in path.read_text(encoding="utf-8")]
PLAIN = [path for path in FILES if path not in CORRELATIONS]


@pytest.fixture(scope="module")
def ruleset() -> RuleSet:
    return RuleSet.load(RULES)


@pytest.fixture(scope="module")
def by_path(ruleset: RuleSet) -> dict[str, Rule | Correlation]:
    """The one rule of each file that raises alerts."""
    loud = [rule for rule in (*ruleset.rules, *ruleset.correlations) if rule not in ruleset.silent]
    found = {rule.path: rule for rule in loud}
    assert len(found) == len(loud)
    return found


def streams_of(path: Path) -> dict[str, list[Any]]:
    loaded: dict[str, list[Any]] = yaml.safe_load(path.with_suffix(".test.yml").read_text(encoding="utf-8"))
    return loaded


def test_all_rules_load_without_a_warning(ruleset: RuleSet, by_path: dict[str, Rule | Correlation]) -> None:
    assert ruleset.refused == ()
    assert ruleset.warnings == ()
    assert len(by_path) == len(FILES) >= MIN_RULES
    assert len(ruleset.correlations) >= len(CORRELATIONS) >= 5


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_rule_fires_on_its_hits_only(path: Path, ruleset: RuleSet, by_path: dict[str, Any]) -> None:
    rule = by_path[str(path)]
    vectors = read_vectors(path)
    assert vectors.hits
    assert vectors.misses
    for event in vectors.hits:
        assert rule.matches(event), event
        assert rule in ruleset.evaluate(event)
        reasons = rule.explain(event)
        assert reasons
        assert all(reason.field in event for reason in reasons)
    for event in vectors.misses:
        assert not rule.matches(event), rule.explain(event)
        assert rule not in ruleset.evaluate(event)
        assert rule.explain(event) == []


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_one_near_miss_comes_from_the_log_source(path: Path, by_path: dict[str, Any]) -> None:
    """A miss that only fails by its log source would say nothing about the detection."""
    rule = by_path[str(path)]
    assert any(rule.applies(event) for event in read_vectors(path).misses)


@pytest.mark.parametrize("path", CORRELATIONS, ids=lambda path: path.stem)
def test_correlation_fires_on_its_hits_only(path: Path, ruleset: RuleSet, by_path: dict[str, Any]) -> None:
    streams = streams_of(path)
    for kind, expected in (("hits", [by_path[str(path)].id]), ("misses", [])):
        assert streams[kind]
        for entries in streams[kind]:
            engine = Correlations(ruleset.correlations, Limits(), early=True)
            alerts = []
            for event in events_of(entries):
                matching = ruleset.evaluate(event)
                assert kind == "misses" or matching
                alerts += engine.feed(event, [rule.id for rule in matching])
            alerts += engine.finish()
            assert [alert["rule.id"] for alert in alerts if alert["rule.id"] == by_path[str(path)].id] == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rule_says_what_an_analyst_needs(path: Path, by_path: dict[str, Any]) -> None:
    rule = by_path[str(path)]
    assert rule.author == "Hải Đăng"
    assert rule.description.endswith(".")
    assert rule.falsepositives
    techniques = [tag.removeprefix("attack.").upper() for tag in rule.tags if tag.startswith("attack.t")]
    techniques = [code for code in techniques if code[1:2].isdigit()]
    assert techniques
    for spoken in LANGUAGES:
        assert all(names(spoken)[code] for code in techniques), "pipeline/attack/techniques.json lacks a name"
    assert str(rule.extra["title_vi"]) != rule.title
    assert str(rule.extra["description_vi"]).endswith(".")
    for language in ("response", "response_vi"):
        said = str(rule.extra[language])
        assert said.endswith(".")
        assert 1 <= len(SENTENCE_END.findall(said)) <= MAX_SENTENCES, said


def test_no_vector_file_is_left_without_its_rule() -> None:
    orphans = [
        path
        for path in RULES.rglob("*.test.yml")
        if not path.with_name(path.name.replace(".test.yml", ".yml")).exists()
    ]
    assert orphans == []

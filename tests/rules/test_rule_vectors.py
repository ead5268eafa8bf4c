"""Every rule of ours beside its test vectors: it loads clean, fires on each hit and on no miss."""

import re
from pathlib import Path

import pytest

from detectors.sigma import Rule, RuleSet
from tests.rules.vectors import read_vectors

RULES = Path(__file__).parents[2] / "rules"
MIN_RULES = 90
#: What to do first is read by somebody in a hurry.
MAX_SENTENCES = 3
SENTENCE_END = re.compile(r"[.?](?= [A-ZĐÁẮÂẤÍÓÔƠÚÝ]|$)")
FILES = sorted(path for path in RULES.rglob("*.yml") if not path.name.endswith(".test.yml"))


@pytest.fixture(scope="module")
def ruleset() -> RuleSet:
    return RuleSet.load(RULES)


@pytest.fixture(scope="module")
def by_path(ruleset: RuleSet) -> dict[str, Rule]:
    return {rule.path: rule for rule in ruleset.rules}


def test_all_rules_load_without_a_warning(ruleset: RuleSet) -> None:
    assert ruleset.refused == ()
    assert ruleset.warnings == ()
    assert len(ruleset.rules) == len(FILES) >= MIN_RULES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rule_fires_on_its_hits_only(path: Path, ruleset: RuleSet, by_path: dict[str, Rule]) -> None:
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_near_miss_comes_from_the_log_source(path: Path, by_path: dict[str, Rule]) -> None:
    """A miss that only fails by its log source would say nothing about the detection."""
    rule = by_path[str(path)]
    assert any(rule.applies(event) for event in read_vectors(path).misses)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rule_says_what_an_analyst_needs(path: Path, by_path: dict[str, Rule]) -> None:
    rule = by_path[str(path)]
    assert rule.author == "Hải Đăng"
    assert rule.description.endswith(".")
    assert rule.falsepositives
    assert any(tag.startswith("attack.t") for tag in rule.tags)
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

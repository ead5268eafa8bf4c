"""Rules from a few lines of YAML, and the place of the shared recordings."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest

from detectors.sigma import Rule, RuleSet

RuleOf = Callable[[str], Rule]
RuleSetOf = Callable[..., RuleSet]
HEAD = """\
title: Under test
id: 11111111-1111-4111-8111-111111111111
logsource:
  product: {product}
detection:
"""


@pytest.fixture
def ruleset_of(tmp_path: Path) -> RuleSetOf:
    """Rule files by their text, loaded together; `a.yml`, `b.yml` ... in the order given."""

    def load(*files: str) -> RuleSet:
        for name, text in zip("abcdefgh", files, strict=False):
            (tmp_path / f"{name}.yml").write_text(dedent(text), encoding="utf-8")
        return RuleSet.load(tmp_path)

    return load


@pytest.fixture
def detection(ruleset_of: RuleSetOf) -> Callable[[str], RuleSet]:
    """A rule set with one rule of this detection, for events of the dataset `app`."""

    def load(text: str) -> RuleSet:
        return ruleset_of(HEAD.format(product="app") + indent(dedent(text), "  "))

    return load


@pytest.fixture
def rule_of(detection: Callable[[str], RuleSet]) -> RuleOf:
    def load(text: str) -> Rule:
        ruleset = detection(text)
        assert ruleset.refused == ()
        return ruleset.rules[0]

    return load


@pytest.fixture
def refusal_of(detection: Callable[[str], RuleSet]) -> Callable[[str], str]:
    """Why a rule of this detection is refused."""

    def load(text: str) -> str:
        ruleset = detection(text)
        assert ruleset.rules == ()
        return ruleset.refused[0].reason

    return load


@pytest.fixture(scope="session")
def shared(shared_data: Path) -> Path:
    """The folder of recordings that nobody of this project made; absent on most machines."""
    return shared_data

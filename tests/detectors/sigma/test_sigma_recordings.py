"""The engine against work of others: SigmaHQ's rules, its recordings, and pySigma's reading of the
rules.
"""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from sigma.collection import SigmaCollection

from detectors.sigma import Rule, RuleSet
from detectors.sigma.fields import FieldMap
from tests.detectors.sigma.naive import Naive
from tests.detectors.sigma.recordings import windows_events

SEED = 20261124
SAMPLE = 24  # events that the slow evaluator also sees
Event = dict[str, Any]


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[tuple[str, int | None, list[Event]]]:
    """(identifier of the rule, how often it must fire or None for at least once, events)."""
    found = []
    for info in sorted((shared / "sigma" / "regression_data").rglob("info.yml")):
        described = yaml.safe_load(info.read_text(encoding="utf-8"))
        for test in described.get("regression_tests_info") or []:
            path = shared / "sigma" / test["path"]
            if test["type"] == "evtx" and path.exists():
                events = list(windows_events(path))
                rule = str(described["rule_metadata"][0]["id"])
                found.append((rule, test.get("match_count"), events))
    return found


@pytest.fixture(scope="module")
def attacks(shared: Path) -> list[Event]:
    """Windows events of many attacks."""
    return [event for path in sorted((shared / "evtx").rglob("*.evtx"))[::4] for event in windows_events(path)]


def test_every_rule_loads_or_is_refused_for_a_true_reason(sigmahq: RuleSet) -> None:
    assert len(sigmahq.rules) + len(sigmahq.refused) == 3754
    reasons = Counter(
        "expand" if "'expand'" in refused.reason else "time"
        for refused in sigmahq.refused
        if "'expand' has no values" in refused.reason or "exponential time" in refused.reason
    )
    assert reasons == {"expand": 2}
    assert [w for w in sigmahq.warnings if "unknown log source" in w.text] == []


def test_rules_fire_on_their_recordings_as_often_as_said(
    sigmahq: RuleSet, cases: list[tuple[str, int | None, list[Event]]]
) -> None:
    by_id = {rule.id: rule for rule in sigmahq.rules}
    assert len(cases) >= 100
    wrong = []
    for identifier, expected, events in cases:
        rule = by_id[identifier]
        fired = [event for event in events if rule.matches(event)]
        assert all(rule in sigmahq.evaluate(event) and rule.explain(event) for event in fired)
        if len(fired) != expected and (expected is not None or not fired):
            wrong.append(f"{rule.title}: fired {len(fired)} times, expected {expected or 'some'}")
    assert wrong == []


def test_pysigma_reads_the_same_rules_the_same_way(
    sigmahq: RuleSet,
    attacks: list[Event],
    cases: list[tuple[str, int | None, list[Event]]],
) -> None:
    """All rules on a sample of events, against pySigma's tree walked naively."""
    fields = FieldMap.load()
    naive: dict[str, Naive] = {}

    def by_naive(rule: Rule, event: Event) -> bool:
        if rule.path not in naive:
            text = Path(rule.path).read_text(encoding="utf-8")
            parsed: Any = SigmaCollection.from_yaml(text).rules[0]
            naive[rule.path] = Naive(parsed, rule.logsource, fields)
        return naive[rule.path].matches(event)

    chance = random.Random(SEED)
    events = chance.sample(attacks, SAMPLE // 2)
    events += chance.sample([event for _, _, some in cases for event in some], SAMPLE // 2)
    compared = 0
    for event in events:
        matched = set(map(id, sigmahq.evaluate(event)))
        for rule in sigmahq.rules:
            if rule.applies(event):
                compared += 1
                assert (id(rule) in matched) == by_naive(rule, event), (rule.path, event)
    assert compared > 10_000


def test_no_rule_floods_and_the_time_of_an_event_stays_small(sigmahq: RuleSet, attacks: list[Event]) -> None:
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    for event in attacks:
        counts.update(rule.title for rule in sigmahq.evaluate(event))
    seconds = time.perf_counter() - start
    assert sum(counts.values()) > 500
    # One recording holds thousands of log-ins by a tool that guesses passwords.
    assert [t for t, n in counts.items() if n > len(attacks) // 10 and "Metasploit" not in t] == []
    assert seconds / len(attacks) < 0.005  # measured: 0.0005 s


def test_our_rules_find_the_attacks_and_stay_quiet(attacks: list[Event]) -> None:
    ours = RuleSet.load(Path(__file__).parents[3] / "rules")
    loud = (rule for event in attacks for rule in ours.evaluate(event) if rule not in ours.silent)
    counts = Counter(rule.title for rule in loud)
    assert len(counts) >= 5
    assert max(counts.values()) < len(attacks) / 20

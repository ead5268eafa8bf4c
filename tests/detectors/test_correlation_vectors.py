"""The vectors of correlations (tests/corpus/sigma/correlation/README.md): in every order, twice, over restarts."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from detectors.correlations import SECOND, Correlations, Limits
from detectors.rulebook.vectors import START, events_of
from detectors.sigma import RuleSet
from detectors.sigma.correlation import TYPES
from pipeline.event import Event, to_micros

FOLDER = Path(__file__).parents[1] / "corpus" / "sigma" / "correlation"
FILES = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.yml"))}
CASES = [(stem, case) for stem, content in FILES.items() for case in content["cases"]]


@pytest.fixture(scope="module")
def rule_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RuleSet]:
    """The rules of each file."""
    folder = tmp_path_factory.mktemp("rules")
    found = {}
    for stem, content in FILES.items():
        (folder / f"{stem}.yml").write_text(content["rules"], "utf-8")
        found[stem] = RuleSet.load(folder / f"{stem}.yml")
        assert found[stem].refused == ()
        assert found[stem].correlations
    return found


class Played:
    """One way to play a case."""

    def __init__(self, rules: RuleSet, lateness: int | None, early: bool = False) -> None:
        self.rules, self.limits, self.early = rules, Limits(lateness=lateness), early
        self.engine = self.new()
        self.alerts: list[Event] = []

    def new(self) -> Correlations:
        """An engine without anything."""
        return Correlations(self.rules.correlations, self.limits, self.early)

    def feed(self, events: list[Event], received: int | None = None, restart_after: int = 0) -> "Played":
        """Feed events."""
        for number, event in enumerate(events, 1):
            full = {"event.dataset": "app", **event}
            ids = [rule.id for rule in self.rules.evaluate(full)]
            assert ids, f"no rule matches {event}"
            self.alerts += self.engine.feed(full, ids, received=received)
            if restart_after and number % restart_after == 0:
                dump = list(self.engine.dump())
                self.engine = self.new()
                self.engine.load(dump)
        return self

    def end(self) -> list[tuple[Any, ...]]:
        """All alerts: rule, second, group, count."""
        self.alerts += self.engine.finish()
        return sorted(
            (
                alert["rule.name"],
                (to_micros(alert["@timestamp"]) - START) / SECOND,
                tuple(match["value"] for match in alert["alert.matches"] if match["selection"] == "group-by"),
                alert["alert.count"],
            )
            for alert in self.alerts
        )


def agree(found: list[tuple[Any, ...]], case: dict[str, Any]) -> None:
    """Whether these alerts, and no others, were expected."""
    expected = sorted((a["rule"], a["at"], tuple(a["group"]), a.get("count")) for a in case["alerts"])
    assert [item[:3] for item in found] == [item[:3] for item in expected]
    for one, other in zip(found, expected, strict=True):
        assert other[3] in (None, one[3])


@pytest.mark.parametrize(("stem", "case"), CASES, ids=[f"{stem}: {case['name']}" for stem, case in CASES])
def test_vector(rule_sets: dict[str, RuleSet], stem: str, case: dict[str, Any]) -> None:
    rules = rule_sets[stem]
    lateness = case.get("lateness", 300) * SECOND
    events = events_of(case["events"])
    if "counts" in case:
        played = Played(rules, lateness)
        for place, entry in enumerate(case["events"]):
            received = START + entry["received"] * SECOND if "received" in entry else None
            own = events_of(case["events"][: place + 1])[len(events_of(case["events"][:place])) :]
            played.feed(own, received)
        agree(played.end(), case)
        for name, number in case["counts"].items():
            assert getattr(played.engine.counts, name) == number
        return
    in_time = sorted(events, key=lambda event: to_micros(event["@timestamp"]))
    agree(Played(rules, lateness).feed(in_time).end(), case)
    agree(Played(rules, None).feed(in_time[::-1]).end(), case)
    agree(Played(rules, lateness).feed([*events, *events]).end(), case)
    agree(Played(rules, lateness).feed(in_time, restart_after=3).end(), case)
    chance = random.Random(stem)
    for _ in range(5):
        mixed = sorted(events, key=lambda event: to_micros(event["@timestamp"]) + chance.randrange(lateness))
        agree(Played(rules, lateness).feed(mixed).end(), case)
    early = Played(rules, lateness, early=True).feed(in_time).end()
    assert [(item[0], item[2]) for item in early] == sorted((a["rule"], tuple(a["group"])) for a in case["alerts"])


def test_every_type_has_vectors() -> None:
    named = " ".join(content["rules"] for content in FILES.values())
    for kind in TYPES:
        assert f"type: {kind}," in named

"""The prefilter only ever weakens: what the evaluator finds in all events, it finds in the candidates alone."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.decoders import Hints, decode
from detectors.rulebook.vectors import events_of
from detectors.sigma import Rule, RuleSet
from detectors.sigma.literals import needed
from detectors.sigma.prefilter import Prefilter
from detectors.sigma.view import View
from tests.detectors.sigma.recordings import windows_events
from tests.rules.vectors import read_vectors
from workbench.raw_windows import flat_record, records

#: `make nightly` compares every event, `make test` a sample.
NIGHTLY = os.environ.get("HAIDANG_NIGHTLY") == "1"
_RULES = Path(__file__).resolve().parents[3] / "rules"


@pytest.fixture(scope="module")
def ours() -> RuleSet:
    return RuleSet.load(_RULES)


@pytest.fixture(scope="module", autouse=True)
def joint_at_once() -> Iterator[None]:
    """Rules that were tried together once have a function for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("detectors.sigma.prefilter.OFTEN", 1)
        yield


def found(rules: RuleSet, lines: list[bytes]) -> list[tuple[int, str]]:
    """Return line number and rule of every match among the candidates, by each rule's own test and by joint ones."""
    prefilter = Prefilter(rules.rules)
    own, joint = (
        [
            (number, rule.id)
            for number, line in prefilter.candidates(lines)
            for rule in prefilter.matching(number, orjson.loads(line))
        ]
        for _ in range(2)
    )
    assert own == joint
    return own


def naive(rules: RuleSet, lines: list[bytes]) -> list[tuple[int, str]]:
    """The same for all lines."""
    return [(number, rule.id) for number, line in enumerate(lines) for rule in evaluated(rules, orjson.loads(line))]


def evaluated(rules: RuleSet, event: dict[str, Any]) -> list[Rule]:
    """Every rule of the event's log source asked for itself, by the plain tests of its nodes."""
    view = View(event)
    return [rule for rule in rules.candidates(event) if rule.node.test(view)]


def test_our_rules_all_have_necessary_texts(ours: RuleSet) -> None:
    assert [rule.path for rule in ours.rules if not needed(rule.node, rule.route)] == []


def test_every_vector_of_our_rules_is_a_candidate(ours: RuleSet) -> None:
    found_beside = [read_vectors(Path(rule.path)) for rule in ours.rules]
    every = [each for vectors in found_beside for each in (*vectors.hits, *vectors.misses)]
    events = [event for each in every for event in (events_of(each) if isinstance(each, list) else [each])]
    lines = [orjson.dumps(event) for event in events]
    assert len(lines) > 100
    assert found(ours, lines) == naive(ours, lines) != []


def test_nothing_is_lost_on_real_logs(ours: RuleSet, shared: Path) -> None:
    received = datetime(2026, 11, 24, tzinfo=UTC)
    texts = [
        line
        for path in sorted((shared / "logs").rglob("*.log"))
        for line in path.read_text("utf-8", "replace").splitlines()
    ]
    lines = [orjson.dumps(decode(text, Hints(syslog=True), received)) for text in texts]
    assert found(ours, lines) == naive(ours, lines) != []
    assert len(Prefilter(ours.rules).candidates(lines)) < len(lines) / 4


def test_nothing_is_lost_on_recorded_attacks(ours: RuleSet, shared: Path) -> None:
    lines = [
        orjson.dumps(event) for path in sorted((shared / "evtx").rglob("*.evtx")) for event in windows_events(path)
    ]
    assert found(ours, lines) == naive(ours, lines) != []


def test_public_rules_find_the_same_in_recordings_with_the_index_as_without(shared: Path, sigmahq: RuleSet) -> None:
    files = [*(shared / "sigma" / "regression_data").rglob("*.evtx"), *sorted((shared / "evtx").rglob("*.evtx"))[::9]]
    events = [event for path in sorted(files) for event in windows_events(path)]
    raw = [flat_record(record) for path in sorted(files)[::2] for record in records(path)]
    lines = list(map(orjson.dumps, events + raw))[:: 1 if NIGHTLY else 4]
    matches = found(sigmahq, lines)
    assert matches == naive(sigmahq, lines)
    assert len({rule for _, rule in matches}) > 60


def test_public_rules_find_the_same_in_logs_and_zeek_with_the_index_as_without(shared: Path, sigmahq: RuleSet) -> None:
    received = datetime(2026, 11, 24, tzinfo=UTC)
    texts = [
        line
        for path in sorted((shared / "logs").rglob("*.log"))
        for line in path.read_text("utf-8", "replace").splitlines()[:: 1 if NIGHTLY else 20]
    ]
    lines = [orjson.dumps(decode(text, Hints(syslog=True), received)) for text in texts]
    for path in sorted((shared / "zeek").rglob("*.log")):
        rows = [row for row in path.read_text("utf-8", "replace").splitlines() if row[:1] == "{"]
        kept = rows if NIGHTLY else rows[:: 1 + len(rows) // 50]
        lines += [orjson.dumps({**orjson.loads(row), "event.dataset": f"zeek.{path.stem}"}) for row in kept]
    assert found(sigmahq, lines) == naive(sigmahq, lines)


@pytest.mark.parametrize("turn", range(6))
def test_names_of_a_log_source_that_are_equal_and_not_the_same_are_told_apart(tmp_path: Path, turn: int) -> None:
    tests = ("EventID: 1", "EventID: 'true'", "EventID: null", "EventID: 1, a: x", "EventID|gt: 0, Channel: log")
    for number, test in enumerate(tests):
        head = f"title: t\nid: 6c1d9f4e-0000-4000-8000-00000000000{number}\nlogsource: {{service: app}}\n"
        text = f"{head}detection:\n  s: {{{test}}}\n  condition: s\n"
        (tmp_path / f"{number}.yml").write_text(text, "utf-8")
    rules = RuleSet.load(tmp_path)
    assert not rules.refused
    values: list[Any] = [1, True, 1.0, "1", None, [1], {"a": 1}]
    events = [{"event.dataset": "app", "EventID": value, "Channel": "Log", "a": "X"} for value in values]
    lines = list(map(orjson.dumps, [*events[turn:], *events[:turn]] * 2))
    assert found(rules, lines) == naive(rules, lines) != []


_TEMPLATE = """
title: t
id: 6c1d9f4e-0000-4000-8000-00000000{number:04x}
status: test
logsource: {{product: linux, service: auth}}
detection:
  a: {{{field}{modifier}: [{values}]}}
  b: {{other: {other}}}
  condition: {condition}
level: low
"""
_VALUE = st.text(st.sampled_from('abcK*?\\/"<é .-1234'), min_size=1, max_size=9)


_OTHERS = ("x1y", "X1Y", "z", "", None, 4625, 4625.0, True, ["z", "x1y"], {"a": "x1y"})


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    modifier=st.sampled_from(["", "|contains", "|startswith", "|endswith", "|contains|all", "|re"]),
    condition=st.sampled_from(["a", "a and b", "a or b", "a and not b", "not a", "1 of *", "b", "not b"]),
    other=st.sampled_from(["'x1y'", "null", "4625", "['', x1y]"]),
)
def test_random_rules_lose_no_random_event(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, modifier: str, condition: str, other: str
) -> None:
    values = data.draw(st.lists(_VALUE, min_size=1, max_size=3))
    written = ", ".join(
        orjson.dumps(value.replace("*", ".") if modifier == "|re" else value).decode() for value in values
    )
    folder = tmp_path_factory.mktemp("rules")
    text = _TEMPLATE.format(
        number=1, field="message", modifier=modifier, values=written, other=other, condition=condition
    )
    (folder / "rule.yml").write_text(text, "utf-8")
    rules = RuleSet.load(folder)
    pieces = [value.replace("*", "xx").replace("?", "y").replace("\\", "") for value in values]
    events: list[dict[str, Any]] = [
        {
            "event.dataset": "linux.auth",
            "message": data.draw(
                st.sampled_from([*pieces, "".join(pieces), "\u212a" + pieces[0], "none", pieces[0].upper()])
            ),
            **data.draw(st.sampled_from([{}, *({"other": value} for value in _OTHERS)])),
        }
        for _ in range(6)
    ]
    lines = [orjson.dumps(event) for event in events]
    assert found(rules, lines) == naive(rules, lines)

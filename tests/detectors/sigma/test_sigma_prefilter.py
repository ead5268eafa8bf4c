"""The prefilter only ever weakens: what the evaluator finds in all events, it finds in the candidates alone."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.decoders import Hints, decode
from detectors.sigma import RuleSet
from detectors.sigma.prefilter import Prefilter, markers, necessary
from tests.detectors.sigma.recordings import windows_events
from tests.rules.vectors import read_vectors

_RULES = Path(__file__).resolve().parents[3] / "rules"


@pytest.fixture(scope="module")
def ours() -> RuleSet:
    return RuleSet.load(_RULES)


def found(rules: RuleSet, lines: list[bytes]) -> list[tuple[int, str]]:
    """Return line number and rule of every match among the candidates."""
    candidates = Prefilter(rules.rules).candidates(lines)
    return [(number, rule.id) for number, line in candidates for rule in rules.evaluate(orjson.loads(line))]


def naive(rules: RuleSet, lines: list[bytes]) -> list[tuple[int, str]]:
    """The same for all lines."""
    return [(number, rule.id) for number, line in enumerate(lines) for rule in rules.evaluate(orjson.loads(line))]


def test_our_rules_all_have_necessary_texts(ours: RuleSet) -> None:
    assert [rule.path for rule in ours.rules if not (necessary(rule.node) or markers(rule.route))] == []
    assert Prefilter(ours.rules).active


def test_every_vector_of_our_rules_is_a_candidate(ours: RuleSet) -> None:
    found_beside = [read_vectors(Path(rule.path)) for rule in ours.rules]
    lines = [orjson.dumps(event) for vectors in found_beside for event in (*vectors.hits, *vectors.misses)]
    assert len(lines) > 100
    assert found(ours, lines) == naive(ours, lines) != []


def test_nothing_is_lost_on_real_logs(ours: RuleSet, shared: Path) -> None:
    from datetime import UTC, datetime

    received = datetime(2026, 11, 24, tzinfo=UTC)
    texts = [
        line
        for path in sorted((shared / "logs").rglob("*.log"))
        for line in path.read_text("utf-8", "replace").splitlines()
    ]
    lines = [orjson.dumps(decode(text, Hints(syslog=True), received)) for text in texts]
    assert found(ours, lines) == naive(ours, lines) != []
    assert len(Prefilter(ours.rules).candidates(lines)) < len(lines) / 5


def test_nothing_is_lost_on_recorded_attacks(ours: RuleSet, shared: Path) -> None:
    lines = [
        orjson.dumps(event) for path in sorted((shared / "evtx").rglob("*.evtx")) for event in windows_events(path)
    ]
    assert found(ours, lines) == naive(ours, lines) != []


def test_a_candidate_holds_texts_of_two_parts(ours: RuleSet) -> None:
    words = ["Failed", "ACCEPTED", "accepted"]
    lines = [b'{"message":"%b password for root from 203.0.113.9 port 4711 ssh2"}' % word.encode() for word in words]
    loud = [rule for rule in ours.rules if rule not in ours.silent]
    assert [number for number, _ in Prefilter(loud).candidates(lines)] == [1, 2]


def test_necessary_texts_of_public_rules_stand_in_the_recordings_that_they_match(shared: Path) -> None:
    rules = RuleSet.load(*sorted((shared / "sigma").glob("rules*")))
    needed = {rule: necessary(rule.node) or markers(rule.route) for rule in rules.rules}
    seen = 0
    for path in sorted((shared / "sigma" / "regression_data").rglob("*.evtx")):
        for event in windows_events(path):
            line = orjson.dumps(event).lower().decode()
            for rule in rules.evaluate(event):
                texts = needed[rule]
                assert texts is None or any(text in line for text in texts), (rule.path, texts)
                seen += 1
    assert seen > 100


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


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    modifier=st.sampled_from(["", "|contains", "|startswith", "|endswith", "|contains|all", "|re"]),
    condition=st.sampled_from(["a", "a and b", "a or b", "a and not b", "not a", "1 of *"]),
)
def test_random_rules_lose_no_random_event(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, modifier: str, condition: str
) -> None:
    values = data.draw(st.lists(_VALUE, min_size=1, max_size=3))
    written = ", ".join(
        orjson.dumps(value.replace("*", ".") if modifier == "|re" else value).decode() for value in values
    )
    folder = tmp_path_factory.mktemp("rules")
    text = _TEMPLATE.format(
        number=1, field="message", modifier=modifier, values=written, other='"x1y"', condition=condition
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
            "other": data.draw(st.sampled_from(["x1y", "X1Y", "z"])),
        }
        for _ in range(6)
    ]
    lines = [orjson.dumps(event) for event in events]
    assert found(rules, lines) == naive(rules, lines)

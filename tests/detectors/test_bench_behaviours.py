"""The attacks of `bench behaviours --live`: each is told at its last event, and a running site tells of all."""

import json
from pathlib import Path

import pytest

from detectors.behaviours import All
from detectors.bench_attacks import Attack, attacks
from detectors.bench_traffic import line_of
from pipeline.command import main
from pipeline.event import decode, event_id
from pipeline.settings import Behaviours
from tests.detectors.traffic import SECOND, START


@pytest.mark.parametrize(
    "attack", [each for number in (0, 1, 2, 700) for each in attacks(number)], ids=lambda each: each.rule
)
def test_an_attack_is_told_at_its_last_event_and_not_before(attack: Attack) -> None:
    behaviours = All(Behaviours(), 0)
    found = []
    for number, fields in enumerate(attack.events):
        line = line_of(event_id("t", number), START * SECOND + number * 100_000, fields)
        found += behaviours.feed(decode(line), line)
    assert found == []  # the last one waits
    assert [each["rule.id"] for each in behaviours.finish()] == [attack.rule]


@pytest.mark.slow
def test_a_running_site_tells_of_attacks_in_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    main(["bench", "behaviours", "--live", "--seconds", "16", "--rate", "100", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["attacks"] == 18
    assert figures["attacks_missed"] == figures["other_alerts"] == 0

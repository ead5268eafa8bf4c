"""Real logs: what share of each is understood, and that no record of any raises."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import orjson
import pytest
from evtx import PyEvtxParser

from collectors.decoders import Fields, Hints, decode, decode_windows

SHARES = [
    ("OpenSSH", "linux.auth", 0.95),
    ("Linux", "linux.", 0.95),
    ("Apache", "apache.error", 0.99),
]
TYPES = (str, int, float, bool)


def _decode_log(folder: Path, hints: Hints, received: datetime) -> list[Fields]:
    lines = next(folder.glob("*.log")).read_text("utf-8", "replace").splitlines()
    return [decode(line, hints, received) for line in lines]


def _check_shape(fields: Fields) -> None:
    assert isinstance(fields["event.dataset"], str)
    assert isinstance(fields["message"], str)
    for value in fields.values():
        items = value if isinstance(value, list) else [value]
        assert all(isinstance(item, TYPES) for item in items)


@pytest.mark.parametrize(("name", "dataset", "share"), SHARES)
def test_share_with_a_specific_data_set(
    name: str, dataset: str, share: float, shared_logs: Path, received: datetime
) -> None:
    for hints in (Hints(), Hints(syslog=True)):
        events = _decode_log(shared_logs / name, hints, received)
        found = sum(event["event.dataset"].startswith(dataset) for event in events)
        assert found >= share * len(events)


@pytest.mark.parametrize("name", ["OpenSSH", "Linux"])
def test_share_decoded_beyond_the_header(
    name: str, shared_logs: Path, received: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    events = _decode_log(shared_logs / name, Hints(syslog=True), received)
    found = sum(not event.get("event.action", "_message").endswith("_message") for event in events)
    with capsys.disabled():
        print(f"\n{name}: {found} of {len(events)} lines decoded beyond the header")
    assert found >= {"OpenSSH": 0.95, "Linux": 0.85}[name] * len(events)


def test_every_line_of_every_log_becomes_an_event(shared_logs: Path, received: datetime) -> None:
    for folder in sorted(shared_logs.iterdir()):
        for event in _decode_log(folder, Hints(), received):
            _check_shape(event)
            assert "decoder failed" not in event.get("error.message", "")


def test_every_record_of_every_windows_log_becomes_an_event(shared_evtx: Path) -> None:
    datasets: Counter[str] = Counter()
    for path in sorted(shared_evtx.rglob("*.evtx")):
        for record in PyEvtxParser(str(path)).records_json():
            event = decode_windows(orjson.loads(record["data"]))
            _check_shape(event)
            assert "error.message" not in event
            assert "@timestamp" in event
            datasets[event["event.dataset"]] += 1
    assert datasets.total() > 12_000
    assert set(datasets) >= {"windows.security", "windows.sysmon", "windows.powershell"}

"""`haidang bench sigma`: the figures add up, and the events it writes are those of the logs."""

import json
from pathlib import Path

import pytest

from detectors.sigma.logsource import LogSources
from pipeline.command import main
from workbench.raw_windows import flat_record, records, with_logsource

_RULE = """
title: Encoded command
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, category: process_creation}
detection:
  s: {CommandLine|contains: ' -enc '}
  condition: s
"""
_SYSMON = {"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational"}


def test_the_figures_of_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rule.yml").write_text(_RULE, "utf-8")
    lines = [{**_SYSMON, "CommandLine": f"powershell {how} SQBFAFgA"} for how in ("-enc", "-help") * 500]
    nested = {"Event": {"System": _SYSMON, "EventData": {"CommandLine": "x -enc y"}}}
    (tmp_path / "events").write_text("\n".join(map(json.dumps, [*lines, nested])))
    arguments = ["--rules", str(tmp_path / "rule.yml"), "--events", str(tmp_path / "events"), "--json"]
    assert main(["bench", "sigma", *arguments]) == 0
    figures = json.loads(capfd.readouterr().out)
    assert (figures["events"], figures["matches"], figures["rules"]) == (1001, 501, 1)
    assert figures["parsed_per_event"] == round(501 / 1001, 3)
    assert figures["events_per_second"] > 0


def test_what_cannot_be_measured_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "sigma", "--events", str(tmp_path / "none")]) == 2
    assert main(["bench", "sigma", "--evtx", str(tmp_path)]) == 2
    assert main(["bench", "correlation", "--events", "many"]) == 2
    assert "many" in capfd.readouterr().err


def test_events_of_logs_have_raw_names_and_their_log_source(shared_data: Path) -> None:
    sources = LogSources.load()
    files = sorted((shared_data / "sigma" / "regression_data").rglob("*process_creation*/**/*.evtx"))
    (record, *_) = records(files[0])
    event = with_logsource(flat_record(record), sources)
    assert event["EventID"] == 1
    assert event["Image"]
    found = [event[name] for name in ("product", "service", "category")]
    assert found == ["windows", "sysmon", "process_creation"]

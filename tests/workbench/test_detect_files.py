"""`haidang detect`: every recording of SigmaHQ through it, every format, what it says of what it cannot read."""

import gzip
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
import zstandard

from collectors.envelope import Origin
from detectors.sigma import RuleSet
from pipeline.command import main
from pipeline.event import encode
from tests.conftest import need
from tests.detectors.traffic import flow
from workbench.stream import MAX_TOLD, Detection, File

_HAIDANG = Path(sys.executable).with_name("haidang")
_RULES = """
title: Sign-in refused
id: 00000000-0000-4000-8000-000000000001
logsource: {product: linux, service: sshd}
detection:
  selection: {message|startswith: 'Failed password'}
  condition: selection
level: low
---
title: Encoded command
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, category: process_creation}
detection:
  image: {Image|endswith: '\\powershell.exe'}
  line: {CommandLine|contains: ' -enc '}
  condition: image and line
level: high
"""
_FAILED, _ENCODED, _MANY = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
_CORRELATION = f"""
title: Many sign-ins refused
id: {_MANY}
correlation:
  type: event_count
  rules: [{_FAILED}]
  group-by: [source.ip]
  timespan: 10m
  condition: {{gte: 3}}
level: high
"""
_SSH = "Nov 24 12:00:0{n} may-chu sshd[7]: Failed password for root from 203.0.113.9 port 4 ssh2\n"
_IMAGE, _LINE = r"C:\Windows\System32\powershell.exe", "powershell -enc SQBFAFgA"
_SYSMON = "Microsoft-Windows-Sysmon/Operational"
_SYSTEM = {
    "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}}, "EventID": 1, "Channel": _SYSMON,
    "EventRecordID": 7, "TimeCreated": {"#attributes": {"SystemTime": "2026-11-24T05:00:00.000Z"}},
}  # fmt: skip
_SHAPES: dict[str, dict[str, Any]] = {
    "flat": {"EventID": 1, "Channel": _SYSMON, "Image": _IMAGE, "CommandLine": _LINE},
    "evtx_dump": {"Event": {"System": _SYSTEM, "EventData": {"Image": _IMAGE, "CommandLine": _LINE}}},
    "winlogbeat": {
        "@timestamp": "2026-11-24T05:00:00.000Z",
        "winlog": {"channel": _SYSMON, "event_id": "1", "event_data": {"Image": _IMAGE, "CommandLine": _LINE}},
    },
    "ecs": {
        "event.dataset": "windows.sysmon", "event.code": "1", "winlog.channel": _SYSMON,
        "process.executable": _IMAGE, "process.command_line": _LINE,
    },
}  # fmt: skip


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "rules.yml").write_text(_RULES, "utf-8")
    return folder


@pytest.fixture
def detect(capfd: pytest.CaptureFixture[str], rules: Path) -> Any:
    """Run the command; its status, findings and lines of complaint."""

    def run(*arguments: object) -> Any:
        status = main(["detect", *map(str, arguments), "--rules", str(rules)])
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, found=[json.loads(line) for line in out.splitlines()], said=err)

    return run


def cases(shared: Path) -> list[tuple[str, int | None, Path]]:
    """(identifier of the rule, how often it must fire or None for at least once, recording)."""
    found = []
    for info in sorted((shared / "sigma" / "regression_data").rglob("info.yml")):
        described = yaml.safe_load(info.read_text("utf-8"))
        for test in described.get("regression_tests_info") or []:
            path = shared / "sigma" / test["path"]
            if test["type"] == "evtx" and path.exists():
                found.append((str(described["rule_metadata"][0]["id"]), test.get("match_count"), path))
    return found


def test_every_recording_fires_its_rule_as_often_as_said(shared_data: Path, sigmahq: RuleSet) -> None:
    said: list[str] = []
    detection = Detection(sigmahq, Origin("detect", "", ""), said.append)
    wrong = []
    recordings = cases(shared_data)
    assert len(recordings) >= 100
    for identifier, expected, path in recordings:
        for file in (path, path.with_suffix(".json")):  # the same records, indented
            counts = Counter(finding.rule.id for finding in detection.findings([File(str(file), file)]))
            if counts[identifier] != expected and (expected is not None or not counts[identifier]):
                wrong.append(f"{file}: {counts[identifier]} instead of {expected or 'some'}")
    assert (wrong, said) == ([], [])


@pytest.mark.parametrize("number", [0, 50, 100])
def test_the_command_itself_finds_a_recording_and_touches_no_data_directory(
    shared_data: Path, tmp_path: Path, number: int
) -> None:
    identifier, expected, path = cases(shared_data)[number]
    (rule,) = (found for found in (shared_data / "sigma").glob("rules*/**/*.yml") if identifier in found.read_text())
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(tmp_path / "nowhere")}
    done = subprocess.run(
        [_HAIDANG, "detect", path, "--rules", rule], capture_output=True, env=environment, timeout=60, check=False
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(found) == (expected or len(found)) > 0
    for finding in found:
        assert (finding["rule.id"], finding["log.file.path"]) == (identifier, str(path))
        assert isinstance(finding["event.sequence"], int)
        assert finding["matches"]
        assert {*finding["matches"][0]} == {"selection", "field", "value"}
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("shape", list(_SHAPES))
@pytest.mark.parametrize("written", ["lines", "array", "indented"])
def test_windows_events_are_found_in_every_shape(tmp_path: Path, detect: Any, shape: str, written: str) -> None:
    event = _SHAPES[shape]
    other = json.loads(json.dumps(event).replace("-enc", "-help"))
    file = tmp_path / "events.json"
    file.write_text(
        json.dumps([other, event], indent=1) if written == "array"
        else "\n".join(json.dumps(item, indent=2 if written == "indented" else None) for item in (other, event))
    )  # fmt: skip
    done = detect(file)
    assert (done.status, done.said) == (0, "")
    (finding,) = done.found
    assert (finding["rule.id"], finding["rule.level"], finding["event.sequence"]) == (_ENCODED, "high", 2)
    assert finding["log.file.path"] == str(file)
    assert {match["selection"]: match["value"] for match in finding["matches"]} == {"image": _IMAGE, "line": _LINE}


def test_lines_are_numbered_as_an_editor_numbers_them(tmp_path: Path, detect: Any) -> None:
    text = "\n \n" + _SSH.format(n=1) + "\n\n" + _SSH.format(n=2).strip()
    for name, packed in (("log", bytes), ("log.gz", gzip.compress), ("log.zst", zstandard.compress)):
        (tmp_path / name).write_bytes(packed(text.encode()))
        assert [finding["event.sequence"] for finding in detect(tmp_path / name).found] == [3, 6]
    (tmp_path / "wide").write_bytes(("\ufeff" + text).encode("utf-16-le"))
    assert [finding["event.sequence"] for finding in detect(tmp_path / "wide").found] == [3, 6]


def test_several_files_are_one_stream_for_correlations(tmp_path: Path, rules: Path, detect: Any) -> None:
    (rules / "many.yml").write_text(_CORRELATION, "utf-8")
    (tmp_path / "logs").mkdir()
    for n in (3, 1, 2):
        (tmp_path / "logs" / f"{n}.log").write_text("\n" * n + _SSH.format(n=n))
    done = detect(tmp_path / "logs")
    (finding,) = done.found  # the rule itself is silent: the correlation does not say `generate`
    assert (finding["rule.id"], finding["rule.name"]) == (_MANY, "Many sign-ins refused")
    assert (finding["log.file.path"], finding["event.sequence"]) == (str(tmp_path / "logs" / "3.log"), 4)
    assert {"selection": "group-by", "field": "source.ip", "value": "203.0.113.9"} in finding["matches"]


def test_the_last_of_very_many_events_is_named(tmp_path: Path, rules: Path, detect: Any) -> None:
    (rules / "many.yml").write_text(_CORRELATION.replace("gte: 3", "gte: 250"), "utf-8")
    (tmp_path / "log").write_text(_SSH.format(n=1) * 300)
    assert [finding["event.sequence"] for finding in detect(tmp_path / "log").found] == [250]


def test_paths_are_shown_as_they_were_given(tmp_path: Path, detect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(_SSH.format(n=1))
    assert detect("./logs/a.log").found[0]["log.file.path"] == "./logs/a.log"
    assert detect("./logs/").found[0]["log.file.path"] == "./logs/a.log"


def test_standard_input_is_read(detect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(_SSH.format(n=1).encode())))
    (finding,) = detect("-").found
    assert (finding["log.file.path"], finding["event.sequence"]) == ("-", 1)


def test_what_cannot_be_read_is_named_and_costs_nothing_else(tmp_path: Path, rules: Path, detect: Any) -> None:
    (rules / "broken.yml").write_text("title: Broken\nlogsource: {product: linux}\ndetection: {condition: nothing}\n")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 40)
    event = json.dumps(_SHAPES["flat"])
    (tmp_path / "events.json").write_text(f'{event}\n{{"EventID": \n{event}\n')
    done = detect(tmp_path / "binary", tmp_path / "missing", tmp_path / "events.json")
    assert done.status == 1
    assert [finding["event.sequence"] for finding in done.found] == [1, 3]
    said = done.said.splitlines()
    assert [line for line in said if f"{rules / 'broken.yml'}:1: Broken: " in line]
    assert [line for line in said if line.startswith(f"{tmp_path / 'binary'}: ")]
    assert [line for line in said if line.startswith(f"{tmp_path / 'missing'}: ")]
    assert [line for line in said if line.startswith(f"{tmp_path / 'events.json'}:2: no JSON object")]
    assert len(said) == 4


def test_what_holds_nothing_is_named_and_is_no_fault(tmp_path: Path, detect: Any) -> None:
    (tmp_path / "empty.log").write_text("\n")
    (tmp_path / "folder").mkdir()
    done = detect(tmp_path / "empty.log", tmp_path / "folder")
    assert (done.status, done.found) == (0, [])
    assert done.said.splitlines() == [
        f"{tmp_path / 'empty.log'}: no event in it", f"{tmp_path / 'folder'}: no file in it",
    ]  # fmt: skip


def test_a_folder_that_must_not_be_looked_into_is_a_fault(
    tmp_path: Path, detect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "logs" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "logs" / "a.log").write_text(_SSH.format(n=1))
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if path in (closed, str(closed)):  # the mode of a folder is none for root
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    done = detect(tmp_path / "logs")
    assert (done.status, len(done.found), done.said) == (1, 1, f"{closed}: Permission denied\n")


def test_an_empty_name_is_not_this_folder(detect: Any) -> None:
    done = detect("")
    assert (done.status, done.said) == (1, "'': No such file or directory\n")


def test_rules_for_zeek_hold_for_its_logs_in_columns(tmp_path: Path, detect: Any) -> None:
    (tmp_path / "rule.yml").write_text(
        "title: Mining pool asked for\nid: 00000000-0000-4000-8000-000000000009\nlevel: low\n"
        "logsource: {product: zeek, service: dns}\n"
        "detection: {s: {query|endswith: pool.example}, condition: s}\n"
    )
    head = "#separator \\x09\n#path\tdns\n#fields\tts\tid.orig_h\tquery\n#types\ttime\taddr\tstring\n"
    row = "1601998366.7\t192.0.2.9\t{}\n"
    (tmp_path / "dns.log").write_text(head + row.format("www.example") + row.format("a.pool.example"))
    done = detect(tmp_path / "dns.log", "--rules", tmp_path / "rule.yml")
    assert (done.status, [each["event.sequence"] for each in done.found]) == (0, [6]), done.said


def test_many_unreadable_records_are_counted(tmp_path: Path, detect: Any) -> None:
    event = json.dumps(_SHAPES["flat"])
    (tmp_path / "events.json").write_text(f"{event}\n" + "{broken\n" * (MAX_TOLD + 5))
    done = detect(tmp_path / "events.json")
    assert len(done.said.splitlines()) == MAX_TOLD + 1
    assert done.said.splitlines()[-1].startswith(f"{tmp_path / 'events.json'}: 5 more")


def test_wrong_arguments_are_told_from_faults(tmp_path: Path, detect: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(tmp_path), "--rules", str(tmp_path / "none")]) == 2
    assert "none is not there" in capfd.readouterr().err
    with pytest.raises(SystemExit) as ended:
        detect(tmp_path, "--format", "xml")
    assert ended.value.code == 2
    assert detect(tmp_path, "--encoding", "utf-9").status == 2
    assert main(["import", str(tmp_path), "--encoding", "utf-9"]) == 2
    assert "'utf-9' is no encoding" in capfd.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["detect", str(tmp_path), "--rules", str(empty)]) == 1


def test_a_table_for_people(tmp_path: Path, rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.log").write_text(_SSH.format(n=1) * 1005)
    assert main(["detect", str(tmp_path / "a.log"), "--rules", str(rules), "--format", "table"]) == 0
    out = capfd.readouterr().out
    assert "Sign-in refused" in out
    assert "… and 5 more" in out
    assert "1,005 events read, 0 of them unreadable; 1,005 findings" in out


@pytest.mark.parametrize("name", ["OpenSSH", "Linux", "Apache", "Windows", "Android", "Proxifier"])
def test_real_logs_are_read_without_complaint(shared_data: Path, detect: Any, name: str) -> None:
    (file, *_) = sorted((shared_data / "logs" / name).glob("*.log")) or [shared_data / "nothing"]
    need(file.is_file(), f"logs of {name}")
    done = detect(file)
    assert (done.status, done.said) == (0, "")
    assert len(done.found) > 300 if name == "OpenSSH" else not done.found


def test_behaviours_are_looked_for_over_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.yml").write_text(_RULES, "utf-8")
    events = [flow(n, "10.1.2.3", "203.0.113.4", n + 1, "REJ") for n in range(20)]
    for name, part in (("a.ndjson", events[10:]), ("b.ndjson", events[:10])):
        (tmp_path / name).write_bytes(b"\n".join(map(encode, part)))
    files = [str(tmp_path / "a.ndjson"), str(tmp_path / "b.ndjson")]
    assert main(["detect", *files, "--rules", str(tmp_path / "rules.yml")]) == 0
    assert capsys.readouterr().out == ""
    assert main(["detect", *files, "--rules", str(tmp_path / "rules.yml"), "--behaviours"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["rule.id"], found["log.file.path"], found["event.sequence"]) == (
        "behaviour.port_scan", files[0], 5
    )  # fmt: skip
    assert found["matches"][0]["value"].startswith("10.1.2.3 tried 15 ports of 203.0.113.4 within 14 s")
    assert main(["detect", *files, "--rules", str(tmp_path / "rules.yml"), "--behaviours", "--format", "table"]) == 0
    assert "Port scan" in capsys.readouterr().out


def test_indicators_of_a_file_are_looked_for(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = shared_data / "pcap" / "c2" / "30a385ed-171e-4f15-ac3f-08c96be7bfd1.pcap"
    need(capture.is_file(), str(capture))
    (tmp_path / "rules.yml").write_text(_RULES, "utf-8")
    (tmp_path / "report.csv").write_text("ip,malware\n186.169.47.11,AsyncRAT\n10.0.0.1,x\n", "utf-8")
    arguments = ["detect", str(capture), "--rules", str(tmp_path / "rules.yml")]
    assert main([*arguments, "--indicators", str(tmp_path / "report.csv")]) == 0
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert {each["rule.id"] for each in found} == {"indicator.suspicious"}
    assert all("AsyncRAT" in each["matches"][0]["value"] for each in found)
    assert "1 entries are not used" in err and "10.0.0.1" in err
    assert main([*arguments, "--format", "table", "--indicators", str(tmp_path / "report.csv")]) == 0
    assert "AsyncRAT" in capsys.readouterr().out
    assert main([*arguments, "--indicators", str(tmp_path / "nothing.csv")]) == 2

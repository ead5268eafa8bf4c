"""`haidang packet-rules`, and packet rules in `haidang detect` and `haidang import`: what people type and see."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.command import main
from tests.collectors.network.packets import pcap
from tests.collectors.network.test_packet_rules import sent

RULES = """\
alert tcp any any -> any any (msg:"Mark"; content:"evil"; metadata:title_vi Dấu hiệu, signature_severity Critical; sid:7;)
alert tcp any any -> $OURS any (msg:"Other"; content:"x"; sid:8;)
alert tcp any any -> any any (msg:"Lua"; lua:x; sid:9;)
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A file of rules and a capture."""
    rules, capture = tmp_path / "own.rules", tmp_path / "a.pcap"
    rules.write_text(RULES, "utf-8")
    capture.write_bytes(pcap(sent(b"evil x")))
    return str(rules), str(capture)


def test_check_says_what_is_refused_by_reason_and_by_rule(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["packet-rules", "check", files[0]]) == 1
    shown = capsys.readouterr().out
    assert "own.rules:2" in shown
    assert "$OURS" in shown
    assert "1 packet rules loaded, 2 refused." in shown
    assert main(["packet-rules", "check", files[0], "--variable", "OURS=198.51.100.0/24", "--json"]) == 1
    refused, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert (refused["line"], refused["sid"], refused["keyword"], refused["kind"]) == (3, "9", "lua", "no_such_keyword")
    assert summary == {"loaded": 2, "refused": 1, "reasons": {"no_such_keyword lua": 1}}


def test_test_shows_what_fires(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["packet-rules", "test", *files]) == 1  # a rule is refused
    shown = capsys.readouterr().out
    assert "payload@0 evil" in shown
    assert "1 hits of 1 rules." in shown
    assert main(["packet-rules", "test", *files, "--json", "--variable", "OURS=198.51.100.0/24"]) == 1
    assert sorted(json.loads(line)["rule.id"] for line in capsys.readouterr().out.splitlines()) == ["7", "8"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nowhere.rules"], "nowhere.rules"),
        (["test", "{rules}"], "packet-rules test"),
        (["check", "{rules}", "--variable", "X"], "NAME=VALUE"),
    ],
)
def test_what_is_missing_is_said(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["packet-rules", *(each.format(rules=files[0]) for each in arguments)]) == 2
    assert said in capsys.readouterr().err


def test_detect_asks_packet_rules_of_captures(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", files[1], "--packet-rules", files[0]]) == 1  # two rules are refused
    said = capsys.readouterr()
    (finding,) = map(json.loads, said.out.splitlines())
    assert (finding["rule.id"], finding["rule.level"]) == ("packet.7", "critical")
    assert finding["matches"] == [{"selection": "packet", "field": "payload", "value": "evil @ 0"}]
    assert "sid 9" in said.err


@pytest.mark.slow
def test_import_makes_alerts_of_them(files: tuple[str, str], tmp_path: Path) -> None:
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(tmp_path / "site")}
    command = [str(Path(sys.executable).parent / "haidang"), "import", files[1], "--packet-rules", files[0], "--json"]
    for again in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
        result = json.loads(done.stdout)
        assert (result["packet_rules"], len(result["packet_rules_refused"])) == (1, 2)
        assert (result["stored"], result["already_stored"]) == ((0, 2) if again else (2, 0))
        assert result["alerts_by_rule"] == [{"rule": "Mark", "level": "critical", "alerts": 1}]

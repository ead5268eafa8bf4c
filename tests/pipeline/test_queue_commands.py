"""`haidang queue` and `haidang cases`, from the first look to the bundle that leaves.

The commands run in this process: `test_commands.py` has what only a process of its own can show.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_commands import STEER

from pipeline.command import main
from pipeline.event import Event, event_id, from_micros
from pipeline.messages import choose_language
from pipeline.state import open_state
from response.queue import row, save

#: 2026-11-24T00:00:00Z
START = 1_795_478_400_000_000


@dataclass
class Done:
    """What a command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Site:
    """A data directory and the command on it."""

    data_dir: Path
    _monkeypatch: pytest.MonkeyPatch
    _output: pytest.CaptureFixture[str]

    def run(self, *arguments: str, language: str = "en") -> Done:
        """Run a command."""
        self._monkeypatch.setenv("HAIDANG_DATA_DIR", str(self.data_dir))
        self._monkeypatch.setenv("HAIDANG_LANGUAGE", language)
        self._output.readouterr()
        try:
            status = main(list(arguments))
        except SystemExit as ended:  # argparse's own way
            status = int(ended.code or 0)
        return Done(status, *self._output.readouterr())

    def json(self, *arguments: str) -> list[Any]:
        """Run a command with `--json` and read every line."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def make_site(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[Path], Site]]:
    """Make sites."""
    yield lambda folder: Site(folder, monkeypatch, capfd)
    choose_language("en")


@pytest.fixture
def site(tmp_path: Path, make_site: Callable[[Path], Site]) -> Site:
    """A site with two groups of alerts, one of them with what steers a terminal."""
    made = make_site(tmp_path / "site")
    engine = open_state(made.data_dir)
    with engine.begin() as connection:
        save(connection, [row(_alert(number, "r1", "pc-1"), "test") for number in range(3)])
        save(connection, [row(_alert(9, "r2", STEER, "low"), "test")])
    engine.dispose()
    return made


def _alert(number: int, rule: str, host: str, level: str = "high") -> Event:
    return {
        "@timestamp": from_micros(START + number * 1_000_000), "event.id": event_id("a", number), "rule.id": rule,
        "rule.name": f"Rule {rule}", "rule.name_vi": f"Quy tắc {rule}", "rule.level": level, "host.name": host,
        "rule.response": "Ask who it was.", "rule.response_vi": "Hỏi ai đã làm.",
    }  # fmt: skip


def test_the_queue_is_looked_at_and_worked_off(site: Site) -> None:
    shown = site.run("queue", "list")
    assert "2 of 2 groups" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\x7f" not in shown.stdout
    assert "Quy tắc r1" in site.run("queue", "list", language="vi").stdout
    first, second = site.json("queue", "list")
    assert (first["entity"], first["count"], second["count"]) == ("host:pc-1", 3, 1)
    assert site.run("queue", "take", first["id"]).stdout == "3 alerts changed.\n"
    assert [each["id"] for each in site.json("queue", "list", "--status", "acknowledged")] == [first["id"]]
    shown = site.run("queue", "show", first["id"])
    for text in ("Ask who it was.", "taken", "came", "host:pc-1"):
        assert text in shown.stdout
    assert site.run("queue", "false", first["id"]).returncode == 2
    assert site.run("queue", "false", first["id"], "--note", "a drill").returncode == 0
    assert [each["id"] for each in site.json("queue", "list")] == [second["id"]]
    assert site.run("queue", "entities").returncode == 0
    (budget,) = site.json("queue", "budget")
    assert (budget["came"], budget["past"]) == (2, 0)
    assert "The budget" not in site.run("queue", "budget", language="vi").stdout
    wrong = site.run("queue", "show", "nowhere")
    assert (wrong.returncode, "haidang queue list" in wrong.stderr) == (2, True)
    assert site.run("queue", "budget", "--day", "gestern").returncode == 2
    for wrong_filter in (("--level", "extreme"), ("--entity", "foo"), ("--limit", "-1")):
        assert site.run("queue", "list", *wrong_filter).returncode == 2
    made = site.run("queue", "suppress", "r1", "--reason", "x")
    assert (made.returncode, "3 of the last 4" in made.stderr) == (0, True)
    assert "fits none" in site.run("queue", "suppress", "nosuchrule", "--reason", "x").stderr
    bad = ("queue", "suppress", "r1", "--where", "source.ip=999.1.1.1/99", "--reason", "x")
    assert site.run(*bad).returncode == 2


def test_a_case_goes_from_its_alerts_to_a_bundle(site: Site, tmp_path: Path, make_site: Callable[[Path], Site]) -> None:
    group = site.json("queue", "list")[0]["id"]
    assert site.run("cases", "list").stdout.startswith("There is no such case")
    assert site.run("cases", "open", group, language="vi").stdout == "Đã mở vụ việc 1.\n"
    (tmp_path / "mau.bin").write_bytes(b"\0MZ")
    added = site.run("cases", "add", "1", "--note", "*ghi chú*", "--task", "Gọi", "--file", str(tmp_path / "mau.bin"))
    assert (added.returncode, added.stderr) == (0, "")
    shown = site.run("cases", "show", "1").stdout
    for text in ("Rule r1: pc-1", "mau.bin", "*ghi chú*", "TLP:AMBER", "notice"):
        assert text in shown
    assert [task["title"] for task in site.json("cases", "show", "1")[0]["tasks"]] == ["Hỏi ai đã làm.", "Gọi"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    assert site.run("cases", "mark", "1", "notified", now).returncode == 0
    assert site.run("cases", "mark", "1", "notified", "-").returncode == 0
    for wrong in ("soon", "2001-01-01"):
        assert site.run("cases", "mark", "1", "notified", wrong).returncode == 2
    assert site.run("cases", "set", "1", "--tlp", "red", "--reportable", "no").returncode == 0
    assert site.run("cases", "add", "1", "--observable", "domain=evil.example").returncode == 0
    case = site.json("cases", "show", "1")[0]
    assert (case["tlp"], case["clocks"]) == ("red", [])
    task, file = case["tasks"][1]["number"], case["files"][0]["number"]
    assert site.run("cases", "done", "1", str(task)).returncode == 0
    assert site.run("cases", "get", "1", str(file), "--output", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == b"\0MZ"
    observed = next(each["number"] for each in case["observables"] if each["value"] == "evil.example")
    assert site.run("cases", "remove", "1", str(observed), "--reason", "wrong").returncode == 0
    case = site.json("cases", "show", "1")[0]
    assert (case["tasks"][1]["done"], "evil.example" in str(case["observables"])) == (True, False)
    bundle = tmp_path / "case.zip"
    exported = site.run("cases", "export", "1", "--output", str(bundle))
    digest = re.search(r"[0-9a-f]{64}", exported.stdout)
    assert digest is not None
    assert site.run("cases", "export", "1", "--output", str(bundle)).returncode == 2
    nowhere = make_site(tmp_path / "another machine")
    checked = nowhere.run("cases", "verify", str(bundle))
    assert (checked.returncode, digest[0] in checked.stdout) == (0, True)
    assert not nowhere.data_dir.exists()
    data = bytearray(bundle.read_bytes())
    data[len(data) // 3] ^= 1
    bundle.write_bytes(data)
    assert nowhere.run("cases", "verify", str(bundle)).returncode == 1
    assert site.run("cases", "close", "1", "true_positive", "--summary", "Đã cài lại.").returncode == 0
    assert site.run("cases", "close", "1", "true_positive", "--summary", "x").returncode == 2
    assert site.json("queue", "list", "--status", "true_positive")[0]["count"] == 3

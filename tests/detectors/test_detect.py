"""The detectors' stage: alerts that a replay repeats, refused and failing rules that become alerts, its own process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from detectors.alerts import MAX_EVIDENCE, alert, failed_alert, refused_alert
from detectors.detect import alerts_of, one_by_one
from detectors.sigma import Refused, Rule, RuleSet
from pipeline import bus, ledger
from pipeline.bus.sqlite import SqliteBus
from pipeline.event import Event, decode, encode, event_id
from pipeline.frame import Frame, pack, unpack
from pipeline.shipped import shipped_rules
from pipeline.state import open_state, positions
from tests.conftest import eventually

RULE = """
title: Root logs in
title_vi: root đăng nhập
description: The root account.
description_vi: Tài khoản root.
response: Ask who it was.
response_vi: Hỏi ai đã đăng nhập.
id: 4e0e1f4e-1111-4222-8333-444455556666
status: test
author: An
references: [https://example.org]
tags: [attack.t1078]
level: high
logsource: {product: linux, service: sshd}
detection:
  selection:
    message|contains: ' for root '
  condition: selection
"""
ROOT: Event = {
    "@timestamp": "2026-11-24T05:17:44.000Z", "event.id": event_id("t", 1), "event.dataset": "linux.auth",
    "process.name": "sshd", "host.name": "may", "user.name": "root", "source.ip": "203.0.113.9",
    "message": "Accepted password for root from 203.0.113.9 port 1 ssh2", "labels.source": "syslog",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one rule."""
    made = tmp_path / "rules"
    made.mkdir()
    (made / "root.yml").write_text(RULE, "utf-8")
    return made


@pytest.fixture
def rules(folder: Path) -> RuleSet:
    """That rule, loaded."""
    loaded = RuleSet.load(folder)
    assert loaded.refused == ()
    assert loaded.evaluate(ROOT)
    return loaded


def test_an_alert_says_which_rule_why_and_on_what(rules: RuleSet) -> None:
    (raised,) = alerts_of(ROOT, rules.evaluate(ROOT))
    assert raised["rule.name"] == "Root logs in"
    assert (raised["rule.name_vi"], raised["rule.description_vi"]) == ("root đăng nhập", "Tài khoản root.")
    assert (raised["rule.response"], raised["rule.response_vi"]) == ("Ask who it was.", "Hỏi ai đã đăng nhập.")
    assert (raised["rule.level"], raised["event.severity"], raised["tags"]) == ("high", 75, ["attack.t1078"])
    assert raised["alert.matches"] == [{"selection": "selection", "field": "message", "value": ROOT["message"]}]
    assert raised["alert.evidence"] == [ROOT]
    assert (raised["host.name"], raised["user.name"], raised["source.ip"]) == ("may", "root", "203.0.113.9")
    assert "process.command_line" not in raised


def test_a_replay_repeats_the_ids_and_another_event_or_rule_does_not(rules: RuleSet) -> None:
    (rule,) = rules.rules
    other = replace(rule, id="another")
    ids = [
        alert(each, [event], [])["event.id"]
        for each in (rule, rule, other)
        for event in (ROOT, {**ROOT, "event.id": "2"})
    ]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


def test_evidence_is_bounded_and_the_count_is_not(rules: RuleSet) -> None:
    raised = alert(rules.rules[0], [ROOT] * (MAX_EVIDENCE + 50), [])
    assert (raised["alert.count"], len(raised["alert.evidence"])) == (150, 100)


def test_a_rule_without_vietnamese_has_none_in_its_alert(rules: RuleSet) -> None:
    raised = alert(replace(rules.rules[0], extra={"title_vi": 5}), [ROOT], [])
    assert not [name for name in raised if name.endswith("_vi") or name == "rule.response"]


def test_our_own_alerts_have_both_languages_and_one_id_a_fault() -> None:
    one = refused_alert(Refused("a.yml", "A", "no condition"), "may")
    assert one["rule.name"] == "A detection rule cannot be loaded"
    assert one["rule.name_vi"] == "Không nạp được một luật phát hiện"
    assert one["rule.description"] == "a.yml: no condition"
    assert one["event.id"] == refused_alert(Refused("a.yml", "A", "no condition"), "may")["event.id"]
    assert one["event.id"] != refused_alert(Refused("a.yml", "A", "no selection"), "may")["event.id"]


@dataclass(frozen=True)
class Broken:
    """A detection with a fault of ours in it."""

    def test(self, _view: object) -> bool:
        """Fail."""
        raise ZeroDivisionError("a bug")


def broken(rule: Rule) -> Any:
    """The rule with a bug."""
    return replace(rule, id="broken", title="Broken", node=Broken())


def test_a_rule_that_fails_costs_no_other_rule_and_says_so(rules: RuleSet) -> None:
    both = RuleSet.__new__(RuleSet)
    both.rules, both.refused, both.warnings = (broken(rules.rules[0]), *rules.rules), (), ()
    both._by_origin, both._event_codes = {}, [None, None]
    matching, (failed,) = one_by_one(ROOT, both, "may")
    assert failed["rule.id"] == "haidang.rule_failed"
    assert "ZeroDivisionError: a bug" in failed["rule.description"]
    assert failed["alert.evidence"] == [ROOT]
    assert matching == list(rules.rules)
    again = failed_alert(both.rules[0], {**ROOT, "event.id": "2"}, ZeroDivisionError("a bug"), "may")
    assert again["event.id"] == failed["event.id"]  # one alert, not one an event


class Running:
    """`python -m detectors` on a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.engine = open_state(data_dir)
        self.bus = SqliteBus(data_dir / "bus", 10**9)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Start it."""
        environment = {**os.environ, "HAIDANG_DATA_DIR": str(self.data_dir)}
        self._process = subprocess.Popen([sys.executable, "-m", "detectors", *arguments], env=environment)

    def send(self, source: str, *events: Event) -> None:
        """Put events on the bus."""
        self.bus.publish(bus.EVENTS, list(pack(source, map(encode, events))))

    def alerts(self) -> list[Event]:
        """The alerts on the bus."""
        return [decode(line) for record in self.bus.read(bus.ALERTS, {}) for line in unpack(record.payload)]

    def read_all(self, name: str = "detectors") -> bool:
        """Whether everything was read."""
        return positions.load(self.engine, name, bus.EVENTS).get(0) == self.bus.ends(bus.EVENTS)[0]

    def stop(self) -> int:
        """Stop it; return the status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)

    def kill(self) -> None:
        """End it without leave."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """Close everything."""
        self.kill()
        self.bus.close()
        self.engine.dispose()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A data directory for the process."""
    made = Running(tmp_path / "data")
    yield made
    made.end()


def test_the_process_raises_alerts_once_and_counts_everything(running: Running, folder: Path) -> None:
    (folder / "bad.yml").write_text("title: Bad\nlogsource: {product: linux}\ndetection: {condition: x}\n")
    running.send("syslog", ROOT, {**ROOT, "event.id": "2", "message": "nothing"})
    running.bus.publish(bus.EVENTS, [Frame("foreign", 1, b"no json for root x")])
    running.start("--rules", str(folder))
    eventually(running.read_all, 30)
    assert running.stop() == 0
    assert sorted(found["rule.id"] for found in running.alerts()) == [ROOT_RULE, "haidang.rule_refused"]
    counted = {(line.source, line.outcome, line.reason): line.events for line in ledger.sums(running.engine)}
    assert counted == {
        ("syslog", "in", ""): 2, ("syslog", "out", ""): 1,
        ("foreign", "in", ""): 1, ("foreign", "dropped", "not_an_event"): 1,
    }  # fmt: skip


ROOT_RULE = "4e0e1f4e-1111-4222-8333-444455556666"


def test_an_import_has_rules_a_source_and_a_start_of_its_own(running: Running, folder: Path) -> None:
    running.send(bus.OWN_RULES, ROOT)
    start = running.bus.ends(bus.EVENTS)[0]
    running.send(bus.OWN_RULES, {**ROOT, "event.id": "after"})
    running.send("syslog", {**ROOT, "event.id": "other source"})
    (folder / "bad.yml").write_text("title: Bad\n")
    running.start("--name", "detectors:1", "--rules", str(folder), "--source", bus.OWN_RULES, "--start", f"0:{start}")
    eventually(lambda: running.read_all("detectors:1"), 30)
    assert running.stop() == 0
    (raised,) = running.alerts()  # the import's own folder is told by the import, not by an alert
    assert raised["alert.evidence"][0]["event.id"] == "after"
    assert {(line.stage, line.source) for line in ledger.sums(running.engine)} == {("detectors", bus.OWN_RULES)}


def test_the_sites_rules_leave_an_import_with_its_own_alone(running: Running, folder: Path) -> None:
    running.send(bus.OWN_RULES, ROOT)
    running.send("import", {**ROOT, "event.id": "with the site's rules"})
    running.start("--rules", str(folder))
    eventually(running.read_all, 30)
    assert running.stop() == 0
    assert [found["alert.evidence"][0]["event.id"] for found in running.alerts()] == ["with the site's rules"]


def test_a_full_bus_holds_alerts_and_stops_when_told(running: Running, folder: Path) -> None:
    (running.data_dir / "haidang.toml").write_text("[bus]\nlimit_mb = 10\n")
    running.bus.publish(bus.ALERTS, [Frame("x", 1, os.urandom(11_000_000))])
    running.send("syslog", ROOT)
    running.start("--rules", str(folder))
    log = running.data_dir / "logs" / "detectors.log"
    eventually(lambda: log.exists() and "alerts_held" in log.read_text("utf-8"), 30)
    assert running.stop() == 0
    assert positions.load(running.engine, "detectors", bus.EVENTS) == {}
    running.bus.trim(bus.ALERTS, running.bus.ends(bus.ALERTS))
    running.start("--rules", str(folder))
    eventually(running.read_all, 30)
    assert [found["rule.id"] for found in running.alerts()] == [ROOT_RULE]


def test_the_rules_we_ship_are_found() -> None:
    assert (shipped_rules() / "linux" / "ssh_root_login_accepted.yml").is_file()

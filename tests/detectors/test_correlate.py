"""Correlation through the real stage: alerts over the journal, over restarts and kills, each once."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import bus
from pipeline.event import Event, event_id, format_time
from tests.conftest import eventually
from tests.detectors.test_detect import Running

RULES = """
title: Log-in failed
name: failed
id: 5b6a1f4e-1111-4222-8333-444455556601
logsource: {product: linux, service: sshd}
detection:
  selection: {message|startswith: Failed password}
  condition: selection
---
title: Log-in succeeded
name: succeeded
id: 5b6a1f4e-1111-4222-8333-444455556602
logsource: {product: linux, service: sshd}
detection:
  selection: {message|startswith: Accepted password}
  condition: selection
---
title: Many log-ins failed
name: many
id: 5b6a1f4e-1111-4222-8333-444455556603
level: high
correlation:
  type: event_count
  rules: failed
  group-by: [source.ip]
  timespan: 1m
  condition: {gte: 5}
  generate: false
---
title: One address, many users
id: 5b6a1f4e-1111-4222-8333-444455556604
correlation:
  type: value_count
  rules: failed
  group-by: [source.ip]
  timespan: 1m
  condition: {gte: 3, field: user.name}
---
title: Many failed, then one succeeded
id: 5b6a1f4e-1111-4222-8333-444455556605
level: critical
correlation:
  type: temporal_ordered
  rules: [many, succeeded]
  group-by: [source.ip, user.name]
  timespan: 10m
---
title: Exactly two failed
id: 5b6a1f4e-1111-4222-8333-444455556606
correlation:
  type: event_count
  rules: failed
  group-by: [source.ip]
  timespan: 1s
  condition: {eq: 2}
"""
START = datetime.now(UTC) - timedelta(seconds=30)


def log_in(seconds: float, user: str, address: str, word: str = "Failed") -> Event:
    """An event of sshd, so many seconds after the start."""
    moment = format_time(START + timedelta(seconds=seconds))
    return {
        "@timestamp": moment, "event.id": event_id("t", moment, user, address, word), "event.dataset": "linux.auth",
        "process.name": "sshd", "user.name": user, "source.ip": address,
        "message": f"{word} password for {user} from {address} port 5 ssh2",
    }  # fmt: skip


ATTACK = [log_in(number * 2, "an", "203.0.113.1") for number in range(6)]
SPRAY = [log_in(number, f"user{number}", "203.0.113.2") for number in range(4)]
LOGIN = log_in(15, "an", "203.0.113.1", "Accepted")
PAIR = [log_in(0.1, "an", "203.0.113.3"), log_in(0.7, "an", "203.0.113.3")]


class Correlated(Running):
    """The detectors' process with these rules."""

    def begin(self) -> None:
        """Start it."""
        rules = self.data_dir / "rules.yml"
        rules.write_text(RULES, "utf-8")
        self.start("--rules", str(rules))

    def titles(self) -> list[str]:
        """The alerts on the bus, each id once."""
        return sorted({alert["event.id"]: alert["rule.name"] for alert in self.alerts()}.values())

    def kill(self) -> None:
        """End it without leave."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Correlated]:
    made = Correlated(tmp_path / "data")
    yield made
    made.end()


EXPECTED = ["Many failed, then one succeeded", "One address, many users"]


def test_alerts_of_correlations_come_at_once_and_their_parts_are_silent(running: Correlated) -> None:
    running.send("syslog", *ATTACK, LOGIN, *SPRAY)
    running.begin()
    assert eventually(lambda: len(running.titles()) == 2 and running.titles(), 30) == EXPECTED
    assert running.stop() == 0
    (alert,) = [found for found in running.alerts() if found["rule.level"] == "critical"]
    assert alert["source.ip"] == "203.0.113.1"
    assert {"selection": "group-by", "field": "user.name", "value": "an"} in alert["alert.matches"]
    assert [event["message"][:8] for event in alert["alert.evidence"]] == ["Failed p"] * 5 + ["Accepted"]


def test_a_restart_and_a_kill_in_the_middle_change_nothing(running: Correlated) -> None:
    running.begin()
    running.send("syslog", *ATTACK[:2], *SPRAY[:1])
    eventually(running.read_all, 30)
    assert running.stop() == 0  # saves what is held
    running.begin()
    running.send("syslog", *ATTACK[2:4], *SPRAY[1:2])
    eventually(running.read_all, 30)
    running.kill()  # what came since is read again
    running.send("syslog", *ATTACK[1:], LOGIN, *SPRAY[1:])  # some of it twice
    running.begin()
    assert eventually(lambda: len(running.titles()) == 2 and running.titles(), 30) == EXPECTED
    time.sleep(0.5)
    assert running.titles() == EXPECTED


def test_windows_that_must_be_over_end_when_time_passes(running: Correlated) -> None:
    (running.data_dir / "haidang.toml").write_text("[detectors]\nlateness_seconds = 3\n")
    running.begin()
    running.send("syslog", *PAIR)
    assert eventually(running.titles, 30) == ["Exactly two failed"]
    assert running.stop() == 0
    assert running.bus.ends(bus.HITS)[0] > 2


def test_nothing_is_written_for_events_that_no_correlation_needs(running: Correlated) -> None:
    running.send("syslog", *({**LOGIN, "event.id": str(number), "message": "nothing"} for number in range(50)))
    running.begin()
    eventually(running.read_all, 30)
    assert running.stop() == 0
    assert running.bus.ends(bus.HITS)[0] == 1

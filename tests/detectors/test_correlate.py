"""Correlation through the real stage: alerts over the journal, over restarts and kills, each once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from pipeline import bus
from pipeline.bus.kafka import KafkaBus
from pipeline.event import Event, decode, encode, event_id, format_time
from pipeline.frame import pack, unpack
from pipeline.settings import State
from pipeline.state import open_state
from pipeline.state.tables import leases, stages
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


class Scene:
    """Log-ins of the last half minute: what is older than the lateness bound comes too late."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC) - timedelta(seconds=30)
        self.attack = [self.log_in(number * 2, "an", "203.0.113.1") for number in range(6)]
        self.spray = [self.log_in(number, f"user{number}", "203.0.113.2") for number in range(4)]
        self.login = self.log_in(15, "an", "203.0.113.1", "Accepted")
        self.pair = [self.log_in(0.1, "an", "203.0.113.3"), self.log_in(0.7, "an", "203.0.113.3")]

    def log_in(self, seconds: float, user: str, address: str, word: str = "Failed") -> Event:
        """An event of sshd, so many seconds after the start."""
        moment = format_time(self._start + timedelta(seconds=seconds))
        return {
            "@timestamp": moment, "event.id": event_id("t", moment, user, address, word), "event.dataset": "linux.auth",
            "process.name": "sshd", "user.name": user, "source.ip": address,
            "message": f"{word} password for {user} from {address} port 5 ssh2",
        }  # fmt: skip


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
def scene() -> Scene:
    return Scene()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Correlated]:
    made = Correlated(tmp_path / "data")
    yield made
    made.end()


EXPECTED = ["Many failed, then one succeeded", "One address, many users"]


def test_alerts_of_correlations_come_at_once_and_their_parts_are_silent(running: Correlated, scene: Scene) -> None:
    running.send("syslog", *scene.attack, scene.login, *scene.spray)
    running.begin()
    assert eventually(lambda: len(running.titles()) == 2 and running.titles(), 30) == EXPECTED
    assert running.stop() == 0
    (alert,) = [found for found in running.alerts() if found["rule.level"] == "critical"]
    assert alert["source.ip"] == "203.0.113.1"
    assert {"selection": "group-by", "field": "user.name", "value": "an"} in alert["alert.matches"]
    assert [event["message"][:8] for event in alert["alert.evidence"]] == ["Failed p"] * 5 + ["Accepted"]


def test_a_restart_and_a_kill_in_the_middle_change_nothing(running: Correlated, scene: Scene) -> None:
    running.begin()
    running.send("syslog", *scene.attack[:2], *scene.spray[:1])
    eventually(running.read_all, 30)
    assert running.stop() == 0  # saves what is held
    running.begin()
    running.send("syslog", *scene.attack[2:4], *scene.spray[1:2])
    eventually(running.read_all, 30)
    running.kill()  # what came since is read again
    running.send("syslog", *scene.attack[1:], scene.login, *scene.spray[1:])  # some of it twice
    running.begin()
    assert eventually(lambda: len(running.titles()) == 2 and running.titles(), 30) == EXPECTED
    time.sleep(0.5)
    assert running.titles() == EXPECTED


def test_windows_that_must_be_over_end_when_time_passes(running: Correlated, scene: Scene) -> None:
    (running.data_dir / "haidang.toml").write_text("[detectors]\nlateness_seconds = 3\n")
    running.begin()
    running.send("syslog", *scene.pair)
    assert eventually(running.titles, 30) == ["Exactly two failed"]
    assert running.stop() == 0
    assert running.bus.ends(bus.HITS)[0] > 2


def test_nothing_is_written_for_events_that_no_correlation_needs(running: Correlated, scene: Scene) -> None:
    running.send("syslog", *({**scene.login, "event.id": str(number), "message": "nothing"} for number in range(50)))
    running.begin()
    eventually(running.read_all, 30)
    assert running.stop() == 0
    assert running.bus.ends(bus.HITS)[0] == 1


@pytest.mark.slow
def test_events_of_a_group_meet_on_several_machines_and_what_is_held_is_handed_over(
    tmp_path: Path, kafka: Any, postgres: Any, scene: Scene
) -> None:
    settings, url = kafka.settings(partitions=3), postgres.new_database()
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES, "utf-8")
    environment = {
        **os.environ, "HAIDANG_BUS__KIND": "kafka", "HAIDANG_BUS__SERVERS": json.dumps(settings.servers),
        "HAIDANG_BUS__TOPIC_PREFIX": settings.topic_prefix, "HAIDANG_BUS__PARTITIONS": "3", "HAIDANG_STATE__URL": url,
    }  # fmt: skip
    queue, engine = KafkaBus(settings), open_state(tmp_path / "test", State(url=SecretStr(url)))
    machines = {}

    def start(name: str) -> None:
        places = {**environment, "HAIDANG_DATA_DIR": str(tmp_path / name)}
        command = [sys.executable, "-m", "detectors", "--rules", str(rules)]
        machines[name] = subprocess.Popen(command, env=places)

    def send(*events: Event) -> None:
        for number, event in enumerate(events):  # each to another partition
            queue.publish(bus.EVENTS, list(pack("syslog", [encode(event)], key=str(number))))

    def owners(topic: str) -> set[str]:
        with engine.connect() as connection:
            return set(connection.scalars(select(leases.c.instance).where(leases.c.topic == topic)))

    def titles() -> set[str]:
        found = [decode(line) for record in queue.read(bus.ALERTS, {}) for line in unpack(record.payload)]
        return {alert["rule.name"] for alert in found}

    def held() -> int:
        with engine.connect() as connection:
            details = connection.scalars(select(stages.c.detail).where(stages.c.stage == "detectors")).all()
        return max((detail.get("correlations", {}).get("events", 0) for detail in details), default=0)

    try:
        start("one")
        eventually(lambda: len(owners(bus.HITS)) == 1, 30)
        send(*scene.attack[:3])
        eventually(lambda: held() == 3, 30)
        start("two")
        eventually(lambda: len(owners(bus.EVENTS)) == 2, 30)  # the partitions are divided
        machines["one"].terminate()  # the other one has all of them now
        assert machines["one"].wait(60) == 0
        send(*scene.attack[3:], scene.login)
        eventually(lambda: titles() == {"Many failed, then one succeeded"}, 30)
    finally:
        for process in machines.values():
            process.kill()
            process.wait()
        queue.close()
        engine.dispose()

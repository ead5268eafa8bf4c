"""The whole pipeline on a real Kafka, Elasticsearch and PostgreSQL, each of which goes away under load."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from pipeline.event import format_time
from tests.conftest import eventually
from tests.e2e.conftest import Site
from tests.services.elasticsearch import Elasticsearch
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres

pytestmark = pytest.mark.slow

_numbers = count()
_AWAY_SECONDS = 5.0


def make_site(folder: Path, kafka: Kafka, elasticsearch: Elasticsearch, state: str, sources: str = "") -> Site:
    """A site on the three services, with topics and indexes of its own."""
    bus = kafka.settings(partitions=3)
    environment = {
        "HAIDANG_BUS__KIND": "kafka",
        "HAIDANG_BUS__SERVERS": orjson.dumps(bus.servers).decode(),
        "HAIDANG_BUS__TOPIC_PREFIX": bus.topic_prefix,
        "HAIDANG_BUS__PARTITIONS": "3",
        "HAIDANG_STORE__KIND": "elasticsearch",
        "HAIDANG_STORE__URLS": orjson.dumps([elasticsearch.url]).decode(),
        "HAIDANG_STORE__INDEX_PREFIX": f"e2e{next(_numbers)}-",
        "HAIDANG_STORE__REPLICAS": "0",
    }
    return Site(folder, sources, state=state, environment=environment)


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, elasticsearch: Elasticsearch, postgres: Postgres) -> Iterator[Site]:
    made = make_site(tmp_path / "data", kafka, elasticsearch, postgres.new_database())
    made.start()
    yield made
    made.kill()


class Sender(threading.Thread):
    """Sends numbered lines over TCP syslog, at a steady rate; a full socket holds it."""

    def __init__(self, port: int, lines: int, rate: float) -> None:
        super().__init__(daemon=True)
        self._port, self._lines, self._rate = port, lines, rate

    def run(self) -> None:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            for number in range(self._lines):
                line = f"<13>Nov 24 10:00:00 may app[{number}]: lần {number} của ta\n"
                connection.sendall(line.encode())
                time.sleep(max(0.0, started + number / self._rate - time.monotonic()))


def balance(site: Site) -> dict[str, Any]:
    """The ledger's account of the source that the sender feeds."""
    return site.sources().get("syslog", {})


def test_every_input_and_answer_is_as_with_the_embedded_parts(site: Site) -> None:
    sender = Sender(site.port("tcp"), 500, 2000)
    sender.start()
    site.await_count("lan", 500, 40)
    assert site.count('"lan 77 cua"') == 1
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as connection:
        connection.sendall(
            b"<38>Nov 24 10:00:00 may sshd[7]: Accepted password for root from 203.0.113.9 port 5 ssh2\n"
        )
    eventually(site.alerts, 20)
    assert site.alerts()[0]["source.ip"] == "203.0.113.9"
    eventually(lambda: int(site.run("search", "source.ip:203.0.113.9", "--alerts", "--count").stdout) >= 1, 20)


def test_devices_indicators_and_contacts_are_the_same_on_services(site: Site) -> None:
    site.run("indicators", "add", "186.169.47.11", "--threat", "c2", "--family", "AsyncRAT", "--reason", "a report")
    token = site.token("sensor")
    seen = {"event.category": ["network"], "source.ip": "10.7.7.7", "source.mac": "F8-75-A4-00-00-01"}
    events = [
        {**seen, "event.dataset": "network.arp", "arp.operation": "reply"},
        {**seen, "event.dataset": "network.http", "user_agent.original": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1)"},
        {**seen, "event.dataset": "network.flow", "event.action": "network_flow", "destination.ip": "186.169.47.11",
         "network.transport": "tcp", "flow.state": "SF"},
    ]  # fmt: skip
    eventually(lambda: "indicators" in site.stages()["detectors"]["detail"], 30)
    for event in events:
        now = format_time(datetime.now(UTC))
        answer = httpx.post(
            f"http://127.0.0.1:{site.port('http')}/v1/events", headers={"Authorization": f"Bearer {token}"},
            content=orjson.dumps({"@timestamp": now, **event}), timeout=60,
        )  # fmt: skip
        assert answer.status_code == 200
    eventually(lambda: any(alert["rule.id"] == "indicator.c2" for alert in site.alerts()), 40, 1)

    def kinds() -> dict[str, int]:
        told = site.run("c2", "--from", "now-1h", "--to", "now+1h", "--json").stdout
        return {each["group"]: each["devices"] for each in map(orjson.loads, told.splitlines())}

    eventually(lambda: kinds() == {"phone": 1}, 40, 1)
    (device,) = map(orjson.loads, site.run("devices", "list", "--json").stdout.splitlines())
    assert (device["id"], device["address"], device["os"]) == ("mac:F8-75-A4-00-00-01", "10.7.7.7", "iOS")


def test_an_import_with_rules_of_its_own_reads_every_partition(site: Site, tmp_path: Path) -> None:
    lines = [
        f"Nov 24 10:00:{n:02} may sshd[7]: Accepted password for root from 203.0.113.{n} port 5 ssh2" for n in range(30)
    ]
    for number in range(3):
        (tmp_path / f"auth-{number}.log").write_text("\n".join(lines[number * 10 : number * 10 + 10]) + "\n")
    rules = Path(__file__).parents[2] / "rules"
    done = site.run("import", *(str(tmp_path / f"auth-{n}.log") for n in range(3)), "--rules", str(rules), "--json")
    result = orjson.loads(done.stdout)
    assert (result["read"], result["stored"]) == (30, 30)
    assert result["alerts"] >= 30


def test_nothing_is_lost_or_twice_while_each_service_is_away(
    site: Site, kafka: Kafka, elasticsearch: Elasticsearch, postgres: Postgres
) -> None:
    lines = 12_000
    sender = Sender(site.port("tcp"), lines, 400)
    sender.start()
    time.sleep(2)
    for service in (postgres, kafka, elasticsearch):
        service.stop()
        time.sleep(_AWAY_SECONDS)
        service.start()
        time.sleep(2)
    sender.join(90)
    assert not sender.is_alive()
    site.await_count("lan", lines, 90)
    eventually(lambda: balance(site)["examined"] >= lines, 40, 1)
    found = balance(site)
    assert (found["received"], found["examined"], found["dropped"]) == (lines, lines, 0), found
    assert found["stored"] + found["already_stored"] == lines, found
    assert "All sources add up" in site.run("sources", "--check").stdout
    assert "is started again" not in (site.data_dir / "run.out").read_text("utf-8")

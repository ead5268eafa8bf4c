"""A topic of a real Kafka: each alert is a record, and none is lost while the broker is away."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, NewTopic

from pipeline.delivery import DEAD, SENT, WAITING
from tests.conftest import eventually
from tests.response.delivery.conftest import Corridor, alert

pytestmark = pytest.mark.slow


def test_each_alert_becomes_a_record_under_its_id(corridor: Callable[..., Corridor], kafka: Any) -> None:
    servers = kafka.settings().servers
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic("upstream", 2, 1)])
    admin.close()
    made = corridor(
        channels=[{"name": "k", "kind": "kafka", "servers": servers, "topic": "upstream"}],
        routes=[{"channels": ["k"]}],
    )
    made.raise_alerts(*(alert(number) for number in range(120)))
    large = {f"labels.x{number}": "x" * 100 + str(number) * 50 for number in range(30_000)}
    made.raise_alerts(alert(200, **large))
    made.run()
    receipts = made.ended(60)
    reader = KafkaConsumer(
        "upstream", bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=3000
    )
    records = {record.key.decode(): orjson.loads(record.value) for record in reader}
    reader.close()
    sent = [each for each in receipts if each["status"] == SENT]
    assert {each["id"] for each in sent} == set(records)
    assert len(sent) >= 120
    assert [each["alert"] for each in receipts if each["status"] == DEAD] == [alert(200)["event.id"]]
    assert all(event["specversion"] == "1.0" and event["id"] == key for key, event in records.items())


def test_a_topic_or_broker_that_is_not_there_holds_the_messages(corridor: Callable[..., Corridor]) -> None:
    made = corridor(
        channels=[{"name": "k", "kind": "kafka", "servers": ["127.0.0.1:1"], "topic": "x", "timeout_seconds": 2}],
        routes=[{"channels": ["k"]}],
    )
    made.raise_alerts(alert(1))
    made.run()
    eventually(lambda: made.receipts()[0]["attempts"] > 0, 30)
    waits = made.receipts()[0]
    assert waits["status"] == WAITING
    assert "127.0.0.1:1" in waits["answer"]

"""A foreign topic of a real Kafka broker: nothing is lost and nothing has a second id, whatever happens."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from sqlalchemy import delete

from collectors import collect, kafka_topic
from collectors.canary import Sender
from collectors.listening import Listening
from pipeline.canaries import standing
from pipeline.settings import CANARY, KafkaSource
from pipeline.state.tables import positions
from tests.collectors.conftest import Bench, until
from tests.services.kafka import Kafka, running

pytestmark = pytest.mark.anyio


class Topic:
    """A topic that another program writes."""

    def __init__(self, broker: Kafka, partitions: int = 2) -> None:
        self.broker, self.name = broker, f"foreign-{uuid.uuid4().hex[:12]}"
        with KafkaAdminClient(bootstrap_servers=broker.servers) as admin:
            admin.create_topics({self.name: {"num_partitions": partitions, "replication_factor": 1}})
            admin.wait_for_topics([self.name])

    def send(self, *records: bytes, partition: int | None = None, **options: Any) -> None:
        with KafkaProducer(bootstrap_servers=self.broker.servers, **options) as producer:
            for record in records:
                producer.send(self.name, record, partition=partition)
            producer.flush()


@pytest.fixture
def topic(kafka: Kafka) -> Topic:
    return Topic(kafka)


@asynccontextmanager
async def _reading(bench: Bench, topic: Topic, **more: Any) -> AsyncIterator[Listening]:
    source = KafkaSource(name="foreign", servers=topic.broker.servers, topic=topic.name, timezone="UTC", **more)
    async with bench.intake() as intake:
        listening = await kafka_topic.listen(source, bench.settings, intake)
        try:
            yield listening
        finally:
            await listening.close()


def _said(bench: Bench) -> list[str]:
    return [event.get("event.original") or event["message"] for event in bench.events()]


async def test_each_record_is_one_event_of_json_or_text(bench: Bench, topic: Topic) -> None:
    topic.send(json.dumps({"message": "xin chào", "user": {"name": "an"}}).encode(), partition=1)
    topic.send("Jan  2 03:04:05 web sshd[1]: Đăng nhập\n".encode(), b"", b"two\nlines", partition=1)
    topic.send(b"\xff\xfe\x00\x01" * 20, b"x" * 200_000, partition=1)
    async with _reading(bench, topic):
        events = await until(lambda: found if len(found := bench.events()) >= 5 else None)
    assert [event["log.offset"] for event in events] == [0, 1, 3, 4, 5]
    assert (events[0]["message"], events[0]["user.name"], events[0]["labels.topic"]) == (
        "xin chào",
        "an",
        f"{topic.name}/1",
    )
    assert events[1]["event.original"] == "Jan  2 03:04:05 web sshd[1]: Đăng nhập"
    assert events[2]["event.original"] == "two\nlines"
    assert "longer than" in events[4]["error.message"]
    assert len({event["event.id"] for event in events}) == 5
    assert {event["labels.source"] for event in events} == {"foreign"}


async def test_a_restart_goes_on_where_it_was(bench: Bench, topic: Topic) -> None:
    topic.send(*(b"%d" % number for number in range(10)))
    async with _reading(bench, topic):
        await until(lambda: len(bench.events()) == 10)
    topic.send(*(b"%d" % number for number in range(10, 20)), compression_type="snappy")
    async with _reading(bench, topic):
        await until(lambda: len(bench.events()) == 20)
        await asyncio.sleep(0.5)
    assert sorted(_said(bench), key=int) == [str(number) for number in range(20)]
    assert bench.ledger("foreign") == {"in": 20, "out": 20}


async def test_what_is_read_again_has_the_ids_it_had(bench: Bench, topic: Topic) -> None:
    topic.send(*(b'{"n": %d}' % number for number in range(50)))
    for _ in range(2):
        before = len(bench.events())
        async with _reading(bench, topic):
            await until(lambda before=before: len(bench.events()) == before + 50)
        with bench.stage.engine.begin() as connection:
            connection.execute(delete(positions))
    assert len({event["event.id"] for event in bench.events()}) == 50


async def test_records_from_before_can_be_left_out(bench: Bench, topic: Topic) -> None:
    topic.send(b"old", b"older")
    async with _reading(bench, topic, from_start=False):
        await asyncio.sleep(1)
        topic.send(b"new")
        await until(bench.events)
    topic.send(b"while away")
    async with _reading(bench, topic, from_start=False):
        await until(lambda: len(bench.events()) == 2)
    assert _said(bench) == ["new", "while away"]


async def test_records_that_were_deleted_unread_are_counted(bench: Bench, topic: Topic) -> None:
    topic.send(b"1", partition=0)
    async with _reading(bench, topic):
        await until(bench.events)
    topic.send(b"2", b"3", b"4", partition=0)
    with KafkaAdminClient(bootstrap_servers=topic.broker.servers) as admin:
        from kafka import TopicPartition

        admin.delete_records({TopicPartition(topic.name, 0): 3})
    async with _reading(bench, topic):
        await until(lambda: len(bench.events()) == 2)
    assert _said(bench) == ["1", "4"]
    assert bench.ledger("foreign") == {"in": 4, "out": 2, "deleted_in_kafka": 2}


async def test_partitions_that_are_added_are_read(bench: Bench, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_topic, "_LOOK_SECONDS", 0.2)
    topic.send(b"1", partition=0)
    async with _reading(bench, topic):
        await until(bench.events)
        with KafkaAdminClient(bootstrap_servers=topic.broker.servers) as admin:
            admin.create_partitions({topic.name: 3})
            admin.wait_for_topics([topic.name])
        await until(lambda: _sent(topic, b"2", 2))
        await until(lambda: len(bench.events()) == 2, 20)


def _sent(topic: Topic, record: bytes, partition: int) -> bool:
    try:
        topic.send(record, partition=partition)
    except ValueError:  # the client has not heard of it yet
        return False
    return True


async def test_no_broker_and_no_topic_are_said_and_waited_for(bench: Bench, topic: Topic) -> None:
    topic.name += "-none"
    async with _reading(bench, topic) as listening:
        (reason,) = await until(lambda: list(listening.failures.values()), 20)
        assert f"no topic {topic.name}" in reason
        with KafkaAdminClient(bootstrap_servers=topic.broker.servers) as admin:
            admin.create_topics({topic.name: {"num_partitions": 1, "replication_factor": 1}})
            admin.wait_for_topics([topic.name])
        topic.send(b"1")
        await until(bench.events, 20)
        await until(lambda: not listening.failures)


@pytest.mark.slow
async def test_a_broker_that_is_killed_in_the_middle_costs_nothing(bench: Bench, tmp_path: Path) -> None:
    with running(tmp_path / "kafka") as broker:
        topic = Topic(broker)
        topic.send(*(b"%d" % number for number in range(100)))
        async with _reading(bench, topic) as listening:
            await until(lambda: len(bench.events()) == 100)
            await asyncio.to_thread(broker.stop)
            await until(lambda: listening.failures, 40)
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(topic.send, *(b"%d" % number for number in range(100, 200)))
            await until(lambda: len(set(_said(bench))) == 200, 40)
            await until(lambda: not listening.failures, 40)
        assert len({event["event.id"] for event in bench.events()}) == 200


async def test_the_settings_open_such_a_source(make_bench: Callable[..., Bench], topic: Topic) -> None:
    source = KafkaSource(name="foreign", servers=topic.broker.servers, topic=topic.name)
    bench = make_bench(sources=[source])
    async with bench.intake() as intake:
        listening = await collect._open(source, bench.stage, intake)
        assert listening.places == [f"kafka {topic.name}"]
        await listening.close()


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_canary_goes_through_a_topic_that_may_be_written(
    make_bench: Callable[..., Bench], topic: Topic, allowed: bool
) -> None:
    source = KafkaSource(name="foreign", servers=topic.broker.servers, topic=topic.name, canary=allowed)
    bench = make_bench(sources=[source], canary={"minutes": 0.01})
    async with bench.intake() as intake:
        listening = await kafka_topic.listen(source, bench.settings, intake)
        sending = asyncio.create_task(Sender(bench.stage, intake.canaries, [listening]).run())
        try:
            topic.send(b"an event")
            await until(bench.events)
            if allowed:
                await until(lambda: any("received" in row["reached"] for row in standing(bench.stage.engine)))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await listening.close()
    assert _said(bench)[0] == "an event"
    assert {event["labels.source"] for event in bench.events()} == ({"foreign", CANARY} if allowed else {"foreign"})
    assert bench.ledger("foreign") == {"in": 1, "out": 1}
    assert [row["kind"] for row in standing(bench.stage.engine)] == (["kafka"] if allowed else [])

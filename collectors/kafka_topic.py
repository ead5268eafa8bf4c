"""A topic of Kafka that other programs write: records enter, one event each leaves; it goes on where it was.

How far each partition was read is saved when the events before are on the bus: after a kill some records are read
again, with the ids they had. Nothing is committed to Kafka. One machine reads a topic: two would read everything twice.
"""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition, errors  # type: ignore[import-untyped]
from sqlalchemy.exc import SQLAlchemyError

from collectors.decoders import Hints
from collectors.envelope import Origin, zone
from collectors.intake import Intake
from collectors.listening import Listening
from pipeline.bus.kafka_client import REQUEST_SECONDS, connect
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.settings import KafkaSource, Settings
from pipeline.state import positions

#: How long the broker is asked to wait for records, in milliseconds.
_POLL_MS = 200
#: Records that are decoded before others have their turn.
_AT_ONCE = 500
#: How often positions are saved, in seconds.
_SAVE_SECONDS = 1.0
#: How often it is looked whether the brokers are there and the topic has more partitions, in seconds.
_LOOK_SECONDS = 10.0
#: How long after a fault it is tried again, in seconds.
_RETRY_SECONDS = 2.0
#: The reason of records that Kafka deleted before they were read.
_DELETED = "deleted_in_kafka"


async def listen(source: KafkaSource, settings: Settings, intake: Intake) -> Listening:
    """Read the source's topic until `Listening.close`.

    Raises:
        HaidangError: its time zone is unknown.
    """
    listening = Listening(source.name)
    reader = TopicReader(source, settings, intake, listening)
    listening.opened(f"kafka {source.topic}")
    running = listening.task(reader.run())

    async def close() -> None:
        reader.closing.set()
        await asyncio.wait([running])

    listening.on_close(close)
    return listening


class TopicReader:
    """Reads one topic from where the state says."""

    def __init__(self, source: KafkaSource, settings: Settings, intake: Intake, listening: Listening) -> None:
        hints = Hints(dataset=source.dataset, timezone=zone(source.timezone))
        self._source = source
        self._origin = Origin(source.name, settings.observer, settings.organization, hints, source.encoding)
        self._limit = settings.limits.decode_bytes
        self._intake = intake
        self._engine = intake.stage.engine
        self._listening = listening
        self._place = f"kafka {source.topic}"
        self._name = f"kafka:{source.name}"
        self._next: dict[int, int] = {}
        self._unsaved = False
        self._saved = self._looked = 0.0
        self.closing = asyncio.Event()

    async def run(self) -> None:
        """Read until `closing`; brokers that are away are waited for."""
        while not self.closing.is_set():
            consumer: Any = None
            try:
                consumer = await asyncio.to_thread(lambda: connect(KafkaConsumer, self._source, **_options()))
                await self._read(consumer)
            except (HaidangError, errors.KafkaError, SQLAlchemyError, OSError) as error:
                known = isinstance(error, HaidangError)
                reason = str(error) if known else say("kafka.away", servers=self._servers, reason=str(error))
                self._listening.failed(self._place, reason)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closing.wait(), _RETRY_SECONDS)
            finally:
                if consumer is not None:
                    await asyncio.to_thread(consumer.close, autocommit=False, timeout_ms=1000)

    async def _read(self, consumer: Any) -> None:
        """Read until `closing`, or until the topic has other partitions.

        Raises:
            HaidangError, KafkaError, SQLAlchemyError, OSError: what may pass.
        """
        if not self._next:
            self._next = await asyncio.to_thread(positions.load, self._engine, self._name, self._source.topic)
        count = await asyncio.to_thread(self._assign, consumer)
        while not self.closing.is_set():
            while not self._intake.room and not self.closing.is_set():
                await asyncio.sleep(_POLL_MS / 1000)
            batches = await asyncio.to_thread(consumer.poll, timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            for place, records in batches.items():
                self._take(place.partition, records)
            await self._save(every=_SAVE_SECONDS)
            if time.monotonic() - self._looked > _LOOK_SECONDS:
                self._looked = time.monotonic()
                if await asyncio.to_thread(self._partitions, consumer) != count:
                    break
            elif batches:
                self._listening.mended(self._place)
        await self._save()

    def _partitions(self, consumer: Any) -> int:
        """Return how many partitions the topic has, of brokers that are there."""
        found = consumer.partitions_for_topic(self._source.topic)
        if not found:
            raise HaidangError("kafka.no_topic", topic=self._source.topic, servers=self._servers)
        consumer.end_offsets(
            [TopicPartition(self._source.topic, each) for each in found], timeout_ms=int(REQUEST_SECONDS * 1000)
        )
        self._listening.mended(self._place)
        return len(found)

    def _assign(self, consumer: Any) -> int:
        """Go where each partition was left; return how many there are."""
        count = self._partitions(consumer)
        places = [TopicPartition(self._source.topic, each) for each in range(count)]
        first, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
        consumer.assign(places)
        for place in places:
            fresh = first[place] if self._source.from_start else end[place]
            start = self._next.get(place.partition, fresh)
            if start > end[place]:
                log("kafka_topic").error("topic_lost", topic=place.topic, position=start, end=end[place])
                start = first[place]
            elif start < first[place]:
                log("kafka_topic").error("records_gone", topic=place.topic, records=first[place] - start)
                self._intake.drop(self._source.name, _DELETED, first[place] - start)
                start = first[place]
            if start != self._next.get(place.partition):
                self._next[place.partition] = start
                self._unsaved = True
            consumer.seek(place, start)
        self._looked = time.monotonic()
        return count

    def _take(self, partition: int, records: list[Any]) -> None:
        received = datetime.now(UTC)
        path = f"{self._source.topic}/{partition}"
        events = [self._event(record, received, path) for record in records if (record.value or b"").strip()]
        self._intake.take(self._source.name, events, path)
        self._next[partition] = records[-1].offset + 1
        self._unsaved = True

    def _event(self, record: Any, received: datetime, path: str) -> bytes:
        raw: bytes = record.value
        # A topic that was made anew begins at 0 again; its records have other times.
        position = (record.topic, record.partition, record.offset, record.timestamp)
        more: dict[str, str | int] = {"labels.topic": path, "log.offset": record.offset}
        if len(raw) > self._limit:
            more["error.message"] = f"record longer than {self._limit} bytes; the rest was left out"
            return self._origin.event(raw[: self._limit].rstrip(b"\r\n"), position, received, more)
        return self._origin.line_event(raw.rstrip(b"\r\n"), position, received, more)

    async def _save(self, every: float = 0.0) -> None:
        """Save how far the partitions were read, once their events are on the bus."""
        if not self._unsaved or time.monotonic() - self._saved < every:
            return
        offsets = dict(self._next)
        await self._intake.durable()

        def save() -> None:
            with self._engine.begin() as connection:
                positions.save(connection, self._name, self._source.topic, offsets)

        await asyncio.to_thread(save)
        self._unsaved = False
        self._saved = time.monotonic()

    @property
    def _servers(self) -> str:
        return ", ".join(self._source.servers)


def _options() -> dict[str, Any]:
    return {
        "group_id": None, "enable_auto_commit": False, "auto_offset_reset": "none", "metrics_enabled": False,
        "allow_auto_create_topics": False,
        # The client answers how many partitions there are from what it remembers, five minutes unless told.
        "metadata_max_age_ms": int(_LOOK_SECONDS * 1000),
    }  # fmt: skip

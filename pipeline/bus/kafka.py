"""The bus on Apache Kafka: a topic of ours is one of theirs, a frame is a record, its source and count are headers.

A frame goes to the partition that its key gives, else its source: in order within the key. Written with `acks=all` and
an idempotent producer, so a frame is on all in-sync replicas when `publish` returns. No offset is ever committed to
Kafka: readers say from where. A record that another program wrote, without the headers, is one of the source `kafka`.
What all have read is deleted (`trim`), so what a topic holds is what is unread. Of a frame that lies there twice (the
brokers went away while it was written, and its publisher tried again) the second record is read as an empty one.
"""

import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kafka import (  # type: ignore[import-untyped]
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    TopicPartition,
    errors,
)
from kafka.admin import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]
from kafka.protocol.consumer import OffsetSpec  # type: ignore[import-untyped]

from pipeline.bus import TOPICS, BusAway, Positions, Record, SlowDown
from pipeline.bus.kafka_client import REQUEST_SECONDS, connect
from pipeline.frame import MAX_FRAME_BYTES, Frame
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.settings import Bus as BusSettings

#: The largest record that a topic must take: a frame with its headers. It is Kafka's own default.
RECORD_BYTES = MAX_FRAME_BYTES + 48_588
#: The source of a record that says none: another program's.
FOREIGN = "kafka"
#: How long `publish` tries before it says that the brokers are away, in seconds: a stage that is stopped has 20, and
#: the collectors try twice in them.
DELIVERY_SECONDS = 5.0
#: How long the first and last offsets of a topic are believed, in seconds.
_SPAN_SECONDS = 1.0
#: How long the list of a topic's partitions is believed, in seconds; somebody may add some.
_PARTITIONS_SECONDS = 60.0
#: How long records that are known to be there may take to come, in seconds.
_FETCH_SECONDS = 3.0
#: How long a broker holds a question for records while there are none, in milliseconds; a reader that goes elsewhere
#: waits this long for its first record.
_IDLE_MS = 100
#: Bytes of one answer, and of one partition in it.
_ANSWER_BYTES, _PARTITION_BYTES = 16_000_000, 4_000_000
_AT_ONCE = 500
#: How long a producer may take to end, in seconds.
_CLOSE_SECONDS = 1.0
#: A log is deleted by whole files of this size, in bytes; Kafka's own 1 GB would stay on the disk for long.
_SEGMENT_BYTES = 134_217_728
#: How many frames' ids a reader knows of each partition: more than what may lie between a frame and its repetition.
_KNOWN_FRAMES = 4096
#: Records after which older ones count half in the average.
_AVERAGED = 4096


@dataclass(frozen=True, slots=True)
class _Span:
    """The first offset and the next one of each partition, as a broker said at `asked`."""

    first: dict[int, int]
    end: dict[int, int]
    asked: float


@dataclass(slots=True)
class _Average:
    """What a record of a topic holds, by those seen lately."""

    records: float = 0.0
    events: float = 0.0
    size: float = 0.0

    def add(self, events: int, size: int) -> None:
        self.records, self.events, self.size = self.records + 1, self.events + events, self.size + size
        if self.records > _AVERAGED:
            self.records, self.events, self.size = self.records / 2, self.events / 2, self.size / 2

    def of(self, records: int) -> tuple[int, int]:
        """Return the events and bytes that so many records hold."""
        if not self.records:
            return records, 0
        return round(records * self.events / self.records), round(records * self.size / self.records)


@dataclass(slots=True)
class _Reader:
    """The consumer of one topic. `asked` is from where the next `read` must ask to be one that goes on."""

    consumer: Any
    assigned: frozenset[int] = frozenset()
    asked: dict[int, int | None] = field(default_factory=dict)
    held: dict[int, deque[Record]] = field(default_factory=dict)
    reach: dict[int, int] = field(default_factory=dict)  # the offset after the last one held
    goal: dict[int, int] = field(default_factory=dict)  # up to here there are records
    known: dict[int, dict[bytes, int]] = field(default_factory=lambda: defaultdict(dict))  # where frames lie, by id

    def once(self, frame: bytes, record: Record) -> Record:
        """Return the record; an empty one where the frame lies at an earlier offset too."""
        known = self.known[record.partition]
        if frame and known.setdefault(frame, record.offset) < record.offset:
            log("bus").info("frame_twice", topic=record.topic, partition=record.partition, offset=record.offset)
            return replace(record, events=0, payload=b"")
        if len(known) > _KNOWN_FRAMES:
            del known[next(iter(known))]
        return record

    def behind(self) -> bool:
        return any(self.reach[partition] < goal for partition, goal in self.goal.items())

    def goes_on(self, positions: Positions, partitions: frozenset[int]) -> bool:
        return self.assigned == partitions and all(self.asked[each] == positions.get(each) for each in partitions)


class KafkaBus:
    """`Bus` on a Kafka cluster; see the module's text. Safe to share between threads.

    Raises:
        HaidangError: no broker, no right to it, or a topic that cannot take our frames.
    """

    def __init__(self, settings: BusSettings, instance: str = "") -> None:
        self._settings = settings
        self._instance = instance
        self._limit = settings.limit_mb * 1_000_000
        self.fault = ""
        self._spans: dict[str, _Span] = {}
        self._since: dict[str, int] = defaultdict(int)  # bytes published since the span was asked for
        self._written: dict[str, dict[int, int]] = defaultdict(dict)
        self._averages: dict[str, _Average] = defaultdict(_Average)
        self._partitions: dict[str, tuple[float, tuple[int, ...]]] = {}
        self._producer: Any = None
        self._readers: dict[str, _Reader] = {}
        self._asking, self._reading, self._writing = threading.RLock(), threading.RLock(), threading.RLock()
        self._admin: Any = connect(KafkaAdminClient, settings)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def publish(self, topic: str, frames: Sequence[Frame]) -> None:
        unread = self._unread(topic)
        if unread > self._limit:
            raise SlowDown(f"topic {topic} holds about {unread} unread bytes, its limit is {self._limit}")
        producer = self._open_producer()
        futures: list[Any] = []
        failed: Exception | None = None
        try:
            for frame in frames:
                headers = [
                    ("source", frame.source.encode()), ("events", str(frame.events).encode()),
                    ("by", self._instance.encode()), ("frame", frame.id),
                ]  # fmt: skip
                key = (frame.key or frame.source).encode()
                futures.append(producer.send(self._name(topic), frame.payload, key=key, headers=headers))
        except (errors.KafkaError, OSError) as error:
            failed = error
        deadline = time.monotonic() + DELIVERY_SECONDS + 1
        for future in futures:  # all of them: none may still be on its way when these frames come again
            try:
                told = future.get(timeout=max(0.0, deadline - time.monotonic()))
                self._written[topic][told.partition] = told.offset + 1
            except (errors.KafkaError, OSError) as error:
                failed = failed or error
        if failed is not None:
            self._drop_producer(producer, failed=True)
            raise self._away(failed) from failed
        self._well()
        average = self._averages[topic]
        for frame in frames:
            self._since[topic] += len(frame.payload)
            average.add(frame.events, len(frame.payload))

    def partitions(self, topic: str) -> tuple[int, ...]:
        with self._asking:
            asked, found = self._partitions.get(topic, (0.0, ()))
            if time.monotonic() - asked > _PARTITIONS_SECONDS or not found:
                try:
                    (described,) = self._admin.describe_topics([self._name(topic)])
                    found = tuple(sorted(each["partition_index"] for each in described["partitions"])) or found
                except (errors.KafkaError, OSError, ValueError) as error:
                    if not found:
                        raise self._away(error) from error
                self._partitions[topic] = (time.monotonic(), found)
            return found

    def read(
        self,
        topic: str,
        positions: Positions,
        limit_bytes: int = 4_000_000,
        partitions: Collection[int] | None = None,
    ) -> list[Record]:
        with self._reading:
            try:
                reader = self._placed(topic, positions, partitions)
                self._fill(topic, reader, limit_bytes)
            except BusAway:  # noted in `fault`; the records come when the brokers are back
                return []
            return _taken(reader, limit_bytes)

    def ends(self, topic: str) -> dict[int, int]:
        span = self._span(topic)
        written = self._written[topic]
        return {partition: max(end, written.get(partition, 0)) for partition, end in span.end.items()}

    def backlog(self, topic: str, positions: Positions, partitions: Collection[int] | None = None) -> tuple[int, int]:
        held: list[Record] = []
        average = self._averages[topic]
        with self._reading:
            try:
                reader = self._placed(topic, positions, partitions)
                if not any(reader.held.values()):
                    self._fill(topic, reader, _PARTITION_BYTES)
                held = [record for records in reader.held.values() for record in records]
                reach: Mapping[int, int] = reader.reach
            except BusAway:
                reach = {each: positions.get(each, 0) for each in partitions or self.partitions(topic)}
            for record in held:
                average.add(record.events, len(record.payload))
        first = self._span(topic).first
        ends = self.ends(topic)
        beyond = sum(max(0, ends.get(each, 0) - max(at, first.get(each, 0))) for each, at in reach.items())
        events, size = average.of(beyond)
        return sum(record.events for record in held) + events, sum(len(record.payload) for record in held) + size

    def trim(self, topic: str, positions: Positions) -> int:
        try:
            span = self._span(topic, 0)
            cuts = {
                each: min(offset, span.end[each])
                for each, offset in positions.items()
                if offset > span.first.get(each, offset)
            }
            if not cuts:
                return 0
            with self._asking:
                self._admin.delete_records({self._at(topic, each): offset for each, offset in cuts.items()})
                self._spans[topic] = _Span({**span.first, **cuts}, span.end, span.asked)
        except BusAway:  # housekeeping comes again
            return 0
        except (errors.KafkaError, OSError) as error:
            log("bus").error("cannot_trim", topic=self._name(topic), reason=str(error))
            return 0
        return sum(offset - span.first[each] for each, offset in cuts.items())

    def delete_topics(self) -> None:
        """Delete our topics with all that they hold: what a benchmark made."""
        with self._asking:
            self._admin.delete_topics([self._name(topic) for topic in TOPICS])

    def close(self) -> None:
        with self._reading:
            for reader in self._readers.values():
                reader.consumer.close(autocommit=False, timeout_ms=1000)
            self._readers.clear()
        with self._writing:
            self._drop_producer(self._producer, failed=False)
        with self._asking:
            self._admin.close()

    # What a topic is

    def _name(self, topic: str) -> str:
        return self._settings.topic_prefix + topic

    def _at(self, topic: str, partition: int) -> Any:
        return TopicPartition(self._name(topic), partition)

    def _prepare(self) -> None:
        """Make the topics that are missing, and look whether those that are there will do."""
        names = [self._name(topic) for topic in TOPICS]
        try:
            there = {each["name"] for each in self._admin.describe_topics(names) if not each["error_code"]}
            self._make([name for name in names if name not in there])
            self._check(names)
        except errors.AuthorizationError as error:
            raise HaidangError(
                "kafka.not_allowed",
                username=self._settings.username,
                prefix=self._settings.topic_prefix,
                fault=type(error).__name__,
            ) from error
        except errors.InvalidReplicationFactorError as error:
            raise HaidangError("kafka.replicas", value=self._settings.replicas) from error
        except (errors.KafkaError, OSError) as error:
            raise HaidangError(
                "kafka.unreachable", servers=", ".join(self._settings.servers), security=self._settings.security,
                reason=str(error) or type(error).__name__,
            ) from error  # fmt: skip

    def _make(self, names: list[str]) -> None:
        settings = self._settings
        configs = {
            "cleanup.policy": "delete",
            "max.message.bytes": str(RECORD_BYTES),
            "min.insync.replicas": str(max(1, settings.replicas - 1)),
            "retention.ms": str(int(settings.retention_hours * 3_600_000)),
            "segment.bytes": str(_SEGMENT_BYTES),
        }
        for name in names:
            made = {"num_partitions": settings.partitions, "replication_factor": settings.replicas, "configs": configs}
            with contextlib.suppress(errors.TopicAlreadyExistsError):  # another stage starts with us
                self._admin.create_topics({name: made})
                log("bus").info("topic_made", topic=name, partitions=settings.partitions, replicas=settings.replicas)
        self._admin.wait_for_topics(names)

    def _check(self, names: list[str]) -> None:
        for described in self._admin.describe_topics(names):
            count = len(described["partitions"])
            if count < self._settings.partitions:
                log("bus").warning(
                    "few_partitions", topic=described["name"], partitions=count, expected=self._settings.partitions
                )
        try:
            asked = [ConfigResource(ConfigResourceType.TOPIC, name, ["max.message.bytes"]) for name in names]
            told = self._admin.describe_configs(asked, config_filter="all")
        except errors.AuthorizationError as error:
            log("bus").warning("cannot_check_topics", reason=str(error))
            return
        for name, config in told.get("topic", {}).items():
            value = int(config.get("max.message.bytes", {}).get("value") or RECORD_BYTES)
            if value < RECORD_BYTES:
                raise HaidangError("kafka.small_records", topic=name, value=value, expected=RECORD_BYTES)

    def _span(self, topic: str, seconds: float = _SPAN_SECONDS) -> _Span:
        """Return a topic's first and next offsets, at most `seconds` old; older ones while the brokers are away."""
        with self._asking:
            span = self._spans.get(topic)
            if span is not None and time.monotonic() - span.asked <= seconds:
                return span
            try:
                places = [self._at(topic, each) for each in self.partitions(topic)]
                since = self._since[topic]
                first, end = (
                    {
                        place.partition: found.offset
                        for place, found in self._admin.list_partition_offsets(
                            dict.fromkeys(places, spec), timeout_ms=int(REQUEST_SECONDS * 1000)
                        ).items()
                    }
                    for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
                )
            except (errors.KafkaError, OSError) as error:
                fault = self._away(error)
                if span is None or not seconds:
                    raise fault from error
                self._spans[topic] = _Span(span.first, span.end, time.monotonic())  # not asked again at once
                return span
            self._well()
            span = self._spans[topic] = _Span(first, end, time.monotonic())
            self._since[topic] -= since
            return span

    def _unread(self, topic: str) -> int:
        """Return about how many unread bytes a topic holds: records by their average size, at most what the disk holds.

        While the brokers are away it is what they last said; `publish` will say that they are.
        """
        span = self._span(topic)
        records = sum(max(0, end - span.first[each]) for each, end in span.end.items())
        unread = self._averages[topic].of(records)[1] + self._since[topic]
        if unread > self._limit:
            with contextlib.suppress(errors.KafkaError, OSError), self._asking:
                on_disk = self._on_disk(topic)
                unread = unread if on_disk is None else min(unread, on_disk)
        return unread

    def _on_disk(self, topic: str) -> int | None:
        """Return the bytes of a topic's files, of the largest copy of each partition; None where we may not know."""
        sizes: dict[int, int] = {}
        for broker in self._admin.describe_log_dirs():
            for folder in broker["log_dirs"]:
                for found in folder["topics"]:
                    if found["name"] == self._name(topic):
                        for each in found["partitions"]:
                            number = each["partition_index"]
                            sizes[number] = max(sizes.get(number, 0), each["partition_size"])
        return sum(sizes.values()) if sizes else None

    # Writing

    def _open_producer(self) -> Any:
        with self._writing:
            if self._producer is None:
                try:
                    self._producer = connect(
                        KafkaProducer, self._settings, DELIVERY_SECONDS, acks="all", enable_idempotence=True,
                        delivery_timeout_ms=int(DELIVERY_SECONDS * 1000), max_block_ms=int(DELIVERY_SECONDS * 1000),
                        batch_size=MAX_FRAME_BYTES, max_request_size=8 * RECORD_BYTES, metrics_enabled=False,
                        allow_auto_create_topics=False,
                    )  # fmt: skip
                except HaidangError as error:
                    raise self._away(error) from error
            return self._producer

    def _drop_producer(self, producer: Any, failed: bool) -> None:
        """Close a producer; of one that failed, what it knows of the brokers may be wrong for good."""
        with self._writing:
            if producer is not None:
                if failed:  # `close` gives up where a frame is still on its way, and leaves its thread at work
                    producer._sender.force_close()
                    producer._sender.join(_CLOSE_SECONDS)
                with contextlib.suppress(errors.KafkaError):
                    producer.close(timeout=_CLOSE_SECONDS)
            if producer is self._producer:
                self._producer = None

    # Reading

    def _placed(self, topic: str, positions: Positions, partitions: Collection[int] | None) -> _Reader:
        """Return the topic's reader, going on from `positions`."""
        wanted = frozenset(self.partitions(topic) if partitions is None else partitions)
        reader = self._readers.get(topic)
        if reader is None:
            try:
                consumer = connect(
                    KafkaConsumer, self._settings, REQUEST_SECONDS, group_id=None, enable_auto_commit=False,
                    auto_offset_reset="none", fetch_max_wait_ms=_IDLE_MS, fetch_max_bytes=_ANSWER_BYTES,
                    max_partition_fetch_bytes=_PARTITION_BYTES, metrics_enabled=False, allow_auto_create_topics=False,
                )  # fmt: skip
            except HaidangError as error:
                raise self._away(error) from error
            reader = self._readers[topic] = _Reader(consumer)
        if not reader.goes_on(positions, wanted):
            self._seek(topic, reader, positions, wanted)
        return reader

    def _seek(self, topic: str, reader: _Reader, positions: Positions, wanted: frozenset[int]) -> None:
        span = self._span(topic, 0)
        if reader.assigned != wanted:
            reader.consumer.assign([self._at(topic, each) for each in wanted])
            for state in (reader.asked, reader.held, reader.reach, reader.goal):
                state.clear()
            reader.assigned = wanted
        for each in wanted:
            asked = positions.get(each)
            if each in reader.asked and reader.asked[each] == asked:
                continue
            first, end = span.first[each], span.end[each]
            start = first if asked is None else asked
            if start < first:
                if start:  # deleted by age before it was read, or read by all others
                    log("bus").warning("records_gone", topic=self._name(topic), partition=each, records=first - start)
                start = first
            if start > max(end, self._written[topic].get(each, 0)):
                log("bus").error("topic_lost", topic=self._name(topic), partition=each, position=start, end=end)
                start = first
            reader.consumer.seek(self._at(topic, each), start)
            reader.asked[each], reader.held[each] = asked, deque()
            reader.reach[each] = start
            reader.goal[each] = end

    def _fill(self, topic: str, reader: _Reader, limit_bytes: int) -> None:
        """Hold records for about `limit_bytes`; wait only for those that are known to be there."""
        size = sum(len(record.payload) for records in reader.held.values() for record in records)
        for each, end in self._written[topic].items():
            if each in reader.goal:
                reader.goal[each] = max(reader.goal[each], end)
        deadline = time.monotonic() + _FETCH_SECONDS
        while size < limit_bytes and reader.assigned:
            wait = reader.behind() and not self.fault
            try:
                batches = reader.consumer.poll(timeout_ms=_IDLE_MS if wait else 0, max_records=_AT_ONCE)
            except errors.OffsetOutOfRangeError:  # trimmed or lost meanwhile: look where the topic begins
                reader.asked.clear()
                reader.assigned = frozenset()
                return
            except (errors.KafkaError, OSError) as error:
                raise self._away(error) from error
            for place, records in batches.items():
                each = place.partition
                taken = [reader.once(*_record(topic, record)) for record in records]
                reader.held[each].extend(taken)
                reader.reach[each] = records[-1].offset + 1
                reader.goal[each] = max(reader.goal[each], reader.consumer.highwater(place) or 0)
                size += sum(len(record.payload) for record in taken)
            if batches:
                self._well()
                continue
            if not wait:
                if self.fault and reader.behind():
                    self._span(topic)  # says when the brokers are back
                return
            for each in reader.goal:  # what lies between may be no record: a transaction's mark
                reader.reach[each] = max(reader.reach[each], self._place(topic, reader, each))
            if time.monotonic() > deadline:
                raise self._away(TimeoutError(say("kafka.no_records", topic=self._name(topic))))

    def _place(self, topic: str, reader: _Reader, partition: int) -> int:
        place: int = reader.consumer.position(self._at(topic, partition), timeout_ms=_IDLE_MS) or 0
        return place

    # How it goes

    def _away(self, error: Exception) -> BusAway:
        text = (
            str(error)
            if isinstance(error, HaidangError)
            else say("kafka.away", servers=", ".join(self._settings.servers), reason=str(error) or type(error).__name__)
        )
        if not self.fault:
            log("bus").error("away", reason=text)
        self.fault = text
        return BusAway(text)

    def _well(self) -> None:
        if self.fault:
            log("bus").info("back")
        self.fault = ""


def _record(topic: str, record: Any) -> tuple[bytes, Record]:
    """Return the id of the frame, if it says one, and the frame as a record."""
    payload = record.value or b""
    headers = dict(record.headers or ())
    source = (headers.get("source") or b"").decode("utf-8", "replace")[:100]
    try:
        events = int(headers["events"])
    except (KeyError, TypeError, ValueError):
        events = _lines(payload)
    key = (record.key or b"").decode("utf-8", "replace")[:100]
    by = (headers.get("by") or b"").decode("utf-8", "replace")
    made = Record(topic, record.partition, record.offset, source or FOREIGN, events, payload, by, key)
    return bytes(headers.get("frame") or b"")[:100], made


def _lines(payload: bytes) -> int:
    return payload.count(b"\n") + (not payload.endswith(b"\n")) if payload else 0


def _taken(reader: _Reader, limit_bytes: int) -> list[Record]:
    """Take held records of all partitions in turn, so that none waits for another."""
    taken: list[Record] = []
    waiting: Iterable[int] = [each for each, records in reader.held.items() if records]
    while waiting:
        for each in waiting:
            record = reader.held[each].popleft()
            taken.append(record)
            reader.asked[each] = record.offset + 1
            limit_bytes -= len(record.payload)
            if limit_bytes <= 0:
                return taken
        waiting = [each for each in waiting if reader.held[each]]
    return taken

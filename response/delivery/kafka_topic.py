"""A topic of Kafka: messages enter, a record of CloudEvents in structured mode for each leaves; its key is the id."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from kafka import KafkaProducer, errors  # type: ignore[import-untyped]

from pipeline.bus.kafka_client import connect
from pipeline.delivery.book import Outcome
from pipeline.messages import HaidangError
from pipeline.outward import Stopped, reason
from pipeline.settings.delivery import KafkaChannel
from response.delivery.message import Message
from response.delivery.sender import Sender, failed
from response.delivery.shapes import cloudevent

_HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
#: Answers that are about one message, which will never be taken.
_NEVER = (errors.MessageSizeTooLargeError,)


class KafkaTopic(Sender):
    """One topic."""

    def __init__(self, channel: KafkaChannel, source: str) -> None:
        self._channel, self._source = channel, source
        self._producer: Any = None

    def send(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Write messages together; each is sent when all in-sync copies have it."""
        producer = self._connected()
        waiting: list[Any] = []
        for message in messages:
            value = orjson.dumps(cloudevent(message, self._source))
            try:
                headers = [*_HEADERS, ("ce_id", message.id.encode())]
                waiting.append(producer.send(self._channel.topic, value, key=message.id.encode(), headers=headers))
            except (errors.KafkaError, OSError) as error:
                waiting.append(error)
        for each in waiting:
            outcome = self._outcome(each)
            if outcome.away:
                self.close()
            yield outcome
            if outcome.away:
                return

    def close(self) -> None:
        """Let go of the brokers."""
        if self._producer is not None:
            self._producer.close(timeout=2)
            self._producer = None

    def _connected(self) -> Any:
        if self._producer is None:
            milliseconds = int(self._channel.timeout_seconds * 1000)
            try:
                self._producer = connect(
                    KafkaProducer, self._channel, seconds=min(self._channel.timeout_seconds, 10.0), acks="all",
                    compression_type="gzip", linger_ms=5, max_block_ms=milliseconds,
                    delivery_timeout_ms=max(milliseconds, 10_000),
                )  # fmt: skip
            except HaidangError as error:
                raise Stopped(str(error)) from error
        return self._producer

    def _outcome(self, sending: Any) -> Outcome:
        if isinstance(sending, Exception):
            return _of_fault(sending)
        try:
            record = sending.get(timeout=self._channel.timeout_seconds)
        except (errors.KafkaError, OSError) as error:
            return _of_fault(error)
        return Outcome("sent", f"{record.topic}[{record.partition}]@{record.offset}")


def _of_fault(error: Exception) -> Outcome:
    return Outcome("refused", reason(error)) if isinstance(error, _NEVER) else failed(error)

"""`[bus]`, `[state]`, `[store]`, `[limits]`: where a site keeps what it has, and how much that may take."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from pipeline.messages import say
from pipeline.settings.kafka import Kafka
from pipeline.settings.section import Section


class Bus(Kafka):
    kind: Literal["sqlite", "kafka"] = Field("sqlite", description="`sqlite`: files of the data directory; or `kafka`")
    limit_mb: int = Field(2000, ge=10, description="unread compressed megabytes of a topic before intake is held")
    topic_prefix: str = Field(
        "haidang.", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="Kafka: what our topics' names begin with"
    )
    partitions: int = Field(6, ge=1, le=10_000, description="Kafka: partitions of a topic that we make")
    replicas: int = Field(1, ge=1, le=10, description="Kafka: copies of a topic that we make; 3 on a cluster")
    retention_hours: float = Field(
        168, gt=0, description="Kafka: hours after which a topic that we make drops what nobody has read"
    )


_POSTGRESQL = re.compile(r"postgres(ql)?://[^/\s]*/[^/?#\s]+(\?\S*)?")


class State(Section):
    url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL as `postgresql://user:password@host/database`; a file of the data directory when empty",
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _POSTGRESQL.fullmatch(value.get_secret_value()):
            raise ValueError(say("settings.want_postgresql"))
        return value


class Store(Section):
    kind: Literal["tantivy", "elasticsearch"] = Field(
        "tantivy", description="`tantivy`: files of the data directory; or `elasticsearch`"
    )
    retention_days: int = Field(
        400, ge=1, description="days that an event is kept, counted from the later of its time and its receipt"
    )
    max_gb: float = Field(
        0, ge=0, description="gigabytes of all events, above which the oldest go, if the level allows it; 0: no limit"
    )
    commit_seconds: float = Field(
        1.0, gt=0, le=60, description="events are searchable at the latest this many seconds after they come"
    )
    memory_mb: int = Field(100, ge=20, le=4000, description="memory of the index writer, in megabytes")
    urls: list[str] = Field(default_factory=list, description="Elasticsearch: its nodes, as `https://host:9200`")
    index_prefix: str = Field(
        "haidang-", pattern=r"^[a-z0-9][a-z0-9._-]{0,100}$", description="Elasticsearch: how our indexes' names begin"
    )
    shards: int = Field(1, ge=1, le=1000, description="Elasticsearch: primary shards of a day's index")
    replicas: int = Field(1, ge=0, le=10, description="Elasticsearch: copies of each shard; 0 with a single node")
    ca: Path | None = Field(None, description="Elasticsearch: PEM file of who signed the nodes' certificates")
    api_key: SecretStr = Field(SecretStr(""), description="Elasticsearch: API key; better as HAIDANG_STORE__API_KEY")
    username: str = Field("", description="Elasticsearch: user, where no API key is set")
    password: SecretStr = Field(SecretStr(""), description="Elasticsearch: password; better as HAIDANG_STORE__PASSWORD")


class Limits(Section):
    decode_bytes: int = Field(131_072, ge=1000, le=500_000, description="a longer line is cut, in bytes")
    dead_letter_mb: int = Field(
        100, ge=1, le=100_000, description="megabytes of lines that could not be stored, kept for `haidang deadletter`"
    )
    udp_buffer_mb: int = Field(
        500, ge=1, le=1_000_000, description="megabytes of a source's datagrams that wait on the disk to be decoded"
    )
    disk_reserve_mb: int = Field(
        1000, ge=1, le=10_000_000, description="megabytes of the disk that stay free: with less, intake is held"
    )

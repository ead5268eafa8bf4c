"""How events pass: what each stage has read, counted and could do nothing with."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from pipeline.state.tables.metadata import metadata

#: The next offset a consumer reads; written in the transaction of what the records before it caused.
positions = Table(
    "positions",
    metadata,
    Column("consumer", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "partition"),
)

#: How many events a stage took in, gave out or dropped, by source and minute (minutes since 1970); whole days once they
#: are old (`pipeline/ledger.py`). The index holds all columns, in the order in which they are summed.
ledger = Table(
    "ledger",
    metadata,
    Column("minute", Integer, nullable=False),
    Column("stage", String(50), nullable=False),
    Column("source", String(100), nullable=False),
    Column("outcome", String(10), nullable=False),  # in, out, dropped
    Column("reason", String(100), nullable=False, default=""),
    Column("events", BigInteger, nullable=False),
    PrimaryKeyConstraint("minute", "stage", "source", "outcome", "reason"),
    Index("ledger_sums", "source", "stage", "outcome", "reason", "minute", "events"),
)

#: What each stage last said of itself, on each machine (`pipeline/instance.py`).
stages = Table(
    "stages",
    metadata,
    Column("stage", String(50), nullable=False),
    Column("instance", String(100), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("backlog_events", BigInteger, nullable=False, default=0),
    Column("detail", JSON, nullable=False),
    PrimaryKeyConstraint("stage", "instance"),
)

#: The copies of a consumer that live, each until it should have been heard of again (seconds since 1970).
members = Table(
    "members",
    metadata,
    Column("consumer", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("instance", String(100), nullable=False),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "instance"),
)

#: Which copy of a consumer reads which partition; only its owner saves a position there (`pipeline/shares.py`).
leases = Table(
    "leases",
    metadata,
    Column("consumer", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("instance", String(100), nullable=False),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "partition"),
)

#: Lines that a stage could do nothing with, for a person to look at (`pipeline/deadletters.py`).
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("time", Float, nullable=False),
    Column("stage", String(50), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("source", String(100), nullable=False),
    Column("reason", String(100), nullable=False),
    Column("detail", Text, nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Index("dead_letters_time", "time"),
)

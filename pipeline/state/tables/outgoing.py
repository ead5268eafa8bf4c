"""Messages to people and other systems."""

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text

from pipeline.state.tables.metadata import metadata

#: Effects that a transaction has decided and that somebody must still carry out.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(20), nullable=False),  # index
    Column("body", JSON, nullable=False),
)

#: Messages to people and other systems, and what became of each (`pipeline/delivery/`). A message's id never changes.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("channel", String(63), nullable=False),
    Column("kind", String(20), nullable=False),  # alert, escalation, digest, heartbeat, test
    Column("status", String(10), nullable=False),  # waiting, joined, sent, dead, dropped
    Column("level", String(20), nullable=False),
    Column("alert", String(24), nullable=False),  # "" where it is about none, or about many
    Column("thread", String(24), nullable=False),  # the alert's group: messages of one are shown together
    Column("digest", String(32), nullable=False),  # the message that this one has become a part of
    Column("route", String(100), nullable=False),
    Column("body", JSON, nullable=False),  # what is no alert's: the figures of a heartbeat, who is still to get it
    Column("created", Float, nullable=False),
    Column("due", Float, nullable=False),  # when it is tried next
    Column("planned", Float, nullable=False),  # when that was decided: later than now where the clock went back
    Column("attempts", Integer, nullable=False),
    Column("tried", Float, nullable=False),  # 0: never
    Column("ended", Float, nullable=False),
    Column("answer", Text, nullable=False),  # what the channel said last
    Index("deliveries_due", "channel", "status", "due"),
    Index("deliveries_alert", "alert"),
    Index("deliveries_digest", "digest"),
    Index("deliveries_created", "created"),
)

#: How each channel fares, as its worker last saw it.
channels = Table(
    "channels",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("sent", BigInteger, nullable=False),  # messages, in all
    Column("succeeded", Float, nullable=False),  # when it last took one; 0: never
    Column("failed", Float, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("error", Text, nullable=False),  # of the last failure
    Column("paused_until", Float, nullable=False),
    Column("heartbeat", String(10), nullable=False),  # the day of the last one
)

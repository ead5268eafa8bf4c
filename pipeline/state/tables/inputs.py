"""Where events come from: how far files were read, and whether each input is heard as it should be."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, PrimaryKeyConstraint, String, Table, Text

from pipeline.state.tables.metadata import metadata

#: How far a file of a source was read. `file_id` is what the ids of its events are made from.
files = Table(
    "files",
    metadata,
    Column("source", String(100), nullable=False),
    Column("file_id", String(24), nullable=False),
    Column("path", Text, nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("fingerprint", String(24), nullable=False, default=""),
    Column("fingerprint_bytes", Integer, nullable=False, default=0),
    Column("seen", Float, nullable=False),
    PrimaryKeyConstraint("source", "file_id"),
)

#: The last canary of each input of each machine, how far it came and when (`pipeline/canaries.py`).
canaries = Table(
    "canaries",
    metadata,
    Column("instance", String(100), nullable=False),
    Column("source", String(100), nullable=False),
    Column("kind", String(10), nullable=False),  # udp, tcp, tls, http, https, files, kafka
    Column("id", String(32), nullable=False),
    Column("text", Text, nullable=False),  # as it was sent
    Column("sent", Float, nullable=False),
    Column("received", Float),
    Column("examined", Float),
    Column("alerted", Float),
    Column("stored", Float),
    Column("fault", Text, nullable=False),  # why it could not be sent
    Column("judged", String(32), nullable=False, default=""),  # the id that was looked at last
    Column("good", Float, nullable=False, default=0.0),  # when the last one was sent that came through in time
    Column("seconds", Float, nullable=False, default=0.0),  # how long it took
    Column("failures", Integer, nullable=False, default=0),
    Column("failed", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("instance", "source", "kind"),
)

#: Each source's silence up to now, and whether an alert was raised on it (`pipeline/habits.py`).
silences = Table(
    "silences",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("minute", Integer, nullable=False),  # up to which minute since 1970 it was looked at
    Column("first", Integer, nullable=False),  # the first minute with events
    Column("last", Integer, nullable=False),  # the last one
    Column("silent", Integer, nullable=False),  # minutes of silence since, while we listened
    Column("longest", Integer, nullable=False),  # the longest silence of this hour
    Column("raised", Boolean, nullable=False, default=False),
)

#: The longest silence of each source in each of the last weeks' hours (since 1970), in minutes, as long as it was then.
habits = Table(
    "habits",
    metadata,
    Column("source", String(100), nullable=False),
    Column("hour", Integer, nullable=False),
    Column("longest", Integer, nullable=False),
    PrimaryKeyConstraint("source", "hour"),
)

#: How far the clock of each sending host is off, in seconds; more than 0 is behind ours (`pipeline/clocks.py`).
clocks = Table(
    "clocks",
    metadata,
    Column("source", String(100), nullable=False),
    Column("host", String(200), nullable=False),
    Column("behind", Float, nullable=False),
    Column("steady", Boolean, nullable=False),  # for some minutes, so that it is a clock and no delay
    Column("seen", Float, nullable=False),
    Column("raised", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("source", "host"),
)

"""What people keep: searches, dashboards, preferences, and the texts of the settings."""

from sqlalchemy import JSON, Column, Float, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text

from pipeline.state.tables.metadata import metadata

#: Searches, ranges of time, dashboards and maps that people keep (`pipeline/saved/`).
saved = Table(
    "saved",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("kind", String(20), nullable=False),  # search, range, dashboard, map
    Column("name", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON, zstd
    Column("size", Integer, nullable=False),  # of the JSON, in bytes
    Column("owner", String(100), nullable=False),
    Column("shared", JSON, nullable=False),  # private, everyone, or a list of role:NAME
    Column("revision", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("changed_by", String(100), nullable=False),
    Index("saved_owner", "owner"),
)

#: The last revisions of each, the one in force among them.
saved_revisions = Table(
    "saved_revisions",
    metadata,
    Column("saved", String(24), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("shared", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("saved", "revision"),
)

#: What the console remembers for each user: JSON that means nothing to us.
preferences = Table(
    "preferences",
    metadata,
    Column("user", String(100), primary_key=True),
    Column("body", Text, nullable=False),
    Column("changed", Float, nullable=False),
)

#: The texts that the settings file had, as people wrote them from here, and as they were found before.
settings_revisions = Table(
    "settings_revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),  # "" for what was found
    Column("reason", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256
    Column("text", Text, nullable=False),  # encrypted (`pipeline/identity/second_factor.py`): it has secrets
)

"""What is shared with the authority and partners, and what is reported."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
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

#: Profiles of those that threat data is shared with (`sharing/`), as far as they change: what of them people have
#: confirmed, until when facts were gathered, and how they fare.
share_profiles = Table(
    "share_profiles",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("confirmed", String(64), nullable=False),  # digest of what was confirmed; "": nothing, all is rehearsal
    Column("confirmed_by", String(100), nullable=False),
    Column("confirmed_at", Float, nullable=False),
    Column("pseudonym_key", LargeBinary, nullable=False),
    Column("began", Float, nullable=False),  # what was before is not shared
    Column("built_until", Float, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("succeeded", Float, nullable=False),  # when it last took one; 0: never
    Column("failed", Float, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("error", Text, nullable=False),  # of the last failure
    Column("position", Text, nullable=False),  # until where warnings were read
)

#: Messages to them; bytes that were signed are never changed. What became of each is in the audit, step by step.
share_messages = Table(
    "share_messages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("profile", String(63), nullable=False),
    Column("kind", String(20), nullable=False),  # statistics, indicators, incident, acknowledgement
    Column("key", String(100), nullable=False),  # what it is about: the same is built once
    Column("status", String(10), nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("facts", JSON, nullable=False),  # kind, values and alerts of each, as they leave
    Column("content", LargeBinary, nullable=False),  # as people saw it
    Column("signed", LargeBinary, nullable=False),  # as it leaves
    Column("digest", String(64), nullable=False),  # SHA-256 of the content
    Column("approvals", JSON, nullable=False),  # who has agreed, and when
    Column("needed", Integer, nullable=False),  # how many must
    Column("created", Float, nullable=False),
    Column("queued", Float, nullable=False),  # since when it waits to be sent; 0: not yet
    Column("due", Float, nullable=False),
    Column("planned", Float, nullable=False),  # when that was decided: later than now where the clock went back
    Column("attempts", Integer, nullable=False),
    Column("tried", Float, nullable=False),
    Column("ended", Float, nullable=False),
    Column("code", Integer, nullable=False),  # HTTP status of the last answer; 0: none
    Column("answer", Text, nullable=False),
    Column("receipt", JSON, nullable=False),  # status, time, body and its SHA-256 of the answer that took it
    Index("share_messages_same", "profile", "kind", "key", unique=True),
    Index("share_messages_due", "profile", "status", "number"),
    Index("share_messages_created", "created"),
)

#: Which alerts were looked at for which profile, and the message that tells of them; 0: none does.
share_alerts = Table(
    "share_alerts",
    metadata,
    Column("profile", String(63), nullable=False),
    Column("alert", String(24), nullable=False),
    Column("message", Integer, nullable=False),
    Column("created", Float, nullable=False),
    PrimaryKeyConstraint("profile", "alert"),
    Index("share_alerts_message", "message"),
)

#: Warnings that came in: kept as they came, made a case and a list of indicators of, and answered.
share_received = Table(
    "share_received",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of what came: the same is taken once
    Column("profile", String(63), nullable=False),
    Column("way", String(10), nullable=False),  # https, taxii, file
    Column("message", String(100), nullable=False),  # the sender's own id of it
    Column("title", String(300), nullable=False),
    Column("tlp", String(20), nullable=False),
    Column("received", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("case_id", Integer, nullable=False),  # 0: none yet
    Column("imported", Float, nullable=False),  # when its indicators were; 0: not yet
    Column("indicators", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("fault", Text, nullable=False),
    Column("answered", String(20), nullable=False),  # how far: "", taken, closed
    Index("share_received_time", "received"),
    Index("share_received_imported", "imported", "received"),
)

#: Daily, weekly and half-yearly reports as they were made.
reports = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),  # of kind and period: the same is made once
    Column("kind", String(20), nullable=False),  # daily, weekly, half-yearly
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("made", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("figures", JSON, nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    Column("docx", LargeBinary, nullable=False),
    Index("reports_until", "kind", "until"),
)

#: Information systems of the organization with their levels (`pipeline/systems/`), and how the law's shares stood.
systems = Table(
    "systems",
    metadata,
    Column("code", String(100), primary_key=True),
    Column("name", String(300), nullable=False),
    Column("level", Integer, nullable=False),
    Column("unit", String(200), nullable=False),
    Column("owner", String(300), nullable=False),
    Column("operator", String(300), nullable=False),
    Column("plan_approved", String(10), nullable=False),  # the day; "": no approved plan
    Column("portal", Boolean, nullable=False),
    Column("declared", Boolean, nullable=False),  # said to be monitored elsewhere
    Column("hosts", JSON, nullable=False),  # names, addresses, networks
    Column("heard", Float, nullable=False),  # when something of its hosts was last seen; 0: never
    Column("who", String(100), nullable=False),
    Column("changed", Float, nullable=False),
)

system_days = Table(
    "system_days",
    metadata,
    Column("day", String(10), nullable=False),
    Column("unit", String(200), nullable=False),
    Column("figures", JSON, nullable=False),
    PrimaryKeyConstraint("day", "unit"),
)

#: The collections of our TAXII server. Who writes into one changes its row first: what is added is seen in order.
taxii_collections = Table(
    "taxii_collections",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String(36), nullable=False, unique=True),  # what partners call it: a UUID
    Column("alias", String(50), nullable=False, unique=True),  # what people call it
    Column("last", BigInteger, nullable=False),  # when its newest object was added, microseconds since 1970
    Column("held", BigInteger, nullable=False),  # versions of objects
)

#: Their objects, each version a row (`sharing/taxii/store.py`).
taxii_objects = Table(
    "taxii_objects",
    metadata,
    Column("collection", Integer, nullable=False),
    Column("added", BigInteger, nullable=False),  # microseconds since 1970; no two of a collection are the same
    Column("object", String(300), nullable=False),  # its STIX id
    Column("type", String(250), nullable=False),
    Column("version", String(40), nullable=False),  # as the object has it
    Column("moment", BigInteger, nullable=False),  # the same in microseconds since 1970
    Column("first", Boolean, nullable=False),  # whether it is the first, and the last version of its object
    Column("last", Boolean, nullable=False),
    Column("digest", String(32), nullable=False),  # of the JSON
    Column("body", LargeBinary, nullable=False),  # canonical JSON
    PrimaryKeyConstraint("collection", "added"),
    Index("taxii_objects_last", "collection", "last", "added"),
    Index("taxii_objects_type", "collection", "type", "last", "added"),
    Index("taxii_objects_object", "collection", "object", "added"),
    Index("taxii_objects_moment", "collection", "moment", "added"),
)

#: What became of what partners have sent.
taxii_statuses = Table(
    "taxii_statuses",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client", String(100), nullable=False),
    Column("created", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON
    Index("taxii_statuses_created", "created"),
)

#: Who may use our TAXII server; they are nobody elsewhere.
taxii_clients = Table(
    "taxii_clients",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the password
    Column("rights", JSON, nullable=False),  # alias of a collection: r, w or rw
    Column("created", Float, nullable=False),
    Column("creator", String(100), nullable=False),
    Column("expires", Float),  # none: never
    Column("used", Float),
    Column("revoked", Boolean, nullable=False),
)

#: How far the servers of partners were read.
taxii_positions = Table(
    "taxii_positions",
    metadata,
    Column("peer", String(100), primary_key=True),
    Column("position", Text, nullable=False),
    Column("read", Float, nullable=False),
)

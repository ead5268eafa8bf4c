"""Alerts, their groups, and what is kept with them or out of the queue."""

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

#: Packets of alerts, as a sensor's machine saw them.
evidence = Table(
    "evidence",
    metadata,
    Column("alert", String(24), nullable=False),
    Column("interface", String(100), nullable=False),
    Column("packets", Integer, nullable=False),
    Column("cut", Boolean, nullable=False),  # there were more than found room
    Column("size", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),  # a pcap file, zstd
    PrimaryKeyConstraint("alert", "interface"),
    Index("evidence_created", "created"),
)

#: The alert is the row; the store holds a copy for search.
alerts = Table(
    "alerts",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("time", BigInteger, nullable=False),  # of the event, microseconds since 1970
    Column("created", Float, nullable=False),
    Column("rule_id", String(200), nullable=False),
    Column("rule_name", Text, nullable=False),
    Column("level", String(20), nullable=False),
    Column("status", String(20), nullable=False, default="new"),
    Column("source", String(100), nullable=False),
    Column("document", JSON, nullable=False),  # the whole alert, docs/alerts.md
    Column("owner", String(100), nullable=False, default="", server_default=""),
    Column("note", Text, nullable=False, default="", server_default=""),
    Column("changed", Float),  # by somebody
    Column("suppression", String(24), nullable=False, default="", server_default=""),
    Column("group_id", String(24), nullable=False, default="", server_default=""),  # "": not grouped yet, "-": never
    Index("alerts_time", "time"),
    Index("alerts_status", "status", "level", "time"),
    Index("alerts_rule", "rule_id", "time"),
    Index("alerts_group", "group_id", "time"),
    Index("alerts_created", "created"),
)

#: Alerts of one rule about one entity, none of them long after the one before: what analysts work on. The numbers are
#: of its alerts by status, of which `status` follows (`pipeline/queue/grouping.py`).
alert_groups = Table(
    "alert_groups",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("same", String(24), nullable=False),  # of rule, entity, source, unit: by one value they are found at once
    Column("rule_id", String(200), nullable=False),
    Column("rule_name", Text, nullable=False),
    Column("entity", String(300), nullable=False),  # host:…, user:…, address:… or part:… of the pipeline
    Column("source", String(200), nullable=False),  # labels.source and organization.id of its alerts: who may see one
    Column("unit", String(200), nullable=False),  # of them may see all
    Column("level", String(20), nullable=False),  # the highest of its alerts
    Column("severity", Integer, nullable=False),  # its number
    Column("first", BigInteger, nullable=False),  # microseconds since 1970
    Column("last", BigInteger, nullable=False),
    Column("opened", Float, nullable=False),  # when it came into the queue, the last time
    Column("reopened", Integer, nullable=False),  # how often it came back after somebody had closed it
    Column("status", String(20), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("note", Text, nullable=False),
    Column("new", BigInteger, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
    Column("escalated", BigInteger, nullable=False),
    Column("true_positive", BigInteger, nullable=False),
    Column("false_positive", BigInteger, nullable=False),
    Column("risk", Integer, nullable=False),  # of the entity, at the last alert
    Column("latest", String(24), nullable=False),  # the last alert
    Column("case_id", Integer, nullable=False, default=0, server_default="0"),  # 0: in none
    Index("alert_groups_same", "same", "last"),
    Index("alert_groups_rule", "rule_id", "last"),
    Index("alert_groups_last", "status", "last"),
    Index("alert_groups_risk", "status", "risk", "last"),
    Index("alert_groups_opened", "status", "opened"),
    Index("alert_groups_level", "status", "level"),
    Index("alert_groups_entity", "entity", "last"),
    Index("alert_groups_case", "case_id"),
)

#: How many groups there are of each status and level: to count a million takes longer than anybody waits for a page.
group_counts = Table(
    "group_counts",
    metadata,
    Column("status", String(20), nullable=False),
    Column("level", String(20), nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("status", "level"),
)

#: What became of groups: came, came back, grew worse, and what people did; only ever added to.
group_history = Table(
    "group_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("group_id", String(24), nullable=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),  # "" for the pipeline
    Column("address", String(100), nullable=False),
    Column("action", String(20), nullable=False),  # opened, reopened, raised, or a status
    Column("rule_id", String(200), nullable=False),
    Column("alerts", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Index("group_history_group", "group_id", "id"),
    Index("group_history_time", "action", "time"),
)

#: What each entity was alerted on: one row for an hour and a rule (`pipeline/queue/risk.py`).
entity_risks = Table(
    "entity_risks",
    metadata,
    Column("entity", String(300), nullable=False),
    Column("hour", Integer, nullable=False),  # since 1970, of the events
    Column("rule_id", String(200), nullable=False),
    Column("group_id", String(24), nullable=False),
    Column("points", Integer, nullable=False),  # of the rule's highest level
    Column("alerts", BigInteger, nullable=False),
    Column("tactics", Text, nullable=False),  # of ATT&CK, with spaces between
    PrimaryKeyConstraint("entity", "hour", "rule_id"),
    Index("entity_risks_hour", "hour"),
)

#: What is kept out of the queue.
suppressions = Table(
    "suppressions",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("rule", String(200), nullable=False),  # its id or name; `*` at its end stands for any rest
    Column("where", JSON, nullable=False),  # fields and values
    Column("reason", Text, nullable=False),
    Column("who", String(100), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("last", Float),
)

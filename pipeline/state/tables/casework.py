"""Cases, and what is told of them."""

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

#: Cases: what people work on together, with the clocks of the law. Times are seconds since 1970.
cases = Table(
    "cases",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("title", Text, nullable=False),
    Column("status", String(10), nullable=False),  # open, closed
    Column("level", String(20), nullable=False),
    Column("tlp", String(20), nullable=False),
    Column("pap", String(10), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("created", Float, nullable=False),
    Column("creator", String(100), nullable=False),
    Column("detected", Float, nullable=False),  # from which on the clocks run
    Column("reportable", Boolean, nullable=False),  # whether the law's clocks run at all
    Column("notified", Float),  # when the first notice was given
    Column("reported", Float),  # when the report was
    Column("closed", Float),
    Column("verdict", String(20), nullable=False),
    Column("summary", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Index("cases_status", "status", "changed"),
)

#: What a case holds, in the order in which it came: groups of alerts, events, notes, files, observables, tasks, and
#: changes of the case itself. What is taken away stays, marked so.
case_entries = Table(
    "case_entries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("case_id", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("at", BigInteger, nullable=False),  # when what it tells of happened, microseconds since 1970
    Column("body", JSON, nullable=False),
    Column("removed", Boolean, nullable=False),
    Index("case_entries_case", "case_id", "kind", "id"),
)

#: The files of cases, each once in a case.
case_files = Table(
    "case_files",
    metadata,
    Column("case_id", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),  # zstd
    PrimaryKeyConstraint("case_id", "sha256"),
)

#: What people have written into the notices and reports of an incident, beside what its case says by itself.
incident_fields = Table(
    "incident_fields",
    metadata,
    Column("case_id", Integer, nullable=False),
    Column("name", String(50), nullable=False),
    Column("value", Text, nullable=False),
    Column("who", String(100), nullable=False),
    Column("time", Float, nullable=False),
    PrimaryKeyConstraint("case_id", "name"),
)

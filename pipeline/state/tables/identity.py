"""Who may do what, and who did it."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
)

from pipeline.state.tables.metadata import metadata

users = Table(
    "users",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("password", Text, nullable=False),  # Argon2id
    Column("role", String(20), nullable=False),
    Column("created", Float, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until", Float, nullable=False, default=0),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("view", JSON(none_as_null=True)),  # pipeline.identity.views; none: no limit
    Column("changed", Float, nullable=False, default=0.0, server_default="0"),  # the password
    Column("must_change", Boolean, nullable=False, default=False, server_default=false()),
    Column("seen", Float, nullable=False, default=0.0, server_default="0"),
    Column("totp", Text),  # the second factor's secret, encrypted (`pipeline/identity/second_factor.py`)
    Column("totp_new", Text),  # one of which no code was shown yet
    Column("totp_step", BigInteger, nullable=False, default=0, server_default="0"),  # of the last code
    Column("recovery", JSON(none_as_null=True)),  # SHA-256 of the recovery codes that are left
    Column("issuer", String(500), nullable=False, default="", server_default=""),  # who logs them in; "": we do
    Column("subject", String(255), nullable=False, default="", server_default=""),  # who they are there
    Index("users_subject", "subject"),
)

#: Passwords that users had before, Argon2id.
password_history = Table(
    "password_history",
    metadata,
    Column("user", String(100), nullable=False),
    Column("time", Float, nullable=False),
    Column("password", Text, nullable=False),
    PrimaryKeyConstraint("user", "time"),
)

#: Roles of the site's own, beside those of `pipeline.permissions.ROLES`.
roles = Table(
    "roles",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("permissions", JSON, nullable=False),
    Column("view", JSON(none_as_null=True)),
    Column("created", Float, nullable=False),
)

#: Groups of users, with what they may do beside their role and what they may see.
groups = Table(
    "user_groups",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("permissions", JSON, nullable=False),
    Column("view", JSON(none_as_null=True)),
    Column("created", Float, nullable=False),
)

group_members = Table(
    "user_group_members",
    metadata,
    Column("group", String(20), nullable=False),
    Column("user", String(100), nullable=False),
    PrimaryKeyConstraint("group", "user"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the cookie
    Column("user", String(100), nullable=False),
    Column("expires", Float, nullable=False),
    Column("id", String(24), nullable=False, default="", server_default=""),
    Column("created", Float, nullable=False, default=0.0, server_default="0"),
    Column("seen", Float, nullable=False, default=0.0, server_default="0"),
    Column("address", String(100), nullable=False, default="", server_default=""),
    Column("agent", String(200), nullable=False, default="", server_default=""),
    Column("waits", String(50), nullable=False, default="", server_default=""),  # steps of a log-in that are left
    Index("sessions_user", "user"),
)

#: Tokens of senders (`source` set) and of programs that read the API (`role` set).
tokens = Table(
    "tokens",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the token
    Column("kind", String(10), nullable=False),  # source, api
    Column("role", String(20), nullable=False, default=""),
    Column("created", Float, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
    Column("view", JSON(none_as_null=True)),
    Column("permissions", JSON(none_as_null=True)),  # of those of the role; none: all of them
    Column("expires", Float),  # none: never
    Column("used", Float),
    Column("creator", String(100), nullable=False, default="", server_default=""),
)

#: Who did what, when, from where; only ever added to (triggers refuse the rest). `digest` chains them
#: (`pipeline/audit.py`).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("action", String(50), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("digest", String(64), nullable=False, default="", server_default=""),
    Index("audit_time", "time"),
)

#: The last row of the audit; whoever adds one waits for this row.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("row", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
)

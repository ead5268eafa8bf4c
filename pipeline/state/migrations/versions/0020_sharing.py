"""sharing: profiles, messages, alerts that were looked at; incidents, reports, the register of systems"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("alerts_created", "alerts", ["created"])
    op.create_table(
        "share_profiles",
        sa.Column("name", sa.String(length=63), primary_key=True),
        sa.Column("confirmed", sa.String(length=64), nullable=False),
        sa.Column("confirmed_by", sa.String(length=100), nullable=False),
        sa.Column("confirmed_at", sa.Float(), nullable=False),
        sa.Column("pseudonym_key", sa.LargeBinary(), nullable=False),
        sa.Column("began", sa.Float(), nullable=False),
        sa.Column("built_until", sa.Float(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.Float(), nullable=False),
        sa.Column("failed", sa.Float(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
    )
    op.create_table(
        "share_messages",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("profile", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("approvals", sa.JSON(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("queued", sa.Float(), nullable=False),
        sa.Column("due", sa.Float(), nullable=False),
        sa.Column("planned", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tried", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
    )
    op.create_index("share_messages_same", "share_messages", ["profile", "kind", "key"], unique=True)
    op.create_index("share_messages_due", "share_messages", ["profile", "status", "number"])
    op.create_index("share_messages_created", "share_messages", ["created"])
    op.create_table(
        "share_alerts",
        sa.Column("profile", sa.String(length=63), nullable=False),
        sa.Column("alert", sa.String(length=24), nullable=False),
        sa.Column("message", sa.Integer(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("profile", "alert"),
    )
    op.create_index("share_alerts_message", "share_alerts", ["message"])
    op.create_table(
        "incident_fields",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "name"),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("pdf", sa.LargeBinary(), nullable=False),
        sa.Column("docx", sa.LargeBinary(), nullable=False),
    )
    op.create_index("reports_until", "reports", ["kind", "until"])
    op.create_table(
        "systems",
        sa.Column("code", sa.String(length=100), primary_key=True),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=300), nullable=False),
        sa.Column("operator", sa.String(length=300), nullable=False),
        sa.Column("plan_approved", sa.String(length=10), nullable=False),
        sa.Column("portal", sa.Boolean(), nullable=False),
        sa.Column("declared", sa.Boolean(), nullable=False),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.Column("heard", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
    )
    op.create_table(
        "system_days",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("unit", sa.String(length=200), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", "unit"),
    )
    op.create_table(
        "share_received",
        sa.Column("id", sa.String(length=64), primary_key=True),
        sa.Column("profile", sa.String(length=63), nullable=False),
        sa.Column("way", sa.String(length=10), nullable=False),
        sa.Column("message", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("tlp", sa.String(length=20), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("imported", sa.Float(), nullable=False),
        sa.Column("indicators", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("answered", sa.String(length=20), nullable=False),
    )
    op.create_index("share_received_time", "share_received", ["received"])
    op.create_index("share_received_imported", "share_received", ["imported", "received"])

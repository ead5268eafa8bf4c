"""messages to people and other systems, and how their channels fare"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("alert", sa.String(length=24), nullable=False),
        sa.Column("thread", sa.String(length=24), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("route", sa.String(length=100), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("due", sa.Float(), nullable=False),
        sa.Column("planned", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tried", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deliveries_due", "deliveries", ["channel", "status", "due"])
    op.create_index("deliveries_alert", "deliveries", ["alert"])
    op.create_index("deliveries_digest", "deliveries", ["digest"])
    op.create_index("deliveries_created", "deliveries", ["created"])
    op.create_table(
        "channels",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.Float(), nullable=False),
        sa.Column("failed", sa.Float(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("paused_until", sa.Float(), nullable=False),
        sa.Column("heartbeat", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )

"""groups of alerts, risk of entities"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("group_id", sa.String(length=24), nullable=False, server_default=""))
    op.create_index("alerts_group", "alerts", ["group_id", "time"])
    op.drop_index("alerts_status", "alerts")
    op.create_index("alerts_status", "alerts", ["status", "level", "time"])
    op.execute("UPDATE alerts SET group_id = '-' WHERE status = 'suppressed'")
    op.create_table(
        "alert_groups",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("same", sa.String(length=24), nullable=False),
        sa.Column("rule_id", sa.String(length=200), nullable=False),
        sa.Column("rule_name", sa.Text(), nullable=False),
        sa.Column("entity", sa.String(length=300), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("unit", sa.String(length=200), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("new", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=False),
        sa.Column("escalated", sa.BigInteger(), nullable=False),
        sa.Column("true_positive", sa.BigInteger(), nullable=False),
        sa.Column("false_positive", sa.BigInteger(), nullable=False),
        sa.Column("risk", sa.Integer(), nullable=False),
        sa.Column("latest", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alert_groups_same", "alert_groups", ["same", "last"])
    op.create_index("alert_groups_rule", "alert_groups", ["rule_id", "last"])
    op.create_index("alert_groups_last", "alert_groups", ["status", "last"])
    op.create_index("alert_groups_risk", "alert_groups", ["status", "risk", "last"])
    op.create_index("alert_groups_opened", "alert_groups", ["status", "opened"])
    op.create_index("alert_groups_level", "alert_groups", ["status", "level"])
    op.create_index("alert_groups_entity", "alert_groups", ["entity", "last"])
    op.create_table(
        "group_counts",
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("status", "level"),
    )
    op.create_table(
        "group_history",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("group_id", sa.String(length=24), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("rule_id", sa.String(length=200), nullable=False),
        sa.Column("alerts", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("group_history_group", "group_history", ["group_id", "id"])
    op.create_index("group_history_time", "group_history", ["action", "time"])
    op.create_table(
        "entity_risks",
        sa.Column("entity", sa.String(length=300), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("rule_id", sa.String(length=200), nullable=False),
        sa.Column("group_id", sa.String(length=24), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("alerts", sa.BigInteger(), nullable=False),
        sa.Column("tactics", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "hour", "rule_id"),
    )
    op.create_index("entity_risks_hour", "entity_risks", ["hour"])

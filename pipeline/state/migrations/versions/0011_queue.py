"""life of alerts, suppressions"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alerts") as table:
        table.add_column(sa.Column("owner", sa.String(length=100), nullable=False, server_default=""))
        table.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("changed", sa.Float(), nullable=True))
        table.add_column(sa.Column("suppression", sa.String(length=24), nullable=False, server_default=""))
        table.create_index("alerts_status", ["status", "time"])
    op.create_table(
        "suppressions",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("where", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )

"""evidence"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("alert", sa.String(length=24), nullable=False),
        sa.Column("interface", sa.String(length=100), nullable=False),
        sa.Column("packets", sa.Integer(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("alert", "interface"),
    )
    op.create_index("evidence_created", "evidence", ["created"])

"""ledger sums"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ledger_sums", "ledger", ["source", "stage", "outcome", "reason", "minute", "events"], unique=False)

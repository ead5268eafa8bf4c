"""users of an identity provider"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("issuer", sa.String(length=500), nullable=False, server_default=""))
    op.add_column("users", sa.Column("subject", sa.String(length=255), nullable=False, server_default=""))
    op.create_index("users_subject", "users", ["subject"])

"""accounts: ages of passwords, second factors, steps of log-ins; tokens that end"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

#: Days that a token of the API which is there already goes on working.
_TOKEN_DAYS = 90


def upgrade() -> None:
    now = time.time()
    for column in (
        sa.Column("changed", sa.Float(), nullable=False, server_default="0"),
        sa.Column("must_change", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("seen", sa.Float(), nullable=False, server_default="0"),
        sa.Column("totp", sa.Text(), nullable=True),
        sa.Column("totp_new", sa.Text(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("recovery", sa.JSON(), nullable=True),
    ):
        op.add_column("users", column)
    users = sa.table("users", sa.column("changed"), sa.column("seen"))
    op.execute(sa.update(users).values(changed=now, seen=now))
    op.create_table(
        "password_history",
        sa.Column("user", sa.String(length=100), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user", "time"),
    )
    op.execute("DELETE FROM sessions")  # those that are open do not say since when
    for column in (
        sa.Column("id", sa.String(length=24), nullable=False, server_default=""),
        sa.Column("created", sa.Float(), nullable=False, server_default="0"),
        sa.Column("seen", sa.Float(), nullable=False, server_default="0"),
        sa.Column("address", sa.String(length=100), nullable=False, server_default=""),
        sa.Column("agent", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("waits", sa.String(length=50), nullable=False, server_default=""),
    ):
        op.add_column("sessions", column)
    op.create_index("sessions_user", "sessions", ["user"])
    for column in (
        sa.Column("permissions", sa.JSON(), nullable=True),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("used", sa.Float(), nullable=True),
        sa.Column("creator", sa.String(length=100), nullable=False, server_default=""),
    ):
        op.add_column("tokens", column)
    tokens = sa.table("tokens", sa.column("kind"), sa.column("expires"))
    op.execute(sa.update(tokens).where(tokens.c.kind == "api").values(expires=now + _TOKEN_DAYS * 86_400))

"""roles, groups, data views; the audit's chain"""

import hashlib

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_KEPT = "rows of the audit are never changed or deleted"
_SQLITE = tuple(
    f"CREATE TRIGGER audit_no_{what.lower()} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
    for what in ("UPDATE", "DELETE")
)
_POSTGRESQL = (
    f"CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{_KEPT}'; END $$",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_kept()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()",
)


def upgrade() -> None:
    for name in ("roles", "user_groups"):
        op.create_table(
            name,
            sa.Column("name", sa.String(length=20), nullable=False),
            sa.Column("permissions", sa.JSON(), nullable=False),
            sa.Column("view", sa.JSON(), nullable=True),
            sa.Column("created", sa.Float(), nullable=False),
            sa.PrimaryKeyConstraint("name"),
        )
    op.create_table(
        "user_group_members",
        sa.Column("group", sa.String(length=20), nullable=False),
        sa.Column("user", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("group", "user"),
    )
    for name in ("users", "tokens"):
        op.add_column(name, sa.Column("view", sa.JSON(), nullable=True))
        op.execute(f"UPDATE {name} SET role = 'admin' WHERE role = 'administrator'")  # noqa: S608 - our own names
    op.add_column("audit", sa.Column("digest", sa.String(length=64), nullable=False, server_default=""))
    op.create_index("audit_time", "audit", ["time"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    connection = op.get_bind()
    _seal(connection)
    for statement in _POSTGRESQL if connection.dialect.name == "postgresql" else _SQLITE:
        connection.exec_driver_sql(statement)


def _seal(connection: sa.Connection) -> None:
    """Chain the rows that are there, as `pipeline/audit.py` chained new ones at this version."""
    names = ("id", "time", "who", "address", "action")
    audit = sa.table("audit", *map(sa.column, names), sa.column("detail", sa.JSON()), sa.column("digest"))
    rows = connection.execute(sa.select(audit).order_by(audit.c.id)).mappings().all()
    digest = "0" * 64
    for row in rows:
        content = orjson.dumps([row[name] for name in (*names, "detail")], option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(f"{digest}\n".encode() + content).hexdigest()
        connection.execute(sa.update(audit).where(audit.c.id == row["id"]).values(digest=digest))
    if rows:
        head = sa.table("audit_head", sa.column("id"), sa.column("row"), sa.column("digest"))
        connection.execute(head.insert().values(id=1, row=rows[-1]["id"], digest=digest))

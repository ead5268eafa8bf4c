"""collections of TAXII, their objects, who may read and write them, and how far others were read"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "taxii_collections",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(length=36), nullable=False, unique=True),
        sa.Column("alias", sa.String(length=50), nullable=False, unique=True),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "taxii_objects",
        sa.Column("collection", sa.Integer(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("object", sa.String(length=300), nullable=False),
        sa.Column("type", sa.String(length=250), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("moment", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.Column("last", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("collection", "added"),
    )
    op.create_index("taxii_objects_last", "taxii_objects", ["collection", "last", "added"])
    op.create_index("taxii_objects_type", "taxii_objects", ["collection", "type", "last", "added"])
    op.create_index("taxii_objects_object", "taxii_objects", ["collection", "object", "added"])
    op.create_index("taxii_objects_moment", "taxii_objects", ["collection", "moment", "added"])
    op.create_table(
        "taxii_statuses",
        sa.Column("id", sa.String(length=36), primary_key=True),
        sa.Column("client", sa.String(length=100), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("taxii_statuses_created", "taxii_statuses", ["created"])
    op.create_table(
        "taxii_clients",
        sa.Column("name", sa.String(length=100), primary_key=True),
        sa.Column("digest", sa.String(length=64), nullable=False, unique=True),
        sa.Column("rights", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("creator", sa.String(length=100), nullable=False),
        sa.Column("expires", sa.Float()),
        sa.Column("used", sa.Float()),
        sa.Column("revoked", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "taxii_positions",
        sa.Column("peer", sa.String(length=100), primary_key=True),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("read", sa.Float(), nullable=False),
    )

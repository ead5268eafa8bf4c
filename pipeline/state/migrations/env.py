"""Alembic's entry: runs the migrations on the connection that `upgrade.py` hands over."""

from alembic import context

from pipeline.state.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller holds the transaction
)
context.run_migrations()

"""A database of any earlier version enters, one of this version leaves (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, func, select

from pipeline.messages import HaidangError

#: The number under which processes that migrate the same PostgreSQL wait for each other.
_LOCK = 0x48414944414E47
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> None:
    """Run the migrations that the database lacks, all in one transaction: after a kill it is as before or as after.

    Raises:
        HaidangError: the database is of a version that is not known here.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    wanted = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect().execution_options(read_only=True) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == wanted:
        return
    try:
        with engine.begin() as connection:  # another process may have been quicker: Alembic looks again in here
            if connection.dialect.name == "postgresql":  # SQLite's writers wait for each other anyway
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise HaidangError("state.newer", file=engine.url.database, revision=found) from error

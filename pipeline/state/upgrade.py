"""A database of any earlier version enters, one of this version leaves (Alembic); what it was is backed up before."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, func, select

from pipeline.messages import HaidangError

#: The number under which processes that migrate the same PostgreSQL wait for each other.
_LOCK = 0x48414944414E47
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, data_dir: Path) -> None:
    """Run the migrations that the database lacks, all in one transaction: after a kill it is as before or as after.

    A database that had a version before is backed up first (`backups/` of the data directory).

    Raises:
        HaidangError: the database is of a version that is not known here, or cannot be backed up; it is as it was.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        found = revision_of(connection)
    if found == newest():
        return
    if found is not None and not is_known(found):
        raise HaidangError("state.newer", file=engine.url.database, revision=found)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's writers wait for each other anyway
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = revision_of(connection)  # another process may have been quicker
        if found not in (None, newest()):
            from pipeline.backup.make import back_up_state

            back_up_state(engine, data_dir)  # nobody else writes meanwhile
        migrate(connection)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring a database to a version, in the caller's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revision_of(connection: Connection) -> str | None:
    """Return the version of a database, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """Return the version that this program works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def is_known(revision: str) -> bool:
    """Say whether this is the version, or an earlier one."""
    try:
        return ScriptDirectory.from_config(_config()).get_revision(revision) is not None
    except CommandError:
        return False


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config

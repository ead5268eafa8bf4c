"""A database of any earlier version enters, one of this version leaves; what it was is backed up before."""

from pathlib import Path

from sqlalchemy import Engine, func, select

from pipeline.backup.of_state import back_up_state
from pipeline.messages import HaidangError
from pipeline.state.revisions import is_known, migrate, newest, revision_of

#: The number under which processes that migrate the same PostgreSQL wait for each other.
_LOCK = 0x48414944414E47


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
            back_up_state(engine, data_dir)  # nobody else writes meanwhile
        migrate(connection)

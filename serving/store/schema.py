"""Bring a database's tables to the newest version, whatever version it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, select, table, text
from sqlalchemy.sql import column

from predictor.errors import DatabaseIncompatibleError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).with_name("migrations")
# The newest file there. It stands here too, so that a start with current tables need not import Alembic (0.2 s).
NEWEST = "0002"
_VERSION = table("alembic_version", column("version_num"))


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of the newest migration."""
    return version_of(connection) == NEWEST


def version_of(connection: Connection) -> str | None:
    """Migration that the tables come from; None for a database that is not ours yet."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
    return found


def migrate(connection: Connection) -> None:
    """Run the migrations that the database has not seen; all of them, or none.

    Parameters
    ----------
    connection
        In a transaction that no other migration can share.

    Raises
    ------
    DatabaseIncompatibleError
        If a newer version of the service made the tables.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        # Two services that start together: the second waits here, and then finds everything done.
        connection.execute(text("SELECT pg_advisory_xact_lock(7201)"))
    found = version_of(connection)
    # Without Alembic's env.py, which is there for its command line: the versions lie in the folder itself.
    scripts = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseIncompatibleError(f"the newest tables known here are {NEWEST}, the database has {found}.")
    context = MigrationContext.configure(connection, opts={"fn": _upgrade_to_newest(scripts)})
    with Operations.context(context):
        context.run_migrations()


def _upgrade_to_newest(scripts: ScriptDirectory) -> Any:
    def steps(revision: str, context: Any) -> Any:
        return scripts._upgrade_revs("heads", revision)

    return steps

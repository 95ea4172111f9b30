"""The service's database, opened for a command."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.store.audit_chain import AuditChain
    from serving.store.database import Database


def add_database_url(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where the database is."""
    parser.add_argument("--database-url", metavar="URL", help="the service's database (default: KRP_DATABASE_URL)")


@contextmanager
def opened_database(arguments: argparse.Namespace, *, must_exist: bool) -> Iterator[tuple[Database, AuditChain]]:
    """Lend the database that the command line or the settings name, and its audit log.

    Raises
    ------
    UsageError
        If the address has no form that is known, or there must be a file and is none.
    DatabaseUnavailableError, DatabaseIncompatibleError
        If it does not answer, or a newer version of the service wrote it.
    """
    from serving.settings import read_settings
    from serving.store.audit_chain import AuditChain
    from serving.store.database import Database

    given = {"database_url": arguments.database_url} if arguments.database_url else {}
    database = Database.open(read_settings(**given).database_url, must_exist=must_exist)
    audit = AuditChain(database)
    try:
        yield database, audit
    finally:
        audit.stop()
        database.close()

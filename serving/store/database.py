"""The service's database: SQLite in a file, or PostgreSQL by address; opened, migrated, and never quietly gone."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, TimeoutError

from predictor.errors import DatabaseUnavailableError, UsageError
from serving.store.schema import is_current, migrate

logger = logging.getLogger(__name__)

WHERE = "--database-url or KRP_DATABASE_URL"
KNOWN = "sqlite:///FILE or postgresql://HOST/DATABASE"
POSTGRESQL = re.compile(r"postgres(ql)?(\+psycopg\d?)?")
WAIT_FOR_LOCK_S = 5.0
WAIT_FOR_SERVER_S = 5
# What stands in the way from outside; anything else that a driver raises is a fault of ours.
_OUTER_FAULTS = (OperationalError, InterfaceError, TimeoutError)
# Of one connection to SQLite. FULL: a commit is on the disk when it returns, so a power cut takes no audit entry whose
# answer has left. Deleted values are overwritten, and what readers see is not blocked by a writer.
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", f"busy_timeout={int(1000 * WAIT_FOR_LOCK_S)}")


class Database:
    """An open database whose tables are current.

    `engine` is SQLAlchemy's, `dialect` "sqlite" or "postgresql", `driver` the module that talks to it.
    """

    def __init__(self, engine: Engine, *, file: Path | None) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self.driver: Any = engine.dialect.loaded_dbapi
        self.generation = 0  # grows when another file stands where ours was
        self._file = file
        self._identity = _identity(file)

    @classmethod
    def open(cls, url: str, *, must_exist: bool = False) -> Self:
        """Open a database and bring its tables to the newest version.

        Parameters
        ----------
        url
            `sqlite:///FILE` or `postgresql://...`. A missing file is made, readable by this user only (0600), and so is
            its folder (0700).
        must_exist
            Refuse to make a file that is not there.

        Raises
        ------
        UsageError
            If the address has no form that is known, or names no file although there must be one.
        DatabaseUnavailableError
            If the database does not answer, or the file cannot be made or read.
        DatabaseIncompatibleError
            If a newer version of the service wrote it.
        """
        address = _parse(url)
        file = _make_file(address, must_exist=must_exist) if address.drivername == "sqlite" else None
        engine = _sqlite_engine(file) if file else _postgresql_engine(address)
        database = cls(engine, file=file)
        try:
            database._make_current()
        except Exception:
            database.close()
            raise
        return database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection that sees one state of the database until the block ends.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        with self.watched(), self.engine.connect() as plain:
            level = {"isolation_level": "REPEATABLE READ"} if self.dialect == "postgresql" else {}
            connection = plain.execution_options(**level)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, *, lock: int | None = None) -> Iterator[Connection]:
        """Lend a connection whose changes are committed together when the block ends.

        Parameters
        ----------
        lock
            A number; of two blocks with the same one, also of two processes, the second waits for the first. (In
            SQLite every writer waits for every other.)

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer, or does not take what is written.
        """
        with self.watched(), self.engine.connect() as plain:
            connection = plain.execution_options(krp_writes=True)
            with connection.begin():
                if lock is not None and self.dialect == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
                yield connection

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Translate what fails outside, and let nobody write to a file that is no longer there.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        self._check_file()
        try:
            yield
        except (*_OUTER_FAULTS, self.driver.OperationalError, self.driver.InterfaceError) as error:
            raise DatabaseUnavailableError("the database does not answer.") from error
        except (DBAPIError, self.driver.DatabaseError) as error:
            if self._is_damage(error):
                raise DatabaseUnavailableError("the database's file is damaged, or no database.") from error
            raise

    def overwrite_deleted(self) -> None:
        """Empty SQLite's write-ahead log, in which deleted values may still stand; does nothing elsewhere.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        if self.dialect != "sqlite":
            return
        with self.watched():
            borrowed = self.engine.raw_connection()
            try:
                (is_busy, _, _) = borrowed.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                borrowed.close()
        if is_busy:
            logger.warning("deleted values could not be overwritten yet: the database is being read")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _make_current(self) -> None:
        with self.reading() as connection:
            if is_current(connection):
                return
        with self.writing() as connection:
            migrate(connection)

    def _is_damage(self, error: Exception) -> bool:
        """Whether SQLite cannot read the file: it then raises the parent of all its errors."""
        found = error.orig if isinstance(error, DBAPIError) else error
        return self.dialect == "sqlite" and type(found) is sqlite3.DatabaseError

    def _check_file(self) -> None:
        """Refuse a file that was moved away: a connection would go on writing to it, out of everybody's sight."""
        if self._file is None:
            return
        found = _identity(self._file)
        if found is None:
            raise DatabaseUnavailableError("the database's file is gone.")
        if found != self._identity:  # another one stands there, such as a backup
            self.engine.dispose()
            self._identity = found
            self.generation += 1


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise UsageError(f"expected {KNOWN}.", where=WHERE) from error
    if address.drivername == "sqlite" and address.database not in (None, "", ":memory:"):
        return address
    if POSTGRESQL.fullmatch(address.drivername):
        return address.set(drivername="postgresql+psycopg")
    raise UsageError(f"expected {KNOWN}.", where=WHERE)


def _make_file(address: URL, *, must_exist: bool) -> Path:
    file = Path(address.database or "").resolve()
    if must_exist and not file.is_file():
        raise UsageError("there is no such database.", where=WHERE, remedy="Name the file that the service writes.")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
        file.chmod(0o600)
    except OSError as error:
        raise DatabaseUnavailableError(f"the file cannot be made or opened: {error.strerror}.", where=WHERE) from error
    return file


def _identity(file: Path | None) -> tuple[int, int] | None:
    try:
        found = os.stat(file) if file else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _sqlite_engine(file: Path) -> Engine:
    # mode=rw: a connection never makes an empty file where ours was moved away.
    address = URL.create("sqlite", database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"})
    engine = create_engine(address, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin late, and never "immediate"
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("krp_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(address: URL) -> Engine:
    # A server that vanished is noticed within the time a request may wait, not after the kernel's fifteen minutes.
    limits = {"connect_timeout": WAIT_FOR_SERVER_S, "tcp_user_timeout": 1000 * WAIT_FOR_SERVER_S}
    engine = create_engine(address, hide_parameters=True, pool_pre_ping=True, connect_args=limits)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.execute(f"SET lock_timeout = {int(1000 * WAIT_FOR_LOCK_S)}")
        connection.commit()

    return engine

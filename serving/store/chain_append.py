"""Append to the audit log over a connection of its own, with one statement wherever that is enough.

In the drivers' own words, without SQLAlchemy between: this runs for every answer. A driver gives other threads the
interpreter at each statement and waits to get it back, which costs more than the statement. So the end of the chain is
remembered; when another process has appended meanwhile, the statement does nothing, and a transaction that locks and
reads the end does it again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from predictor.errors import DatabaseUnavailableError
from serving.store.audit_entry import AuditEntry, AuditEvent, ChainHead, next_entries
from serving.store.database import Database

# Nine values each: far below what a statement may hold, and few enough different ones for the driver to remember.
N_ENTRIES_PER_STATEMENT = 100
_COLUMNS = ", ".join(f'"{name}"' for name in AuditEntry._fields)
_READ_HEAD = "SELECT sequence, hash FROM audit_head WHERE id = 1"
_TYPES = ("bigint", "text", "text", "text", "text", "text", "text", "integer", "text")
_TYPED_ROW = "(" + ", ".join(f"%s::{kind}" for kind in _TYPES) + ")"


class ChainAppender:
    """Append events to the chain of a database; may be shared by threads.

    Parameters
    ----------
    database
        Where the chain is. Several processes may append; none loses an entry, and none stands beside the chain.
    wait_for_lock_s
        How long to wait while SQLite's file is being written by someone else.
    """

    def __init__(self, database: Database, *, wait_for_lock_s: float = 5.0) -> None:
        self._database = database
        self._is_sqlite = database.dialect == "sqlite"
        self._wait_for_lock_s = wait_for_lock_s
        self._lock = threading.Lock()
        self._connection: Any = None  # a driver's, without a transaction but those begun here
        self._generation = -1
        self._head: ChainHead | None = None  # as this appender left it

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Append events; returns when they are on the disk.

        Raises
        ------
        DatabaseUnavailableError
            If they are not, or nobody can say.
        """
        with self._lock, self._database.watched():
            try:
                self._append(events)
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection; the next entry opens another."""
        with self._lock:
            self._drop()

    def _append(self, events: Sequence[AuditEvent]) -> None:
        was_open = self._connect()
        if self._head is not None and len(events) <= N_ENTRIES_PER_STATEMENT and self._try_at_once(events):
            return
        try:
            self._append_locked(events)
        except self._database.driver.OperationalError:
            # A server that restarted since the last time shows now; nothing was committed, so it can be done again.
            if not was_open or self._is_sqlite:
                raise
            self._drop()
            self._connect()
            self._append_locked(events)

    def _try_at_once(self, events: Sequence[AuditEvent]) -> bool:
        """Append after the remembered end; False when that is no longer the end, or the connection is gone."""
        assert self._head is not None
        try:
            head = self._insert(self._head, events)
        except self._database.driver.OperationalError:
            if self._is_sqlite or not self._connection.closed:
                raise
            # Lost while it was idle or while it committed, nobody knows: rather twice in the log than not at all.
            head = None
        self._head = head
        return head is not None

    def _append_locked(self, events: Sequence[AuditEvent]) -> None:
        with self._transaction():
            head = self._lock_head()
            for start in range(0, len(events), N_ENTRIES_PER_STATEMENT):
                moved = self._insert(head, events[start : start + N_ENTRIES_PER_STATEMENT])
                if moved is None:
                    raise _broken_end()
                head = moved
        self._head = head

    def _lock_head(self) -> ChainHead:
        """Where the chain ends, and ends for nobody else until the transaction does."""
        found = self._connection.execute(_READ_HEAD if self._is_sqlite else f"{_READ_HEAD} FOR UPDATE").fetchone()
        if found is None:
            raise _broken_end()
        return ChainHead(*found)

    def _insert(self, head: ChainHead, events: Sequence[AuditEvent]) -> ChainHead | None:
        """Append after an end and move it, in one statement; None when another end was found."""
        # Times grow along the chain as long as the clock does: between reading it and appending nobody else appends.
        entries = next_entries(head, events, recorded=datetime.now(UTC).isoformat(timespec="microseconds"))
        end = ChainHead(entries[-1].sequence, entries[-1].hash)
        values = [value for entry in entries for value in entry]
        try:
            if self._is_sqlite:
                self._connection.execute(_insertion_sqlite(len(entries)), values)  # a trigger moves the end
                return end
            done = self._connection.execute(_insertion_postgresql(len(entries)), [*end, *head, *values])
        except self._database.driver.IntegrityError:
            return None
        return end if done.rowcount == len(entries) else None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what the block does; the connection is dropped, and all of it undone, when it fails."""
        self._connection.execute("BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN")
        yield
        self._connection.execute("COMMIT")

    def _connect(self) -> bool:
        """Take a connection, unless there is one to the file that is there now; whether there was."""
        if self._connection is not None and self._generation == self._database.generation:
            return True
        self._drop()
        self._generation = self._database.generation
        lent = self._database.engine.raw_connection()
        self._connection = lent.driver_connection
        lent.detach()  # it is ours from here on, with our own idea of transactions
        if self._is_sqlite:
            self._connection.execute(f"PRAGMA busy_timeout={int(1000 * self._wait_for_lock_s)}")
        else:
            self._connection.autocommit = True
        return False

    def _drop(self) -> None:
        """Close the connection, which undoes what was not committed, and forget where the chain ended."""
        connection, self._connection, self._head = self._connection, None, None
        if connection is not None:
            connection.close()


def _broken_end() -> DatabaseUnavailableError:
    return DatabaseUnavailableError("the audit log does not end as it was written; `krp audit-log verify` says where.")


def _insertion_sqlite(n_entries: int) -> str:
    row = "(" + ", ".join("?" * len(AuditEntry._fields)) + ")"
    return f"INSERT INTO audit_entries ({_COLUMNS}) VALUES " + ", ".join([row] * n_entries)


def _insertion_postgresql(n_entries: int) -> str:
    """Insert entries if the chain still ends where they begin; values: the new end, the old end, the entries."""
    return (
        "WITH moved AS (UPDATE audit_head SET sequence = %s, hash = %s "
        "WHERE id = 1 AND sequence = %s AND hash = %s RETURNING id) "
        f"INSERT INTO audit_entries ({_COLUMNS}) SELECT added.* FROM moved CROSS JOIN (VALUES "
        + ", ".join([_TYPED_ROW] * n_entries)
        + ") AS added"
    )

"""The audit log in the database: many requests at once, one transaction, and no answer before it is committed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

from sqlalchemy import select

from predictor.errors import AuditUnavailableError, DatabaseUnavailableError
from serving.store.audit_entry import FIRST_HASH, AuditEntry, AuditEvent, ChainHead
from serving.store.chain_append import N_ENTRIES_PER_STATEMENT, ChainAppender
from serving.store.chain_report import ChainReport, head_of, verify_chain
from serving.store.database import Database
from serving.store.tables import audit_entries

__all__ = ["AuditChain", "AuditEntry", "AuditEvent", "ChainReport", "CommitObserver"]

logger = logging.getLogger(__name__)

# Turns of the event loop that an entry waits for others: in the first, requests that came meanwhile are read, in the
# second they are scored. When there are none, a turn costs some microseconds.
N_TURNS_GATHERED = 2
# Where the disk takes longer than a few requests, the thread is the cheaper one: the event loop works meanwhile.
SLOW_COMMIT_S = 0.005
REST_AFTER_SLOW_S = 0.2


class CommitObserver(Protocol):
    """Is told of every commit."""

    def __call__(self, n_entries: int, /, *, lag_s: float) -> None:
        """Take the number of entries, and how long the oldest of them waited."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One request's events, and who waits until they are on the disk."""

    events: Sequence[AuditEvent]
    since_s: float  # time.perf_counter
    done: asyncio.Future[None]


class AuditChain:
    """Append to the log, read it, and prove that it is as it was written.

    Everything that is recorded in a few turns of the event loop is one transaction: the busier the service, the more
    requests share one write to the disk. SQLite is written from the loop itself, since handing a commit of 0.2 ms to a
    thread and back costs more than the commit (measured: 40 against 200 microseconds of processor time per request).
    Whatever could take long goes to a thread: PostgreSQL, many entries, a locked file, a slow disk. There, everything
    recorded since its last commit is one transaction.

    Parameters
    ----------
    database
        Where the chain is; several processes may append to it.
    observe
        Is told of every commit.
    """

    def __init__(self, database: Database, *, observe: CommitObserver | None = None) -> None:
        self._database = database
        self._observe = observe
        self._at_once = ChainAppender(database, wait_for_lock_s=0)
        self._patient = ChainAppender(database)
        self._waiting: deque[_Waiting] = deque()
        self._queue: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._writer: Thread | None = None
        self._n_queued = 0  # groups that the thread has not finished; changed in the event loop only
        self._rests_until_s = 0.0

    def start(self) -> None:
        """Begin to take what `record` brings."""
        if self._writer is None:
            self._n_queued = 0
            self._writer = Thread(target=self._write_until_stopped, name="audit-writer", daemon=True)
            self._writer.start()

    def stop(self) -> None:
        """Commit what was recorded so far, and take no more."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(self._take_waiting())
            self._queue.put(None)
            writer.join()
        self._at_once.close()
        self._patient.close()

    async def record(self, events: Sequence[AuditEvent]) -> None:
        """Append events; returns once they are committed. For one event loop.

        Raises
        ------
        AuditUnavailableError
            If they were not: whatever they are about must not leave.
        """
        if not events:
            return
        if self._writer is None:
            raise AuditUnavailableError("the audit log takes no entries: the service is starting or stopping.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Waiting(events, time.perf_counter(), done))
        if len(self._waiting) == 1:
            loop.call_soon(self._gather, N_TURNS_GATHERED)  # after all who are ready in this turn
        await done

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Append events and wait, as a command does that has no event loop.

        Raises
        ------
        AuditUnavailableError
            If they were not committed.
        """
        try:
            self._patient.append(events)
        except DatabaseUnavailableError as error:
            raise AuditUnavailableError("the audit log did not take its entry.") from error

    def entries(self, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
        """Entries beyond a number, in their order; at most `limit` of them."""
        found = audit_entries.c.sequence > after
        query = select(audit_entries).where(found).order_by(audit_entries.c.sequence).limit(limit)
        with self._database.reading() as connection:
            return [AuditEntry._make(row) for row in connection.execute(query)]

    def head(self) -> ChainHead:
        """Where the chain ends, as its record says."""
        with self._database.reading() as connection:
            return head_of(connection) or ChainHead(0, FIRST_HASH)

    def verify(self, *, expected: ChainHead | None = None) -> ChainReport:
        """Read the whole chain; see `verify_chain`."""
        with self._database.reading() as connection:
            return verify_chain(connection, expected=expected)

    def _gather(self, n_turns: int) -> None:
        """Let the loop turn a few times more, then commit."""
        if n_turns:
            asyncio.get_running_loop().call_soon(self._gather, n_turns - 1)
        else:
            self._commit_waiting()

    def _commit_waiting(self) -> None:
        """Commit what the last turns of the loop brought, or hand it to the thread."""
        is_for_loop = self._database.dialect == "sqlite" and time.perf_counter() >= self._rests_until_s
        if is_for_loop and self._n_queued:
            return  # when the thread is done; handing it ever more would leave it no end
        group = self._take_waiting()
        if not group:
            return  # taken before; an empty group would count as queued for ever, and every later request would wait
        n_entries = sum(len(waiting.events) for waiting in group)
        if is_for_loop and n_entries <= N_ENTRIES_PER_STATEMENT and self._commit_at_once(group):
            return
        self._n_queued += 1
        self._queue.put(group)

    def _take_waiting(self) -> list[_Waiting]:
        """Return what was recorded; each once, also when another thread stops the log at this moment."""
        group: list[_Waiting] = []
        with suppress(IndexError):
            while True:
                group.append(self._waiting.popleft())
        return group

    def _commit_at_once(self, group: Sequence[_Waiting]) -> bool:
        """Commit in the event loop; False when it did not work, which the thread may wait for."""
        start_s = time.perf_counter()
        try:
            self._at_once.append([event for waiting in group for event in waiting.events])
        except Exception:  # whatever it is: the thread tries again, waits if need be, and says what is wrong
            return False
        end_s = time.perf_counter()
        if end_s - start_s > SLOW_COMMIT_S:
            self._rests_until_s = end_s + REST_AFTER_SLOW_S
        self._report(group)
        _settle(group, is_committed=True)
        return True

    def _write_until_stopped(self) -> None:
        is_stopped = False
        while not is_stopped:
            groups, is_stopped = self._wait_for_groups()
            together = [waiting for group in groups for waiting in group]
            if together:
                self._tell(together, n_groups=len(groups), is_committed=self._commit(together))

    def _wait_for_groups(self) -> tuple[list[list[_Waiting]], bool]:
        """Return everything that is queued, at least one group, and whether it was the last."""
        groups: list[list[_Waiting]] = []
        group = self._queue.get()
        try:
            while group is not None:
                groups.append(group)
                group = self._queue.get_nowait()
        except Empty:
            return groups, False
        return groups, True

    def _commit(self, together: Sequence[_Waiting]) -> bool:
        """Commit in the thread; False when it failed, and why to the service's own log."""
        n_entries = sum(len(waiting.events) for waiting in together)
        try:
            self.append([event for waiting in together for event in waiting.events])
        except AuditUnavailableError as error:
            logger.error("the audit log did not take %d entries: %s", n_entries, error.__cause__)
            return False
        except Exception:  # a fault of ours must not end the thread: every later request would wait for ever
            logger.exception("the audit log did not take %d entries", n_entries)
            return False
        self._report(together)
        return True

    def _report(self, group: Sequence[_Waiting]) -> None:
        if self._observe is None:
            return
        n_entries = sum(len(waiting.events) for waiting in group)
        try:
            self._observe(n_entries, lag_s=time.perf_counter() - group[0].since_s)
        except Exception:  # who only watches must not undo what is committed
            logger.exception("the audit log's observer failed")

    def _tell(self, together: Sequence[_Waiting], *, n_groups: int, is_committed: bool) -> None:
        """Wake who waits, with one call into their event loop."""

        def settle() -> None:
            self._n_queued -= n_groups
            _settle(together, is_committed=is_committed)
            if self._waiting:
                self._commit_waiting()

        try:
            together[0].done.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._n_queued -= n_groups


def _settle(group: Sequence[_Waiting], *, is_committed: bool) -> None:
    for waiting in group:
        if waiting.done.done():  # the client is gone
            continue
        if is_committed:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(AuditUnavailableError("the audit log did not take its entry."))

"""Answers that were kept on request: each its owner's alone, each with an end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Delete, RowMapping, delete, exists, select

from serving.store.database import Database
from serving.store.tables import model_facts, results

# Taken by whoever changes which models have a kept answer, so that no facts go while an answer of that model comes.
_LOCK = 7202


@dataclass(frozen=True, slots=True, eq=False)
class KeptResult:
    """One answer as it was given."""

    id: str
    owner: str
    label: str  # ours ("Visit", "line 3"), never a participant's
    created: datetime  # UTC
    expires: datetime  # UTC
    model_version: str
    model_digest: str
    answer: bytes

    @property
    def status(self) -> str:
        """Status of the answer: ok, flagged or refused."""
        return str(json.loads(self.answer).get("status", ""))


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """One line of an owner's history."""

    id: str
    label: str
    created: datetime  # UTC
    expires: datetime  # UTC
    status: str
    model_version: str


class ResultStore:
    """Keep answers until their time is up, there are too many, or their owner deletes them.

    Every query names the owner: what belongs to another one is not there, like what never was.

    Parameters
    ----------
    database
        Where they are kept.
    keep
        How long; `expires_from` says until when.
    max_per_owner
        Beyond it, the owner's oldest answers go.
    clock
        The time, in UTC; another one in tests.
    """

    def __init__(
        self,
        database: Database,
        *,
        keep: timedelta,
        max_per_owner: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.keep = keep
        self.max_per_owner = max_per_owner
        self._database = database
        self._clock = clock

    def expires_from(self, created: datetime) -> datetime:
        """End of what is kept from a moment on."""
        return created + self.keep

    def add(self, kept: Sequence[KeptResult], facts: Mapping[str, bytes] | None = None) -> None:
        """Keep answers, all or none of them.

        Parameters
        ----------
        kept
            Oldest first; their ids are new.
        facts
            Digest of a model -> what drawing its answers needs. Kept once per digest, until its last answer goes.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        if not kept:
            return
        with self._database.writing(lock=_LOCK) as connection:
            connection.execute(results.insert(), [_row(result) for result in kept])
            _add_facts(connection, facts or {}, needed={result.model_digest for result in kept})
            # Where these stood in SQLite's log is overwritten by the next `purge`: every answer would wait for it here.
            if sum(self._forget_oldest(connection, owner) for owner in {result.owner for result in kept}):
                _forget_unused_facts(connection)

    def get(self, result_id: str, *, owner: str) -> KeptResult | None:
        """Return an owner's answer; None when it is gone, was never there, or is another owner's."""
        found = (results.c.id == result_id, results.c.owner == owner, results.c.expires > self._clock())
        with self._database.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(*found)).mappings().one_or_none()
        return _result(row) if row else None

    def list_of(self, owner: str) -> list[ResultSummary]:
        """Return an owner's history, newest first."""
        columns = [results.c[name] for name in ResultSummary.__dataclass_fields__]
        held = (results.c.owner == owner, results.c.expires > self._clock())
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).where(*held).order_by(results.c.number.desc()))
            return [ResultSummary(**row) for row in rows.mappings()]

    def delete(self, result_id: str, *, owner: str) -> bool:
        """Delete an owner's answer now; False when there is none."""
        return self._delete(delete(results).where(results.c.id == result_id, results.c.owner == owner)) > 0

    def delete_all(self, owner: str) -> int:
        """Delete everything an owner kept; returns how many answers there were."""
        return self._delete(delete(results).where(results.c.owner == owner))

    def purge(self) -> int:
        """Delete whatever's time is up, of every owner; returns how many answers there were."""
        n_gone = self._delete(delete(results).where(results.c.expires <= self._clock()))
        if not n_gone:
            self._database.overwrite_deleted()  # what could not be overwritten earlier, because someone was reading
        return n_gone

    def model_facts(self, digest: str) -> bytes | None:
        """Return what drawing the answers of a model needs; None when none of them is kept."""
        with self._database.reading() as connection:
            found: bytes | None = connection.execute(
                select(model_facts.c.document).where(model_facts.c.digest == digest)
            ).scalar_one_or_none()
        return found

    def _delete(self, statement: Delete) -> int:
        with self._database.writing(lock=_LOCK) as connection:
            n_gone = connection.execute(statement).rowcount
            if n_gone:
                _forget_unused_facts(connection)
        if n_gone:
            self._database.overwrite_deleted()
        return n_gone

    def _forget_oldest(self, connection: Connection, owner: str) -> int:
        """Delete what an owner has too much; returns how many answers that were."""
        held = select(results.c.number).where(results.c.owner == owner).order_by(results.c.number.desc())
        newest_too_many = connection.execute(held.offset(self.max_per_owner).limit(1)).scalar_one_or_none()
        if newest_too_many is None:
            return 0
        too_old = (results.c.owner == owner, results.c.number <= newest_too_many)
        return connection.execute(delete(results).where(*too_old)).rowcount


_COLUMNS = [results.c[name] for name in KeptResult.__dataclass_fields__]


def _row(result: KeptResult) -> dict[str, Any]:
    fields = {name: getattr(result, name) for name in KeptResult.__dataclass_fields__}
    return fields | {"status": result.status}


def _result(row: RowMapping) -> KeptResult:
    return KeptResult(**{**row, "answer": bytes(row["answer"])})


def _add_facts(connection: Connection, facts: Mapping[str, bytes], *, needed: Iterable[str]) -> None:
    """Add what is not there yet; the lock of the results makes looking first enough."""
    there = set(connection.execute(select(model_facts.c.digest).where(model_facts.c.digest.in_(needed))).scalars())
    rows = [
        {"digest": digest, "document": facts[digest]} for digest in sorted(needed) if digest in facts.keys() - there
    ]
    if rows:
        connection.execute(model_facts.insert(), rows)


def _forget_unused_facts(connection: Connection) -> None:
    is_used = exists().where(results.c.model_digest == model_facts.c.digest)
    connection.execute(delete(model_facts).where(~is_used))

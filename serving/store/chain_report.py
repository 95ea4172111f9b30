"""Is the audit log as it was written? The first entry that is not, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select

from predictor.errors import UsageError
from serving.store.audit_entry import FIRST_HASH, AuditEntry, ChainHead, seal
from serving.store.tables import audit_entries, audit_head

N_READ_AT_ONCE = 2_000
_ANCHOR = re.compile(r"(?P<hash>[0-9a-f]{64}):(?P<sequence>[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a look at the whole chain found."""

    n_entries: int  # that were read and are in order
    head: ChainHead  # of the part in order; to be noted elsewhere
    first_broken: int | None = None  # number of the first entry that is not as it was written
    reason: str = ""

    @property
    def is_intact(self) -> bool:
        """Whether every entry is as it was written."""
        return self.first_broken is None

    @property
    def anchor(self) -> str:
        """Hash and number of the last entry in order, as `--expect` takes them."""
        return f"{self.head.hash}:{self.head.sequence}"

    def document(self) -> dict[str, Any]:
        """Return the report for programs."""
        fields = asdict(self) | {"head": self.head._asdict()}
        return {"is_intact": self.is_intact} | fields | {"anchor": self.anchor}


def read_anchor(written: str) -> ChainHead:
    """Understand HASH:SEQUENCE, as an earlier verification showed it.

    Raises
    ------
    UsageError
        If it is something else.
    """
    found = _ANCHOR.fullmatch(written.strip().lower())
    if found is None:
        raise UsageError("expected a hash of 64 hexadecimal digits, a colon, and an entry's number.", where="--expect")
    return ChainHead(int(found["sequence"]), found["hash"])


def verify_chain(connection: Connection, *, expected: ChainHead | None = None) -> ChainReport:
    """Read the chain from its first entry to its head.

    Parameters
    ----------
    connection
        One that sees a single state of the database, so that what is appended meanwhile does not matter.
    expected
        An entry that the chain must hold, noted elsewhere earlier: catches a chain that was cut and sealed anew.
    """
    kept = head_of(connection)
    head = ChainHead(0, FIRST_HASH)
    for entry in entries_after(connection, 0):
        reason = _fault(entry, head, expected)
        if reason:
            return ChainReport(head.sequence, head, head.sequence + 1, reason)
        head = ChainHead(entry.sequence, entry.hash)
    reason = _fault_of_end(head, kept, expected)
    return ChainReport(head.sequence, head, head.sequence + 1 if reason else None, reason)


def head_of(connection: Connection) -> ChainHead | None:
    """Where the chain ends, as its record says; None where the record is gone."""
    kept = connection.execute(select(audit_head.c.sequence, audit_head.c.hash)).one_or_none()
    return ChainHead(*kept) if kept else None


def entries_after(connection: Connection, sequence: int) -> Iterator[AuditEntry]:
    """Pass the entries beyond a number, some thousands in memory at a time."""
    while True:
        found = audit_entries.c.sequence > sequence
        query = select(audit_entries).where(found).order_by(audit_entries.c.sequence).limit(N_READ_AT_ONCE)
        rows = connection.execute(query).all()
        if not rows:
            return
        yield from map(AuditEntry._make, rows)
        sequence = rows[-1].sequence


def _fault(entry: AuditEntry, before: ChainHead, expected: ChainHead | None) -> str:
    """Return what is wrong with an entry; nothing when it is as it was written."""
    if entry.sequence != before.sequence + 1:
        return f"the entry is missing; the next one there is {entry.sequence}."
    if seal(before.hash, *entry[:-1]) != entry.hash:
        return "the entry, or its hash, was changed, or the one before it was exchanged."
    if expected is not None and entry.sequence == expected.sequence and entry.hash != expected.hash:
        return "the entry has another hash than was noted: the chain was written anew up to here."
    return ""


def _fault_of_end(last: ChainHead, kept: ChainHead | None, expected: ChainHead | None) -> str:
    if kept is None:
        return "the record of the chain's end is missing."
    if kept.sequence > last.sequence:
        return f"the end of the chain is missing: its record says {kept.sequence} entries."
    if kept != last:
        return f"the record of the chain's end names entry {kept.sequence} or another hash; entries were added beside."
    if expected is not None and expected.sequence > last.sequence:
        return f"the end of the chain is missing: entry {expected.sequence} was noted earlier."
    if expected is not None and expected.sequence == 0 and expected.hash != FIRST_HASH:
        return "no chain begins with the hash that was noted."
    return ""

r"""Entries of the audit log, and how each is sealed by the hash of the one before.

Entry n carries `hash_n = sha256(hash_(n-1) + "\n" + document_n)`, in hexadecimal, where the document is the JSON list
[sequence, recorded, owner, action, model digest, input digest, output digest, row], in UTF-8 without spaces, and
hash_0 is sixty-four zeros. Whoever changes, drops or inserts an entry has to write every later hash anew; whoever can
do that too is caught by a hash that was noted elsewhere.

References
----------
Haber and Stornetta, How to time-stamp a digital document, J. Cryptology 3, 1991: linked hashes.
Schneier and Kelsey, Secure audit logs to support computer forensics, ACM TISSEC 2, 1999.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

FIRST_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that happened, as digests: no name, no value, no file."""

    owner: str  # as in Principal.owner
    action: str  # "score-features", "score-scan", "delete-result", "key-created", ...
    model_digest: str | None = None
    input_digest: str | None = None
    output_digest: str | None = None
    row: int | None = None  # of a request with several


class AuditEntry(NamedTuple):
    """One event in its place in the chain; a tuple, because millions of them are read and hashed."""

    sequence: int
    recorded: str  # UTC, ISO 8601; what the hash was made of is kept as it was
    owner: str
    action: str
    model_digest: str | None
    input_digest: str | None
    output_digest: str | None
    row: int | None
    hash: str


class ChainHead(NamedTuple):
    """Where a chain ends: its last entry's number and hash; (0, zeros) for an empty one."""

    sequence: int
    hash: str


def seal(previous: str, *sealed: str | int | None) -> str:
    """Hash of an entry: of its fields but the hash, after the hash of the entry before.

    Examples
    --------
    >>> seal(FIRST_HASH, 1, "2026-01-01T00:00:00+00:00", "local", "score-scan", None, None, None, None)[:16]
    'd21c1bbf8997408c'
    """
    return hashlib.sha256(b"%b\n%b" % (previous.encode(), orjson.dumps(sealed))).hexdigest()


def next_entries(head: ChainHead, events: Sequence[AuditEvent], *, recorded: str) -> list[AuditEntry]:
    """Events as the entries that follow a chain's head."""
    entries, previous = [], head.hash
    for sequence, event in enumerate(events, head.sequence + 1):
        said = (event.owner, event.action, event.model_digest, event.input_digest, event.output_digest, event.row)
        previous = seal(previous, sequence, recorded, *said)
        entries.append(AuditEntry(sequence, recorded, *said, previous))
    return entries

"""What the service puts around an answer; the answer's own bytes stay as `krp score` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Envelope:
    """One answer with its id, time and model version."""

    id: str
    created: str  # UTC, ISO 8601
    model_version: str
    answer: bytes

    def to_bytes(self, *, participant: str | None = None, with_participant: bool = False) -> bytes:
        """Return JSON with the answer's bytes verbatim in its last member."""
        head = {"participant": participant} if with_participant else {}
        head |= {"id": self.id, "created": self.created, "model_version": self.model_version}
        return json.dumps(head)[:-1].encode() + b', "answer": ' + self.answer + b"}"


def put_in_envelope(answer: bytes, *, model_version: str, created: datetime) -> Envelope:
    """Return an envelope with a new id that nobody can guess."""
    return Envelope(uuid4().hex, in_iso_8601(created), model_version, answer)


def in_iso_8601(moment: datetime) -> str:
    """Return a time in UTC as the service writes it, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")

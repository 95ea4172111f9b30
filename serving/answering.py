"""The one way from scored answers to a reply: written into the audit log, kept if asked, counted.

No answer leaves before the audit log holds its entry, and nothing is kept before that either: whoever finds an answer
finds its entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from fastapi import Request

from predictor.model.canonical_json import parse_json
from serving.dependencies import principal_of
from serving.envelope import Envelope, put_in_envelope
from serving.event_loop import N_ROWS_AT_ONCE, at_once_or_in_thread
from serving.model_facts import facts_bytes
from serving.model_store import LoadedModel
from serving.operation.metrics import ServiceMetrics
from serving.store.audit_chain import AuditChain, AuditEvent
from serving.store.results import KeptResult, ResultStore

SCORE_FEATURES: Final = "score-features"
SCORE_SCAN: Final = "score-scan"
_STATUS_KEY = b'"status":"'


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer, and what the audit log says of it."""

    answer: bytes
    action: str
    input_digest: str  # "sha256:..." of the request body for features, of the scans and tables for visits
    row: int | None = None  # counted from 1; None: the request holds one visit
    label: str = "Visit"  # what the history calls it; never a participant's label

    @classmethod
    def of_visit(cls, answer: bytes, *, label: str = "Visit") -> Scored:
        """Return a visit's answer, which holds the digest of its scans and tables itself."""
        return cls(answer, SCORE_SCAN, parse_json(answer)["provenance"]["input_digest"], label=label)

    @property
    def status(self) -> str:
        """Return "ok", "flagged" or "refused"; the answer's keys are sorted, so its own status is the last one."""
        start = self.answer.rfind(_STATUS_KEY) + len(_STATUS_KEY)
        return self.answer[start : self.answer.index(b'"', start)].decode()


async def deliver(
    request: Request, scored: Sequence[Scored], model: LoadedModel, *, keep: bool = False
) -> list[Envelope]:
    """Return envelopes for answers, once the audit log holds them all.

    Parameters
    ----------
    request
        Tells who asks.
    scored
        Answers of one request, in the order of its rows.
    model
        The model that gave them.
    keep
        Whether the caller asked to find them again; otherwise nothing of them is stored.

    Raises
    ------
    AuditUnavailableError
        If the audit log cannot be written; nothing is kept then.
    DatabaseUnavailableError
        If the answers were to be kept and could not be.
    """
    state, owner = request.app.state, principal_of(request).owner
    audit: AuditChain = state.audit
    now = datetime.now(UTC)
    is_small = len(scored) <= N_ROWS_AT_ONCE
    envelopes, events = await at_once_or_in_thread(is_small, _seal, scored, owner, model, now)
    await audit.record(events)
    if keep:
        await asyncio.to_thread(_keep, state.results, scored, envelopes, owner=owner, model=model, created=now)
    await at_once_or_in_thread(is_small, _count, state.metrics, scored, model)
    return envelopes


def digest_of(content: bytes) -> str:
    """Return sha256 as the audit log writes it."""
    return "sha256:" + sha256(content).hexdigest()


def _seal(
    scored: Sequence[Scored], owner: str, model: LoadedModel, created: datetime
) -> tuple[list[Envelope], list[AuditEvent]]:
    version = model.version.version
    envelopes = [put_in_envelope(one.answer, model_version=version, created=created) for one in scored]
    return envelopes, [_event(one, owner, model) for one in scored]


def _event(scored: Scored, owner: str, model: LoadedModel) -> AuditEvent:
    return AuditEvent(
        owner=owner,
        action=scored.action,
        model_digest=model.bundle.digest,
        input_digest=scored.input_digest,
        output_digest=digest_of(scored.answer),
        row=scored.row,
    )


def _count(metrics: ServiceMetrics, scored: Sequence[Scored], model: LoadedModel) -> None:
    for one in scored:
        metrics.count_answer(one.action, one.status, model_digest=model.bundle.digest)


def _keep(
    results: ResultStore,
    scored: Sequence[Scored],
    envelopes: Sequence[Envelope],
    *,
    owner: str,
    model: LoadedModel,
    created: datetime,
) -> None:
    digest = str(model.bundle.digest)
    kept = [
        KeptResult(
            id=envelope.id,
            owner=owner,
            label=one.label,
            created=created,
            expires=results.expires_from(created),
            model_version=envelope.model_version,
            model_digest=digest,
            answer=one.answer,
        )
        for one, envelope in zip(scored, envelopes, strict=True)
    ]
    results.add(kept, {digest: facts_bytes(model)})

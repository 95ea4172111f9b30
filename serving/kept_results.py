"""Answers that were kept on request: found and deleted by who made them, and by nobody else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from predictor.errors import ResultUnknownError
from predictor.model.canonical_json import parse_json
from serving.dependencies import principal_of
from serving.envelope import Envelope, in_iso_8601
from serving.model_facts import ModelFacts
from serving.store.audit_chain import AuditEvent
from serving.store.results import KeptResult, ResultStore


@dataclass(frozen=True, slots=True, eq=False)
class FoundResult:
    """One kept answer with what is known of its model, which it may outlive."""

    kept: KeptResult
    answer: dict[str, Any]
    facts: ModelFacts


def find_kept(request: Request, result_id: str) -> KeptResult:
    """Return one of the caller's kept answers.

    Raises
    ------
    ResultUnknownError
        If it is gone, never was, or is another caller's; the error does not tell which.
    """
    found = _results_of(request).get(result_id, owner=principal_of(request).owner)
    if found is None:
        raise ResultUnknownError("there is no such result here.")
    return found


def find_with_facts(request: Request, result_id: str) -> FoundResult:
    """Return one of the caller's kept answers with the facts of its model.

    Raises
    ------
    ResultUnknownError
        As for `find_kept`; also when it is deleted just now.
    """
    kept = find_kept(request, result_id)
    facts = _results_of(request).model_facts(kept.model_digest)
    if facts is None:
        raise ResultUnknownError("there is no such result here.")
    return FoundResult(kept, parse_json(kept.answer), ModelFacts.from_bytes(facts))


def envelope_of(kept: KeptResult) -> Envelope:
    """Return a kept answer in the envelope that it first came in."""
    return Envelope(kept.id, in_iso_8601(kept.created), kept.model_version, kept.answer)


async def delete_kept(request: Request, result_id: str) -> None:
    """Delete one of the caller's kept answers, and write down that it was deleted.

    Raises
    ------
    ResultUnknownError
        As for `find_kept`.
    AuditUnavailableError
        If that could not be written down; the answer is gone all the same.
    """
    owner = principal_of(request).owner
    if not await asyncio.to_thread(_results_of(request).delete, result_id, owner=owner):
        raise ResultUnknownError("there is no such result here.")
    await request.app.state.audit.record([AuditEvent(owner=owner, action="delete-result")])


async def delete_all_kept(request: Request) -> int:
    """Delete everything the caller kept, write down that it was deleted, and return how many answers there were.

    Raises
    ------
    AuditUnavailableError
        If that could not be written down; the answers are gone all the same.
    """
    owner = principal_of(request).owner
    n_deleted = await asyncio.to_thread(_results_of(request).delete_all, owner)
    await request.app.state.audit.record([AuditEvent(owner=owner, action="delete-all")])
    return n_deleted


def _results_of(request: Request) -> ResultStore:
    results: ResultStore = request.app.state.results
    return results

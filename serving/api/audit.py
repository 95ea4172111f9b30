"""The audit log, for who runs the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from serving.schemas import AuditLine, AuditPage, problem_responses

router = APIRouter(prefix="/v1/audit", tags=["operation"])
MAX_LINES = 1_000
MAX_NUMBER = 2**63 - 1  # of an entry, in both databases


@router.get("", responses=problem_responses(400, 401, 403, 429, 503))
def read_audit(
    request: Request,
    after: Annotated[
        int, Query(ge=0, le=MAX_NUMBER, description="Number of the last entry that is known already.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LINES, description="Most entries in one reply.")] = 100,
) -> AuditPage:
    """Return entries beyond a number, in their order: who did what and when, as digests, each sealed by its hash."""
    found = request.app.state.audit.entries(after=after, limit=limit)
    return AuditPage(
        entries=[AuditLine.model_validate(one._asdict()) for one in found],
        next_after=found[-1].sequence if len(found) == limit else None,
    )

"""Answers that were kept on request: the caller's own, until they end or are deleted."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.dependencies import Caller
from serving.envelope import in_iso_8601
from serving.kept_results import delete_all_kept, delete_kept, envelope_of, find_kept
from serving.schemas import Deleted, Envelope, KeptResultLine, KeptResults, problem_responses

router = APIRouter(prefix="/v1/results", tags=["results"])


@router.get("", responses=problem_responses(401, 403, 429, 503))
def list_results(request: Request, caller: Caller) -> KeptResults:
    """List the caller's own kept answers, newest first."""
    return KeptResults(
        results=[
            KeptResultLine(
                id=one.id,
                label=one.label,
                created=in_iso_8601(one.created),
                expires=in_iso_8601(one.expires),
                status=one.status,
                model_version=one.model_version,
            )
            for one in request.app.state.results.list_of(caller.owner)
        ]
    )


@router.get("/{result_id}", responses=problem_responses(401, 403, 404, 429, 503), response_model=Envelope)
def get_result(request: Request, result_id: str) -> Response:
    """Return a kept answer, its bytes as they were first sent."""
    return Response(envelope_of(find_kept(request, result_id)).to_bytes(), media_type="application/json")


@router.delete("/{result_id}", responses=problem_responses(401, 403, 404, 429, 503))
async def delete_result(request: Request, result_id: str) -> Deleted:
    """Delete a kept answer now."""
    await delete_kept(request, result_id)
    return Deleted(deleted=1)


@router.delete("", responses=problem_responses(401, 403, 429, 503))
async def delete_results(request: Request) -> Deleted:
    """Delete everything that the caller kept."""
    return Deleted(deleted=await delete_all_kept(request))

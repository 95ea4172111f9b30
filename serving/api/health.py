"""Whether the process lives, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter

from serving.dependencies import CurrentModel
from serving.schemas import Health, problem_responses

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Health:
    """Answer as long as the process runs."""
    return Health(status="live")


@router.get("/ready", responses=problem_responses(503))
async def ready(model: CurrentModel) -> Health:
    """Answer 200 once a verified model is loaded, 503 before."""
    return Health(status="ready")

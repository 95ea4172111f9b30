"""Numbers of the running service, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.operation.load import Load
from serving.operation.metrics import CONTENT_TYPE, ServiceMetrics
from serving.schemas import problem_responses

router = APIRouter(tags=["operation"])
RESPONSE = {"description": "Prometheus text format", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/metrics", responses={200: RESPONSE, **problem_responses(401, 403, 429)}, response_class=Response)
def read_metrics(request: Request) -> Response:
    """Return counts and times, without names, labels of people or values."""
    metrics: ServiceMetrics = request.app.state.metrics
    load: Load = request.app.state.load
    metrics.show_under_way(requests=load.n_requests, uploads=load.n_uploads)
    return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

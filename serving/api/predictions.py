"""Answers for ready features."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from predictor.errors import TableError
from serving.dependencies import AppSettings, CurrentModel, require_json
from serving.envelope import put_in_envelope
from serving.error_handlers import one_error
from serving.feature_rows import rows_of_request, score_rows
from serving.schemas import PredictionRequest, PredictionsReply, problem_responses

router = APIRouter(prefix="/v1", tags=["predictions"])
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": PredictionsReply, "description": "One answer per row, in the order of the rows"},
    **problem_responses(400, 413, 415, 422, 503),
}


@router.post("/predictions", responses=RESPONSES, response_class=Response, dependencies=[Depends(require_json)])
def predict(request: PredictionRequest, model: CurrentModel, settings: AppSettings) -> Response:
    """Score rows of features; nothing is scored unless every row can be."""
    if len(request.rows) > settings.max_rows:
        raise TableError(
            f"expected at most {settings.max_rows} rows, found {len(request.rows)}.",
            remedy="Send the rows in several requests.",
        )
    answers, faults = score_rows(rows_of_request(request.rows), model)
    if faults:
        raise one_error(faults)
    envelopes = [
        put_in_envelope(answer, model_version=model.version.version).to_bytes(
            participant=row.participant, with_participant=True
        )
        for row, answer in zip(request.rows, answers, strict=True)
        if answer is not None
    ]
    return Response(b'{"predictions": [' + b", ".join(envelopes) + b"]}", media_type="application/json")

"""Answers for ready features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from predictor.errors import one_error
from predictor.feature_rows import FeatureRow
from serving.answering import SCORE_FEATURES, Scored, deliver, digest_of
from serving.api.body_route import BodyRoute
from serving.dependencies import model_of, require_json, settings_of, wants_to_keep
from serving.envelope import Envelope
from serving.event_loop import N_BYTES_AT_ONCE, N_ROWS_AT_ONCE, at_once_or_in_thread
from serving.feature_rows import rows_of_request, score_in_turns
from serving.model_store import LoadedModel
from serving.prediction_request import parse_prediction_request
from serving.schemas import KEEP_PARAMETER, PredictionRow, PredictionsReply, problem_responses

router = APIRouter(prefix="/v1", tags=["predictions"], route_class=BodyRoute)
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["rows"],
    "additionalProperties": False,
    "properties": {"rows": {"type": "array", "minItems": 1, "items": PredictionRow.model_json_schema()}},
}
REQUEST: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
    "parameters": [KEEP_PARAMETER],
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": PredictionsReply, "description": "One answer per row, in the order of the rows"},
    **problem_responses(400, 401, 403, 413, 415, 422, 429, 503),
}


@router.post("/predictions", responses=RESPONSES, response_class=Response, openapi_extra=REQUEST)
async def predict(request: Request) -> Response:
    """Score rows of features; nothing is scored unless every row can be. Nothing is kept unless asked for."""
    require_json(request)
    keep, model, max_rows = wants_to_keep(request), model_of(request), settings_of(request).max_rows
    body = await request.body()
    is_short = len(body) <= N_BYTES_AT_ONCE
    rows = (await at_once_or_in_thread(is_short, parse_prediction_request, body, max_rows=max_rows)).rows
    answers = await score_all(rows_of_request(rows), model)
    scored = await at_once_or_in_thread(is_short, rows_scored, answers, body)
    envelopes = await deliver(request, scored, model, keep=keep)
    content = await at_once_or_in_thread(len(rows) <= N_ROWS_AT_ONCE, _reply, rows, envelopes)
    return Response(content, media_type="application/json")


async def score_all(rows: list[FeatureRow], model: LoadedModel) -> list[bytes]:
    """Score rows, or raise what is wrong with them.

    Raises
    ------
    TableError
        If a row does not fit the model; of several such rows all are listed.
    """
    answers, faults = await score_in_turns(rows, model)
    if faults:
        raise one_error(faults)
    return [answer for answer in answers if answer is not None]


def rows_scored(answers: Sequence[bytes], body: bytes) -> list[Scored]:
    """Return the answers of a request with its digest, its rows counted from 1."""
    input_digest = digest_of(body)
    return [
        Scored(answer, SCORE_FEATURES, input_digest, row=number, label=f"Row {number}")
        for number, answer in enumerate(answers, start=1)
    ]


def _reply(rows: Sequence[PredictionRow], envelopes: Sequence[Envelope]) -> bytes:
    written = [
        envelope.to_bytes(participant=row.participant, with_participant=True)
        for row, envelope in zip(rows, envelopes, strict=True)
    ]
    return b'{"predictions": [' + b", ".join(written) + b"]}"
